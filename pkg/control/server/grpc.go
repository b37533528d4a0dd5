package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	grpcstatus "google.golang.org/grpc/status"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// Limits of the gRPC server.
const (
	// maxRequestBytes bounds one message from a peer: names and versions of what it
	// has, or a report of catalog entries.
	maxRequestBytes = 8 << 20
	// maxResponseBytes bounds one message to a peer; a whole catalog fits.
	maxResponseBytes = 96 << 20
	maxConnections   = 2 * DefaultMaxStreams
	// A peer that has gone without a word (a lost machine, a stopped process) is
	// noticed after both together.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
	// pingEvery is how often a peer may ping.
	pingEvery = time.Second
	// drainLimit is how long a stop waits for streams to end by themselves.
	drainLimit = 2 * time.Second
)

// Outcomes is a service with streams that end when they are told to.
type Outcomes interface {
	outcomev1.OutcomesServer
	// Stop ends the streams, now and those that come later.
	Stop()
}

// Moves is a service with streams that end when they are told to.
type Moves interface {
	sessionv1.MovesServer
	// Stop ends the streams, now and those that come later.
	Stop()
}

// Probes is a service with streams that end when they are told to.
type Probes interface {
	outcomev1.ProbesServer
	// Stop ends the streams, now and those that come later.
	Stop()
}

// Serve answers on a listener until ctx ends, then ends the streams and stops.
// catalog, outcomes, moves and probes may be nil.
func (s *Server) Serve(ctx context.Context, listener net.Listener, catalog policyv1.CatalogServer, outcomes Outcomes, moves Moves, probes Probes) error {
	streams, endStreams := context.WithCancel(context.Background())
	defer endStreams()
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(grpcproto.Name)}),
		grpc.MaxRecvMsgSize(maxRequestBytes), grpc.MaxSendMsgSize(maxResponseBytes),
		grpc.MaxConcurrentStreams(128), grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEvery, PermitWithoutStream: true}),
		grpc.StreamInterceptor(s.recoverStream), grpc.UnaryInterceptor(s.recoverUnary),
	)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s.ADS(streams))
	if catalog != nil {
		policyv1.RegisterCatalogServer(g, catalog)
	}
	if outcomes != nil {
		outcomev1.RegisterOutcomesServer(g, outcomes)
	}
	if moves != nil {
		sessionv1.RegisterMovesServer(g, moves)
	}
	if probes != nil {
		outcomev1.RegisterProbesServer(g, probes)
	}
	failed := make(chan error, 1)
	go func() { failed <- g.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving xDS: %w", err)
	case <-ctx.Done():
	}
	endStreams()
	if outcomes != nil {
		outcomes.Stop()
	}
	if moves != nil {
		moves.Stop()
	}
	if probes != nil {
		probes.Stop()
	}
	drained := make(chan struct{})
	go func() {
		g.GracefulStop()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainLimit):
		g.Stop()
		<-drained
	}
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving xDS: %w", err)
	}
	return nil
}

// recoverStream turns a panic in a handler into the end of that one stream.
func (s *Server) recoverStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.recovered(ss.Context(), &err)
	return handler(srv, ss)
}

func (s *Server) recoverUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer s.recovered(ctx, &err)
	return handler(ctx, req)
}

func (s *Server) recovered(ctx context.Context, err *error) {
	if r := recover(); r != nil {
		s.log.ErrorContext(ctx, "xds handler failed", slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
		*err = grpcstatus.Error(codes.Internal, "internal error")
	}
}
