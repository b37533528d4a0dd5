// Package admin serves what the control plane says about itself over HTTP, to the
// machine that it runs on and nobody else.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// Limits of the HTTP server.
const (
	maxHeaderBytes = 16 << 10
	maxConnections = 64
	readTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second
	idleTimeout    = 30 * time.Second
	drainLimit     = time.Second
)

// Listen opens an address, which must be a loopback one: nothing here asks who is
// there.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", address, err)
	}
	if !loopback(host) {
		return nil, fmt.Errorf("admin address %q: only a loopback address is served, such as 127.0.0.1:18001", address)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", address, err)
	}
	return listener, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.Unmap().IsLoopback())
}

// Serve answers on a listener until ctx ends.
func Serve(ctx context.Context, listener net.Listener, report func() status.Status, logger *slog.Logger) error {
	server := &http.Server{
		Handler: Handler(report), MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the admin address: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		err = server.Close()
		if err != nil {
			return fmt.Errorf("stopping the admin address: %w", err)
		}
	}
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin address: %w", err)
	}
	return nil
}

// Handler serves /health (the process lives), /ready (there is a revision to serve;
// 503 with the reason otherwise) and /v1/status (status.Status), all as JSON.
func Handler(report func() status.Status) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		s := report()
		if !s.Ready {
			reply(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": s.Reason})
			return
		}
		reply(w, http.StatusOK, map[string]string{"status": "ready"})
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, report())
	})
	return local(mux)
}

// local refuses requests under a foreign name: a web page whose host name was made
// to lead here (DNS rebinding) would otherwise be able to read everything.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(strings.Trim(host, "[]")) {
			reply(w, http.StatusForbidden, map[string]string{"error": "only requests to a loopback host are served"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func reply(w http.ResponseWriter, code int, body any) {
	data, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		code, data = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// Who has gone away meanwhile needs no answer.
	_, _ = w.Write(append(data, '\n'))
}
