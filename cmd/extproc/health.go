package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-mcp/holdfast/pkg/health"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/policy"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// state tells Envoy and operators whether to use this processor.
type state struct {
	grpc     *grpchealth.Server
	policies *policy.Client
	// moved is closed once it is known which sessions have moved.
	moved <-chan struct{}
	// redis says whether a Redis counts limits for all; nil where there is none.
	redis    func() bool
	draining atomic.Bool
}

// movedWithin is how long a processor that starts waits to hear which sessions have
// moved. Without that it would open them once more. A control plane that is there may have
// started with it, and is waited for longer: it waits for what the other processors know.
const (
	movedWithin   = 500 * time.Millisecond
	settledWithin = 2500 * time.Millisecond
)

func newState(policies *policy.Client, moved <-chan struct{}, redis func() bool) *state {
	s := &state{grpc: grpchealth.NewServer(), policies: policies, moved: moved, redis: redis}
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
	if !s.hears(ctx, movedWithin) && s.policies.Connected() {
		s.hears(ctx, settledWithin-movedWithin)
	}
	if ctx.Err() == nil && !s.draining.Load() {
		s.grpc.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	}
	return nil
}

// hears waits until it is known which sessions have moved; false: the limit or ctx was over first.
func (s *state) hears(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.moved:
		return true
	case <-timer.C:
	}
	return false
}

// drain says NOT_SERVING, for good.
func (s *state) drain() {
	s.draining.Store(true)
	s.grpc.Shutdown()
}

// checks are what the processor needs: policies and keys to be used at all; the control plane and Redis,
// where there is one, to be what it should.
func (s *state) checks() []health.Check {
	out := []health.Check{
		health.Of("serving", !s.draining.Load(), health.Unhealthy, "draining: it stops"),
		health.Of("policies", s.policies.Table() != nil, health.Unhealthy, "waiting for policies"),
		health.Of("session-keys", s.policies.Keyring() != nil, health.Unhealthy, "waiting for session keys"),
		health.Of("control-plane", s.policies.Connected(), health.Degraded, "no connection: it goes on with the policies that it has"),
	}
	if s.redis != nil {
		out = append(out, health.Of("redis", s.redis(), health.Degraded, "away, or back for a moment only: rate limits are divided among the processors"))
	}
	return out
}

// handler serves health.PathHealth, health.PathReady, metrics, and who uses the most of limits.
func (s *state) handler(metrics, limits http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+limit.PagePath, limits)
	mux.Handle("GET "+telemetry.Path, metrics)
	health.Mount(mux, s.checks)
	return mux
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
