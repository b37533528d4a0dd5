// Package outcomes joins what the processors of a fleet have seen of the tools they
// call, so that each of them knows within seconds what the others found out, and
// keeps what operators say about breakers. It is the control plane's side of
// outcomev1.Outcomes. No processor waits for it: each decides by itself, and goes on
// doing so while there is no control plane.
package outcomes

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// Bounds on what is kept.
const (
	// MaxProcessors is how many processors may have a stream at once.
	MaxProcessors = 256
	// MaxCounts and MaxBreakers bound one Summary and one Fleet (see outcome.proto).
	MaxCounts   = 4096
	MaxBreakers = 1024
	// MaxLoads and MaxCalls bound the rest of a Summary.
	MaxLoads = 1024
	MaxCalls = 1024
	// MaxOverrides is how many words of operators may be in force at once.
	MaxOverrides = 1024
	// maxRecent bounds the counts that wait for slow receivers, of all processors.
	maxRecent = 1 << 16
	// maxWindows bounds what is counted for people, by (server, method, tool, region, endpoint).
	maxWindows = 8192
)

const (
	// fleetInterval is the least time between two Fleets on one stream.
	fleetInterval = time.Second
	// recentSpan is how long counts wait for a receiver. Processors look back ten
	// seconds; what is older tells them nothing.
	recentSpan = 10 * time.Second
	// closedSpan is how long a breaker that was closed is told of, so that a processor
	// which has not heard of it yet does not bring it back.
	closedSpan = time.Minute
	// silence after which a stream is ended: processors say something every five seconds.
	silence = 15 * time.Second
)

// Summaries that a stream may send: a second's, and what a reconnect or a burst
// of changes adds to it. A faster stream is read more slowly.
const (
	summariesPerSecond = 4
	summariesAtOnce    = 8
)

// Key names a breaker. In an Override an empty Region means every region.
type Key struct{ Server, Tool, Region string }

// Compare orders keys by server, tool and region.
func (k Key) Compare(other Key) int {
	return slices.Compare([]string{k.Server, k.Tool, k.Region}, []string{other.Server, other.Tool, other.Region})
}

// Options of a Server; the zero Options do.
type Options struct {
	// Overrides that were in force when the control plane stopped.
	Overrides []*outcomev1.Override
	// Save keeps the overrides that are in force, durably; nil keeps nothing. It is
	// called with one call at a time.
	Save func([]*outcomev1.Override) error
	// Purges that were in force when the control plane stopped; SavePurges is as Save.
	Purges     []*outcomev1.Purge
	SavePurges func([]*outcomev1.Purge) error
	// Changed is called when a breaker or an override has changed, by the goroutine that
	// changed it and with no lock held; nil for nobody.
	Changed func()
	// Observe is shown each summary, without what is not usable in it, by the goroutine that reads the stream and with no
	// lock held; nil shows it to nobody.
	Observe func(*outcomev1.Summary)
	// Now is time.Now when nil, Logger discards.
	Now    func() time.Time
	Logger *slog.Logger
}

// Server implements outcomev1.OutcomesServer. It is safe for concurrent use.
type Server struct {
	outcomev1.UnimplementedOutcomesServer
	save    func([]*outcomev1.Override) error
	changed func()
	observe func(*outcomev1.Summary)
	now     func() time.Time
	log     *slog.Logger
	stopped chan struct{}
	stop    sync.Once

	// writing is held while overrides or purges are written to disk.
	writing    sync.Mutex
	savePurges func([]*outcomev1.Purge) error

	mu      sync.Mutex
	streams map[*stream]struct{}
	// sequence numbers what arrives, for receivers to know how far they have got.
	sequence  uint64
	recent    recent
	windows   windows
	overrides map[Key]*outcomev1.Override
	// purges in force; the slice is replaced, never changed. purgeSerial is the highest one given.
	purges      []*outcomev1.Purge
	purgeSerial uint64
	// news is closed, and replaced, when receivers may have to be told something.
	news chan struct{}
	// dropped counts entries of summaries that could not be taken.
	dropped uint64
}

var _ outcomev1.OutcomesServer = (*Server)(nil)

// ErrTooMany says that a bound on overrides is reached.
var ErrTooMany = errors.New("too many breakers are held by operators")

// ErrNoOverride says that there is nothing to take back.
var ErrNoOverride = errors.New("no operator holds this breaker")

// New makes a Server. Overrides that are not usable, or have ended, are left out.
func New(opts Options) *Server {
	s := &Server{
		save: opts.Save, savePurges: opts.SavePurges, changed: opts.Changed, observe: opts.Observe, now: opts.Now, log: opts.Logger, stopped: make(chan struct{}),
		streams: make(map[*stream]struct{}), windows: windows{byKey: make(map[countKey]*window)},
		overrides: make(map[Key]*outcomev1.Override), news: make(chan struct{}),
	}
	if s.save == nil {
		s.save = func([]*outcomev1.Override) error { return nil }
	}
	if s.savePurges == nil {
		s.savePurges = func([]*outcomev1.Purge) error { return nil }
	}
	if s.changed == nil {
		s.changed = func() {}
	}
	if s.observe == nil {
		s.observe = func(*outcomev1.Summary) {}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.restorePurges(opts.Purges)
	for _, o := range opts.Overrides {
		if err := checkOverride(o); err != nil {
			s.log.Warn("saved breaker override is not usable", "error", err)
			continue
		}
		if len(s.overrides) < MaxOverrides {
			s.overrides[overrideKey(o)] = o
		}
	}
	return s
}

// Stop ends all streams, and those that come later.
func (s *Server) Stop() { s.stop.Do(func() { close(s.stopped) }) }

// tellLocked wakes every receiver.
func (s *Server) tellLocked() {
	close(s.news)
	s.news = make(chan struct{})
}
