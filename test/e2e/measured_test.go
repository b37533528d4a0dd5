package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// frail is a real MCP server in this process, of which a test breaks one layer after the other.
type frail struct {
	handler http.Handler
	server  *httptest.Server

	mu sync.Mutex
	// broken is the layer; empty: none.
	broken string
}

func (f *frail) breakLayer(layer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = layer
}

func (f *frail) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	asks := func(method string) bool { return strings.Contains(string(body), `"method":"`+method+`"`) }
	switch {
	case r.URL.Path == "/metrics":
		cpu := "0.2"
		if broken == "metrics" {
			cpu = "0.99"
		}
		_, _ = fmt.Fprintf(w, "# TYPE cpu_share gauge\ncpu_share %s\n", cpu)
		return
	case r.URL.Path == "/health" && broken == "http":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case r.Method == http.MethodPost && broken == "handshake":
		_, _ = io.WriteString(w, "<html>not MCP</html>")
		return
	case broken == "query" && asks("tools/call"):
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
		return
	case broken == "list" && asks("tools/list"):
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"holdfast-probe","error":{"code":-32603,"message":"no catalogue"}}`)
		return
	}
	f.handler.ServeHTTP(w, r)
}

// certificate makes one for names, signed by itself, and gives its file and itself.
func certificate(t *testing.T, dir, file string, names ...string) (string, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "holdfast test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func startFrail(t *testing.T, secure *tls.Certificate, listener net.Listener) *frail {
	t.Helper()
	mcp, err := demo.NewServer(demo.Config{Server: demo.Orders, Name: "frail", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	f := &frail{handler: mcp.Handler()}
	f.server = httptest.NewUnstartedServer(f)
	if listener != nil {
		_ = f.server.Listener.Close()
		f.server.Listener = listener
	}
	if secure == nil {
		f.server.Start()
	} else {
		f.server.TLS = &tls.Config{Certificates: []tls.Certificate{*secure}}
		// A connection that is only opened and closed is told as a failed handshake.
		f.server.Config.ErrorLog = log.New(io.Discard, "", 0)
		f.server.StartTLS()
	}
	return f
}

// measuredConfig looks often, so that a test does not take minutes; each time is still long enough for a busy machine.
const measuredConfig = `
kind: Gateway
metadata: {name: shop}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: frail, address: "%s"}]}
    - {name: asia-south2, endpoints: [{name: standby, address: "${standby-delhi}"}]}
%s
  probes:
    tcp: {interval: 1s}
    tls: {interval: 1s}
    http: {interval: 1s}
    handshake: {interval: 1s, timeout: 900ms}
    list: {interval: 1s, timeout: 900ms}
    query: {tool: list_orders, interval: 2s, maxLatency: 2s}
    metrics: {cpu: cpu_share, interval: 1s, timeout: 900ms}
  # How quickly a busy machine answers is not what this is about.
  score: {responseTime: {target: 30s, critical: 60s}, staleness: {critical: 20s}}
  tiers: {shed: 3s, eject: 6s, promote: 30m, minHold: 2s, return: 1s}
---
kind: MCPRoute
metadata: {name: shop}
spec: {servers: [{name: orders}]}
`

// measured asks the control plane of a Bed.
func measured(b *testbed.Bed) (*adminv1.MeasuredEndpoint, *adminv1.GetHealthResponse, error) {
	client, err := apiclient.New(apiclient.Options{Server: "http://" + b.XDSAdmin})
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h, err := client.GetHealth(ctx, &adminv1.GetHealthRequest{Server: "orders"})
	if err != nil {
		return nil, nil, err
	}
	for _, r := range h.GetRegions() {
		for _, e := range r.GetEndpoints() {
			if e.GetName() == "frail" {
				return e, h, nil
			}
		}
	}
	return nil, h, errors.New("the endpoint is not known")
}

// follow notes the tiers of the endpoint in order until it has reached one, and that each is because of a layer.
func follow(b *testbed.Bed, t *testing.T, layer, until string) (tiers []string) {
	t.Helper()
	b.Eventually(90*time.Second, "the endpoint is "+until+" because of "+layer, func() error {
		e, _, err := measured(b)
		if err != nil {
			return err
		}
		if len(tiers) == 0 || tiers[len(tiers)-1] != e.GetTier() {
			tiers = append(tiers, e.GetTier())
		}
		if e.GetTier() != until || layer != "" && e.GetLayer() != layer {
			return fmt.Errorf("it is %s because of %q: %s", e.GetTier(), e.GetLayer(), e.GetDetail())
		}
		return nil
	})
	return tiers
}

// TestEachLayerIsNamed: on a real Envoy, each layer made to fail in turn is the one that is named, goes through the tiers in order, and takes the
// endpoint out; and it comes back when it is mended.
func TestEachLayerIsNamed(t *testing.T) {
	f := startFrail(t, nil, nil)
	defer func() { f.server.Close() }()
	address := f.server.Listener.Addr().String()
	b := testbed.Start(t, testbed.Options{
		Servers: []demo.Place{{Name: "standby-delhi", Server: "orders", Region: testbed.Delhi}},
		Config:  fmt.Sprintf(measuredConfig, address, ""), Measure: "all",
	})
	follow(b, t, "", "steady")
	for _, layer := range []string{"http", "handshake", "query", "metrics", "list", "tcp"} {
		t.Logf("breaking %s", layer)
		if layer == "list" {
			// A query that is answered is as good a word as a list.
			b.WriteConfig(strings.Replace(fmt.Sprintf(measuredConfig, address, ""), "    query: {tool: list_orders, interval: 2s, maxLatency: 2s}\n", "", 1))
		}
		if layer == "tcp" {
			f.server.CloseClientConnections()
			f.server.Close()
		}
		f.breakLayer(layer)
		tiers := follow(b, t, layer, "ejected")
		if !inOrder(tiers, []string{"steady", "watched", "shedding", "ejected"}) {
			t.Errorf("%s: tiers %q", layer, tiers)
		}
		e, h, err := measured(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.GetIncidents()) != 1 || h.GetIncidents()[0].GetLayer() != layer || len(h.GetActions()) == 0 {
			t.Errorf("%s: incidents %v, actions %v", layer, h.GetIncidents(), h.GetActions())
		}
		if e.GetGiven() != "unhealthy" {
			t.Errorf("%s: it is given %s", layer, e.GetGiven())
		}
		b.Eventually(30*time.Second, "calls are answered elsewhere", func() error {
			answer, err := b.Post("/mcp", testbed.ModernHeaders("tools/list", ""), testbed.ListTools)
			if err != nil {
				return err
			}
			if region := answer.Header.Get("x-holdfast-region"); region != testbed.Delhi {
				return fmt.Errorf("status %d from %q", answer.Status, region)
			}
			return nil
		})
		if layer == "tcp" {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			f = startFrail(t, nil, listener)
		}
		f.breakLayer("")
		follow(b, t, "", "steady")
	}
}

// TestTLSMismatch: a server whose certificate has another name than the configuration is named by its TLS layer, and calls to it do not
// go through; one whose certificate is right gets them.
func TestTLSMismatch(t *testing.T) {
	dir := t.TempDir()
	ca, own := certificate(t, dir, "ca.pem", "orders.example")
	f := startFrail(t, &own, nil)
	defer f.server.Close()
	plain := startFrail(t, nil, nil)
	defer plain.server.Close()
	config := func(name string) string {
		text := fmt.Sprintf(measuredConfig, f.server.Listener.Addr(), "  tls: {ca: "+ca+", serverName: "+name+"}")
		return strings.Replace(text, "${standby-delhi}", plain.server.Listener.Addr().String(), 1)
	}
	b := testbed.Start(t, testbed.Options{
		Servers: []demo.Place{}, Config: config("orders.example"), Measure: "all",
	})
	follow(b, t, "", "steady")
	b.WriteConfig(config("archive.example"))
	tiers := follow(b, t, "tls", "ejected")
	if !inOrder(tiers, []string{"steady", "watched", "shedding", "ejected"}) {
		t.Errorf("tiers %q", tiers)
	}
	answer, err := b.Post("/mcp", testbed.ModernHeaders("tools/list", ""), testbed.ListTools)
	if err == nil && answer.Header.Get("x-holdfast-degraded") == "" && answer.Status == http.StatusOK {
		t.Errorf("Envoy takes a certificate of another name: %s", answer.Body)
	}
	b.WriteConfig(config("orders.example"))
	b.Eventually(60*time.Second, "calls get through again", func() error { return b.Ping("/mcp") })
}

// inOrder says that tiers is a part of order, in it.
func inOrder(tiers, order []string) bool {
	last := -1
	for _, one := range tiers {
		at := slices.Index(order, one)
		if at < last {
			return false
		}
		last = at
	}
	return last == len(order)-1
}
