// Package admin serves what the control plane says about itself over HTTP, to the
// machine that it runs on and nobody else.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/health"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// Paths of the admin API: all of its methods, and what describes them.
const (
	APIPrefix   = "/" + adminv1connect.AdminName + "/"
	OpenAPIPath = "/openapi.json"
)

// Listen opens an address, which must be a loopback one: nothing here asks who is
// there.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", address, err)
	}
	if !Loopback(host) {
		return nil, fmt.Errorf("admin address %q: only a loopback address is served, such as 127.0.0.1:18001", address)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", address, err)
	}
	return listener, nil
}

// Loopback tells whether a host name, without port or brackets, can only mean this machine.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.Unmap().IsLoopback())
}

// LoopbackHost does the same for the value of a Host header. Requests under another name
// come from a web page whose host name was made to lead here (DNS rebinding), and that
// page could read the answer.
func LoopbackHost(value string) bool {
	if host, _, err := net.SplitHostPort(value); err == nil {
		value = host
	}
	return Loopback(strings.Trim(value, "[]"))
}

// Handler serves health.PathHealth, health.PathReady (unhealthy until there is a revision to serve) and /v1/status (status.Status), all as JSON, and
// hands APIPrefix and OpenAPIPath to api and telemetry.Path to metrics, unless those are nil.
func Handler(report func() status.Status, api, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	health.Mount(mux, func() []health.Check { return checks(report()) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, report())
	})
	if api != nil {
		mux.Handle(APIPrefix, api)
		mux.Handle(OpenAPIPath, api)
	}
	if metrics != nil {
		mux.Handle("GET "+telemetry.Path, metrics)
	}
	return local(mux)
}

// local refuses requests under a foreign name.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !LoopbackHost(r.Host) {
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
