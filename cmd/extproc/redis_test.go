package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// TestRedisFlags: what does not fit together is refused before anything starts.
func TestRedisFlags(t *testing.T) {
	for want, r := range map[string]redisSettings{
		"":                                {address: "h:1"},
		"--redis is missing":              {cluster: true},
		"exclude each other":              {address: "h:1", cluster: true, sentinel: "m"},
		"--redis names several servers":   {address: "h:1,h:2"},
		"--redis-tls is missing":          {address: "h:1", ca: "f"},
		"need each other":                 {address: "h:1", tls: true, cert: "f"},
		"--redis-database 1 is not there": {address: "h:1", cluster: true, database: 1},
	} {
		if err := r.check(); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
}

// TestRedisKinds: each way of running Redis has its client.
func TestRedisKinds(t *testing.T) {
	kind := func(r redisSettings) redis.UniversalClient {
		client, err := r.client(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	if c, ok := kind(redisSettings{address: "127.0.0.1:1,127.0.0.1:2", cluster: true}).(*redis.ClusterClient); !ok || len(c.Options().Addrs) != 2 {
		t.Errorf("a Cluster has %T", c)
	}
	if c, ok := kind(redisSettings{address: "127.0.0.1:1", sentinel: "m"}).(*redis.Client); !ok || c.Options().Addr != "FailoverClient" {
		t.Errorf("Sentinels have %T", c)
	}
	if c, ok := kind(redisSettings{address: "127.0.0.1:1", database: 3}).(*redis.Client); !ok || c.Options().DB != 3 || c.Options().MaxRetries > 0 {
		t.Errorf("one server has %T", c)
	}
}

// TestRedisWithTLSAndPassword on a real server that takes nothing else.
func TestRedisWithTLSAndPassword(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	write(t, filepath.Join(dir, "password"), []byte("open sesame\n"))
	var plain net.ListenConfig
	l, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	stacktest.StartRedis(t, "--tls-port", port, "--tls-cert-file", filepath.Join(dir, "cert"), "--tls-key-file", filepath.Join(dir, "key"),
		"--tls-ca-cert-file", filepath.Join(dir, "cert"), "--tls-auth-clients", "yes", "--requirepass", "open sesame")
	good := redisSettings{
		address: address, tls: true, password: filepath.Join(dir, "password"), ca: filepath.Join(dir, "cert"),
		cert: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key"), serverName: "redis.test",
	}
	ping := func(r redisSettings) error {
		client, err := r.client(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close() //nolint:errcheck // a test
		return client.Ping(t.Context()).Err()
	}
	if err := ping(good); err != nil {
		t.Errorf("with everything right: %v", err)
	}
	for name, change := range map[string]func(*redisSettings){
		"no password":       func(r *redisSettings) { r.password = "" },
		"no authority":      func(r *redisSettings) { r.ca = "" },
		"no certificate":    func(r *redisSettings) { r.cert, r.key = "", "" },
		"another name":      func(r *redisSettings) { r.serverName = "other.test" },
		"no TLS whatsoever": func(r *redisSettings) { *r = redisSettings{address: address} },
	} {
		r := good
		change(&r)
		if err := ping(r); err == nil {
			t.Errorf("%s: it works", name)
		}
	}
}

// certificate writes one that is its own authority, for server and client.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.test"}, DNSNames: []string{"redis.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	write(t, filepath.Join(dir, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
