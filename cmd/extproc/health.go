package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/policy"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// state tells Envoy and operators whether to use this processor.
type state struct {
	grpc     *health.Server
	policies *policy.Client
	// moved is closed once it is known which sessions have moved.
	moved    <-chan struct{}
	streams  func() int64
	draining atomic.Bool
}

// movedWithin is how long a processor that starts waits to hear which sessions have
// moved. Without that it would open them once more.
const movedWithin = 500 * time.Millisecond

func newState(policies *policy.Client, moved <-chan struct{}, streams func() int64) *state {
	s := &state{grpc: health.NewServer(), policies: policies, moved: moved, streams: streams}
	s.grpc.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	return s
}

// follow says SERVING once there are policies and keys, and, where the control plane is
// there, it has told which sessions have moved.
func (s *state) follow(ctx context.Context) error {
	for _, there := range []<-chan struct{}{s.policies.Loaded(), s.policies.Keyed()} {
		select {
		case <-ctx.Done():
			return nil
		case <-there:
		}
	}
	limit := time.NewTimer(movedWithin)
	defer limit.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-s.moved:
	case <-limit.C:
	}
	if !s.draining.Load() {
		s.grpc.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	}
	return nil
}

// drain says NOT_SERVING, for good.
func (s *state) drain() {
	s.draining.Store(true)
	s.grpc.Shutdown()
}

type report struct {
	Status string `json:"status"`
	// Policies in force.
	Policies int `json:"policies"`
	// ControlPlane: there is a stream to it.
	ControlPlane bool `json:"controlPlane"`
	// Streams under way, one for each request and each try.
	Streams int64 `json:"streams"`
}

func (s *state) ready() (report, bool) {
	r := report{Status: "ready", ControlPlane: s.policies.Connected(), Streams: s.streams()}
	table := s.policies.Table()
	switch {
	case s.draining.Load():
		r.Status = "draining"
	case table == nil:
		r.Status = "waiting for policies"
	case s.policies.Keyring() == nil:
		r.Status = "waiting for session keys"
	}
	if table != nil {
		r.Policies = table.Len()
	}
	return r, r.Status == "ready"
}

// handler serves /health (the process lives), /ready (it is to be used) and /metrics.
func (s *state) handler(metrics, limits http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+limit.PagePath, limits)
	mux.Handle("GET "+telemetry.Path, metrics)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, report{Status: "alive", Streams: s.streams()})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		r, ok := s.ready()
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, r)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, r report) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// What fails now fails with the connection.
	_ = json.NewEncoder(w).Encode(r)
}

// serveHTTP serves on l until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 8 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
