package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"

	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
)

// Refusals of callers that the log tells: a burst, and then so many a second.
const (
	refusalsLogged      = 10
	refusalsLoggedBurst = 20
)

// Options of a Service; the zero Options do.
type Options struct {
	// Logger gets a line for every write and, up to a bound, for callers that were refused; nil discards.
	Logger *slog.Logger
	// Now is time.Now when nil.
	Now func() time.Time
}

// Service is the admin API over one Backend, on any number of listeners at once. It is safe for
// concurrent use.
type Service struct {
	backend Backend
	log     *slog.Logger
	now     func() time.Time
	times   times
	rpc     http.Handler
	errors  *connect.ErrorWriter

	writes, reads, watches slots
	// turn is held by the write that is being made.
	turn slots

	refusals *rate.Limiter
	unlogged atomic.Int64
}

// New makes a Service. Local and Listener.Serve put it on the network.
func New(backend Backend, opts Options) *Service {
	s := &Service{
		backend: backend, log: opts.Logger, now: opts.Now, times: defaultTimes,
		writes: make(slots, 1+maxWaitingWrites), reads: make(slots, maxReads), watches: make(slots, maxWatches),
		turn:     make(slots, 1),
		refusals: rate.NewLimiter(refusalsLogged, refusalsLoggedBurst),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	handlerOptions := append(codecs(),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			limit := maxSmallMessageBytes
			if spec.Procedure == adminv1connect.AdminApplyProcedure {
				limit = MaxMessageBytes
			}
			return []connect.HandlerOption{connect.WithReadMaxBytes(limit)}
		}),
		connect.WithSendMaxBytes(maxAnswerBytes),
		connect.WithCompressMinBytes(minCompressedBytes),
		connect.WithRecover(s.recovered),
	)
	_, s.rpc = adminv1connect.NewAdminHandler(&rpcs{s}, handlerOptions...)
	s.errors = connect.NewErrorWriter(handlerOptions...)
	return s
}

// Local serves callers without credentials, and only such as ask for a loopback host. It is for
// the listener of package admin, which other machines cannot reach.
func (s *Service) Local() http.Handler {
	return &guard{service: s, access: &access{hosts: true, now: s.now}}
}

// room for one more call of a kind.
func (s *Service) room(what kind) slots {
	switch what {
	case writing:
		return s.writes
	case watching:
		return s.watches
	default:
		return s.reads
	}
}

// answer with an error in the words of whichever protocol the caller speaks.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err := s.errors.Write(w, r, err); err != nil {
		s.log.DebugContext(r.Context(), "admin API: answer not written", "remote", remote(r), "error", err)
	}
}

// recovered makes an answer of a panic; what it was about stays in the log.
func (s *Service) recovered(ctx context.Context, spec connect.Spec, _ http.Header, value any) error {
	s.log.ErrorContext(ctx, "admin API: fault", "method", spec.Procedure, "fault", value, "stack", string(debug.Stack()))
	return connect.NewError(connect.CodeInternal, errFault)
}
