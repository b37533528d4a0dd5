package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/spf13/pflag"
)

// redisSettings are what the command line says of Redis.
type redisSettings struct {
	address, user, password string
	// sentinel is the name of the master that Sentinels at the address watch.
	sentinel, sentinelUser, sentinelPassword string
	cluster, tls                             bool
	ca, cert, key, serverName                string
	database                                 int
}

func (r *redisSettings) add(flags *pflag.FlagSet) {
	flags.StringVar(&r.address, "redis", "", "host:port of a Redis that all processors share, for rate limits, for sessions that were opened again on another endpoint, and for results of tools that are remembered; several, with commas between, of Sentinels or of a Cluster; empty: each processor counts its share of the limits, and knows its own sessions and results")
	flags.StringVar(&r.user, "redis-user", "", "user name at --redis; it must be allowed the keys and channels that begin with holdfast:")
	flags.StringVar(&r.password, "redis-password-file", "", "file with the password at --redis")
	flags.StringVar(&r.sentinel, "redis-sentinel", "", "name of the master that the Sentinels at --redis watch")
	flags.StringVar(&r.sentinelUser, "redis-sentinel-user", "", "user name at the Sentinels")
	flags.StringVar(&r.sentinelPassword, "redis-sentinel-password-file", "", "file with the password at the Sentinels")
	flags.BoolVar(&r.cluster, "redis-cluster", false, "--redis names servers of a Redis Cluster")
	flags.BoolVar(&r.tls, "redis-tls", false, "speak TLS with --redis")
	flags.StringVar(&r.ca, "redis-ca", "", "file with the certificates of authorities that --redis is trusted by; empty: the system's")
	flags.StringVar(&r.cert, "redis-cert", "", "file with this processor's certificate for --redis")
	flags.StringVar(&r.key, "redis-key", "", "file with the key of --redis-cert")
	flags.StringVar(&r.serverName, "redis-server-name", "", "name in the certificate of --redis, where it is not the host that is connected to")
	flags.IntVar(&r.database, "redis-database", 0, "number of the database at --redis; a Cluster has only 0")
}

func (r *redisSettings) check() error {
	several := strings.Contains(r.address, ",")
	switch {
	case r.address == "" && (r.sentinel != "" || r.cluster || r.tls || r.password != ""):
		return errors.New("--redis is missing: the flags beside it say how to reach it")
	case r.sentinel != "" && r.cluster:
		return errors.New("--redis-sentinel and --redis-cluster exclude each other")
	case several && r.sentinel == "" && !r.cluster:
		return errors.New("--redis names several servers: add --redis-sentinel or --redis-cluster")
	case !r.tls && (r.ca != "" || r.cert != "" || r.key != "" || r.serverName != ""):
		return errors.New("--redis-tls is missing: certificates are of no use without")
	case (r.cert == "") != (r.key == ""):
		return errors.New("--redis-cert and --redis-key need each other")
	case r.cluster && r.database != 0, r.database < 0:
		return fmt.Errorf("--redis-database %d is not there", r.database)
	}
	return nil
}

// client connects when it is first asked. A command waits for as long as the timeout, and is
// never repeated.
func (r *redisSettings) client(timeout time.Duration) (redis.UniversalClient, error) {
	password, err := readPassword(r.password)
	if err != nil {
		return nil, err
	}
	sentinelPassword, err := readPassword(r.sentinelPassword)
	if err != nil {
		return nil, err
	}
	options := &redis.UniversalOptions{
		Addrs: strings.Split(r.address, ","), DB: r.database, Username: r.user, Password: password,
		MasterName: r.sentinel, SentinelUsername: r.sentinelUser, SentinelPassword: sentinelPassword, IsClusterMode: r.cluster,
		DialTimeout: time.Second, DialerRetries: 1, ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true, MaxRetries: -1,
		MinIdleConns: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if r.tls {
		if options.TLSConfig, err = r.tlsConfig(); err != nil {
			return nil, err
		}
	}
	return redis.NewUniversalClient(options), nil
}

func (r *redisSettings) tlsConfig() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.serverName}
	if r.ca != "" {
		pem, err := os.ReadFile(r.ca)
		if err != nil {
			return nil, fmt.Errorf("authorities for Redis: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities for Redis: %q holds no certificate", r.ca)
		}
	}
	if r.cert != "" {
		pair, err := tls.LoadX509KeyPair(r.cert, r.key)
		if err != nil {
			return nil, fmt.Errorf("certificate for Redis: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
