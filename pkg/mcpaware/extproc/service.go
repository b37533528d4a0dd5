// Package extproc is Envoy's external processor: the one package of the
// processor that knows Envoy's messages. It takes apart what the two attachment
// points send, asks the packages that know MCP, and puts their decisions into
// replies.
//
// The edge point is asked once a request and decides where it goes (decide) and
// what is said when no server answers (degrade). The attempt point is asked once
// a try: it holds an answer until its first whole message is there, judges it
// (outcome) and tells Envoy by :status, so that Envoy's own retries and outlier
// detection see failures that hide in HTTP 200.
package extproc

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/budget"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/reach"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/results"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/told"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// Options of a Service. Table is required.
type Options struct {
	// Table gives the policies in force, nil while there are none. It is asked once
	// a stream.
	Table func() *decide.Table
	// Catalog remembers lists; nil remembers none.
	Catalog *catalog.Store
	// Window counts answers; nil makes one on the system clock.
	Window *outcome.Window
	// Breakers keep calls of broken tools away; nil makes a Set that is alone.
	Breakers *breaker.Set
	// Shares say which callers are sent away from a region; nil sends nobody.
	Shares *share.Shares
	// Budget bounds retries; nil makes one that is this processor's alone. Silence knows the
	// endpoints that answer nothing; nil makes one on the system clock.
	Budget  *budget.Budget
	Silence *budget.Silence
	// Results remembers results of tools; nil remembers none.
	Results *results.Store
	// Fits says why an operator's answer cannot stand in for a tool's, nil where it can. It must not
	// block. Without the function all can.
	Fits func(server, tool string, answer *policyv1.StaticAnswer) error
	// Reach knows which servers behind tools are down; nil knows of none.
	Reach *reach.Prober
	// Report takes catalog entries that callers may share; it must not block. nil
	// drops them.
	Report func(*policyv1.CatalogEntry)
	// Limits count what rate limits bound; nil makes one in memory that is this processor's alone. Metered is shown what became of charges,
	// and must not block; nil for nobody.
	Limits  limit.Engine
	Metered func([]limit.Charge, []limit.Result)
	// Told takes what endpoints say of their load, and how calls end, which is counted with Calls; nil for nobody.
	Told *told.Collector
	// Gate holds the calls under way and those that wait; nil makes one on the system
	// clock.
	Gate *admit.Gate
	// Pressure says which calls a busy processor gives up; nil gives up none.
	Pressure *admit.Pressure
	// Live is the number of processors that share the limits, 0 while it is not known:
	// then it is the number that the policy names. nil never knows.
	Live func() int
	// Keyring gives the keys of session ids, nil while there are none: then no stream is
	// served. Without the function ids of servers go to clients as they are.
	Keyring func() *session.Keyring
	// Reopener opens lost sessions again, and has the store of those; nil: sessions end
	// with their endpoint.
	Reopener *session.Reopener
	// Calls counts calls for Prometheus; nil counts none. Region is the processor's own,
	// which calls of a server may prefer.
	Calls  *telemetry.Calls
	Region string
	// Verified says whether a server was found to compare headers with bodies, so that large
	// bodies go to it unread; nil: none was. It must not block.
	Verified decide.Verifier
	// Traces gives where spans go, nil while they go nowhere. Without the function none is made.
	Traces func() *trace.Pipeline
	// Revision names the policies in force, for spans; nil: they go without it.
	Revision func() string
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Service implements envoy.service.ext_proc.v3.ExternalProcessor for both
// attachment points. It is safe for concurrent use.
type Service struct {
	extprocv3.UnimplementedExternalProcessorServer
	opts    Options
	log     *slog.Logger
	streams atomic.Int64
	absent  absences
	// failures bounds the lines about calls that did not go well.
	failures failureLog
	// misfits bounds the lines about answers of operators that do not fit.
	misfits sayings
	// reductions are the tools that lists lack.
	reductions reductions
}

var _ extprocv3.ExternalProcessorServer = (*Service)(nil)

// New makes a Service.
func New(opts Options) *Service {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Window == nil {
		opts.Window = outcome.NewWindow(nil)
	}
	if opts.Breakers == nil {
		opts.Breakers = breaker.New(breaker.Options{Logger: opts.Logger})
	}
	if opts.Gate == nil {
		opts.Gate = admit.NewGate(nil)
	}
	if opts.Limits == nil {
		opts.Limits = limit.NewMemory(limit.MemoryOptions{})
	}
	if opts.Metered == nil {
		opts.Metered = func([]limit.Charge, []limit.Result) {}
	}
	if opts.Pressure == nil {
		opts.Pressure = &admit.Pressure{}
	}
	if opts.Live == nil {
		opts.Live = func() int { return 0 }
	}
	if opts.Budget == nil {
		opts.Budget = budget.New(budget.Options{Instances: opts.Live})
	}
	if opts.Silence == nil {
		opts.Silence = budget.NewSilence(nil)
	}
	if opts.Fits == nil {
		opts.Fits = func(string, string, *policyv1.StaticAnswer) error { return nil }
	}
	if opts.Report == nil {
		opts.Report = func(*policyv1.CatalogEntry) {}
	}
	return &Service{opts: opts, log: opts.Logger}
}

// Streams is the number of streams under way.
func (s *Service) Streams() int64 { return s.streams.Load() }

// Process serves one stream: one request at the edge point, one try at the
// attempt point. Envoy says which in the initial metadata names.PointKey. An error ends the
// stream, and Envoy goes on without the processor: a request that has no stamp
// by then reaches no server.
func (s *Service) Process(stream extprocv3.ExternalProcessor_ProcessServer) (err error) {
	s.streams.Add(1)
	defer s.streams.Add(-1)
	defer func() {
		// A message that trips a fault of ours costs its own stream and no other.
		if fault := recover(); fault != nil {
			s.log.Error("stream failed", "fault", fault, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal fault")
		}
	}()
	point, err := pointOf(stream)
	if err != nil {
		return err
	}
	switch point {
	case names.PointEdge:
		table := s.opts.Table()
		if table == nil {
			return status.Error(codes.Unavailable, "no policies yet")
		}
		e := &edge{service: s, table: table, trace: s.traceEdge(stream.Context(), table)}
		if s.opts.Keyring != nil {
			if e.session.keyring = s.opts.Keyring(); e.session.keyring == nil {
				return status.Error(codes.Unavailable, "no session keys yet")
			}
		}
		err = e.run(stream)
	case names.PointAttempt:
		err = newAttempt(s, stream).run()
	default:
		return status.Errorf(codes.InvalidArgument, "metadata %s is %q, want %q or %q", names.PointKey, point, names.PointEdge, names.PointAttempt)
	}
	// Envoy ends the stream when the request or the try is over.
	if errors.Is(err, io.EOF) || stream.Context().Err() != nil {
		return nil
	}
	return err
}

func pointOf(stream extprocv3.ExternalProcessor_ProcessServer) (string, error) {
	md, _ := metadata.FromIncomingContext(stream.Context())
	points := md.Get(names.PointKey)
	if len(points) != 1 {
		return "", status.Errorf(codes.InvalidArgument, "metadata %s must be there once, is there %d times", names.PointKey, len(points))
	}
	return points[0], nil
}

// unexpected is the error for a message that the point's configuration does not
// ask Envoy for.
func unexpected(point string, req *extprocv3.ProcessingRequest) error {
	return status.Error(codes.FailedPrecondition, fmt.Sprintf("%s point: unexpected message %T", point, req.GetRequest()))
}
