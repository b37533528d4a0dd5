package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/extproc"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/extproc/codec"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/policy"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

const (
	// maxMessageBytes: a whole request body of 4 MiB with its headers and attributes.
	maxMessageBytes = 8 << 20
	// Windows hold a body without waiting for updates; buffers cost few system calls.
	streamWindow = 1 << 20
	connWindow   = 16 << 20
	bufferBytes  = 64 << 10
	// streamWorkers are goroutines that serve one stream after the other, so that their
	// stacks need not grow for each; streams beyond get a goroutine of their own.
	streamWorkers = 128
	// pingInterval is the shortest at which Envoys may ping their idle connections.
	pingInterval = time.Second
	nodeCluster  = "holdfast-extproc"
)

// run serves until ctx ends, drains, and returns nil; an error says what broke.
func run(ctx context.Context, s settings, logger *slog.Logger) error {
	if s.state != "" {
		if err := os.MkdirAll(s.state, 0o700); err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
	}
	grpcListener, err := listen(ctx, s.listen)
	if err != nil {
		return err
	}
	httpListener, err := listen(ctx, s.http)
	if err != nil {
		return errors.Join(err, grpcListener.Close())
	}
	conn, err := dialControlPlane(s.xds)
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	serveErr := serve(ctx, s, logger, conn, grpcListener, httpListener)
	return errors.Join(serveErr, conn.Close())
}

func serve(ctx context.Context, s settings, logger *slog.Logger, conn *grpc.ClientConn, grpcListener, httpListener net.Listener) error {
	registry := telemetry.NewRegistry("extproc", version())
	remembered, err := rememberResults(s, registry, logger)
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	defer remembered.close()
	lists := catalog.New(catalog.Options{Changed: remembered.changed})
	if s.state != "" {
		if err := lists.Restore(s.state); err != nil {
			logger.Warn("saved lists of single callers are not usable", "error", err)
		}
	}
	spans := newSpans(s, registry, logger)
	defer spans.Close()
	shares := &share.Shares{}
	policies, err := policy.New(policy.Options{
		Conn: conn, Node: policy.Node{ID: s.nodeID, Cluster: nodeCluster, Region: s.region},
		StateDir: s.state, Shares: shares, Logger: logger,
		Catalog:   func(e *policyv1.CatalogEntry) { learn(lists, e, logger) },
		Installed: func(t *decide.Table) { spans.Use(spanSettings(t)) },
	})
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	reporter := policy.NewReporter(conn, logger)
	known := knownTools(lists, policies)
	outcomes, err := shareOutcomes(s, conn, registry, known, remembered.store, logger)
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	kept, err := openSessions(s, conn, policies, logger)
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	limits, err := countLimits(s, outcomes, registry, logger)
	if err != nil {
		return errors.Join(err, kept.close(), grpcListener.Close(), httpListener.Close())
	}
	gate, pressure := admit.NewGate(nil), &admit.Pressure{}
	verifier, prober := newVerifier(policies, logger), newProber(policies, logger)
	service := extproc.New(extproc.Options{
		Table: policies.Table, Keyring: policies.Keyring, Reopener: session.NewReopener(kept.store, nil), Catalog: lists, Window: outcomes.window, Breakers: outcomes.breakers, Shares: shares,
		Limits: limits.engine, Metered: limits.metrics.Count, Budget: outcomes.budget, Report: reporter.Offer, Results: remembered.store, Fits: lists.Fits, Reach: prober, Gate: gate, Pressure: pressure, Live: outcomes.fleet.Processors, Logger: logger,
		Calls: mcptelemetry.NewCalls(registry, mcptelemetry.CallOptions{Known: known, Native: s.nativeHistograms}), Region: s.region, Told: outcomes.told,
		Verified: verifier.Verified, Traces: spans.Pipeline, Revision: policies.Version,
	})
	showState(registry, service.Streams, lists, policies, gate, pressure)
	state := newState(policies, kept.moves.Synced(), limits.shared)
	pages := state.handler(telemetry.Handler(registry, logger), limits.page)
	server := newServer()
	extprocv3.RegisterExternalProcessorServer(server, service)
	grpc_health_v1.RegisterHealthServer(server, state.grpc)

	// Background work outlives the signal: streams under way may still need it.
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	group, background := errgroup.WithContext(background)
	group.Go(func() error { return policies.Run(background) })
	group.Go(func() error { reporter.Run(background); return nil })
	group.Go(func() error { return outcomes.fleet.Run(background) })
	group.Go(func() error { return kept.moves.Run(background) })
	group.Go(func() error { return limits.run(background) })
	group.Go(func() error { return remembered.store.Run(background) })
	group.Go(func() error { pressure.Run(background); return nil })
	group.Go(func() error { verifier.Run(background); return nil })
	group.Go(func() error { return prober.Run(background) })
	if s.state != "" {
		group.Go(func() error { return lists.Keep(background, s.state, logger) })
	}
	group.Go(func() error { return state.follow(background) })
	group.Go(func() error { return serveHTTP(background, httpListener, pages) })
	group.Go(func() error { return server.Serve(grpcListener) })
	group.Go(func() error {
		defer stopBackground()
		select {
		case <-ctx.Done():
		case <-background.Done():
		}
		logger.Info("stopping", "streams", service.Streams())
		state.drain()
		drain(background, s, server)
		return nil
	})
	logger.Info("listening", "grpc", s.listen, "http", s.http, "xds", s.xds, "node", s.nodeID, "region", s.region)
	err = errors.Join(group.Wait(), limits.close(), kept.close())
	logger.Info("stopped")
	return err
}

// drain serves on until Envoys have seen the failing health check, lets streams
// end, and cuts those that do not. It does none of that when the process breaks anyway.
func drain(background context.Context, s settings, server *grpc.Server) {
	wait(background, s.drain)
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.GracefulStop()
	}()
	cut := time.AfterFunc(s.linger, server.Stop)
	defer cut.Stop()
	if background.Err() != nil {
		server.Stop()
	}
	<-done
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// learn takes a list that another processor, or this one before its restart, has seen.
func learn(lists *catalog.Store, e *policyv1.CatalogEntry, logger *slog.Logger) {
	if err := catalog.Acceptable(e.GetMethod(), e.GetResult()); err != nil {
		logger.Warn("catalog entry is not acceptable", "key", e.GetKey(), "error", err)
		return
	}
	lists.Put(e)
}

func newServer() *grpc.Server {
	return grpc.NewServer(
		// Every request of every client holds a stream for as long as it lives.
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.ForceServerCodecV2(codec.New()), grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.ReadBufferSize(bufferBytes), grpc.WriteBufferSize(bufferBytes),
		// Envoys notice dead processors by pings; without this they are told off for it.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}),
	)
}

// dialControlPlane makes a connection that comes and goes with the control plane.
func dialControlPlane(address string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("control plane %q: %w", address, err)
	}
	return conn, nil
}
