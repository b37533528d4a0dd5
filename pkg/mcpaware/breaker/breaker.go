// Package breaker keeps calls of a tool away from a region where that tool is
// broken while its neighbours work. A breaker stands for (server, tool, region):
//
//	state      calls of the tool            leaves it when
//	closed     go to the region             ten failures in a row, or in ten seconds ten
//	                                        more failures than answers
//	open       go elsewhere, or are         its time is over: 5 s, doubled by every further
//	           refused where there is       opening up to a minute, ± 20 %
//	           no elsewhere
//	half-open  one trial at a time goes     three good trials in a row close it, one
//	           there, others elsewhere      failed trial opens it
//
// Five failures in a row do too where they take ten seconds or more: such a tool is
// called rarely. What opens a breaker must be confirmed: failures of one caller alone do not
// count while the server has other callers, unless the same calls succeeded in another
// region, and of several callers one counts no more than all others together. Thirty in a hundred failures at random open nothing: ten in a row happen
// once in 170,000 calls, and answers outnumber failures.
//
// A processor decides alone. What others decide is taken over by its time: the
// later word on a breaker counts. Trials are made by the processor that
// rendezvous hashing picks among those that live; where that one does nothing for
// three seconds, by the others too.
package breaker

import (
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
)

// Key names a breaker.
type Key struct{ Server, Tool, Region string }

// State of a breaker.
type State = outcomev1.BreakerState

// States.
const (
	Closed   = outcomev1.BreakerState_BREAKER_STATE_CLOSED
	Open     = outcomev1.BreakerState_BREAKER_STATE_OPEN
	HalfOpen = outcomev1.BreakerState_BREAKER_STATE_HALF_OPEN
)

// Transition is one change of a breaker's state.
type Transition struct {
	Key
	From, To State
	At       time.Time
	// RetryAt is when an open breaker tries a call again; zero in other states.
	RetryAt time.Time
	// Reason for people, such as "10 calls in a row failed".
	Reason string
	// By is the processor that decided.
	By string
	// Openings without staying closed in between, this one included.
	Openings uint32
}

// Options of a Set.
type Options struct {
	// Processor is the instance's name, unique in the fleet.
	Processor string
	// Now defaults to time.Now.
	Now func() time.Time
	// Random gives numbers of [0, 1) for jitter; defaults to math/rand/v2.
	Random func() float64
	// Observer is told of every transition, in order. It must not block, nor call the Set.
	Observer func(Transition)
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// maxBreakers bounds the breakers that are not closed, or were not a moment ago.
const maxBreakers = 1024

// Set holds the breakers of one processor. It is safe for concurrent use.
type Set struct {
	opts Options
	// watched is the number of breakers that are not closed, overrides and busy
	// marks: calls pass by a Set that has none without another look.
	watched atomic.Int32

	mu        sync.Mutex
	entries   map[Key]*entry
	overrides map[Key]override
	busy      map[busyKey]time.Time
	fleet     fleet
	// tidied is when what is over was last thrown away.
	tidied time.Time
}

// entry is a breaker that is, or was of late, other than closed.
type entry struct {
	state   State
	since   time.Time
	retryAt time.Time
	reason  string
	by      string
	// openings in a row.
	openings uint32
	settings Settings
	// trial is when the trial under way is given up; zero where there is none.
	trial time.Time
	// passed is the number of good trials in a row.
	passed int
	// asked is when a call was last kept away, or tried.
	asked time.Time
	// lastSafe is when a call that may run twice last asked for this tool.
	lastSafe time.Time
	// told: List has said so.
	told bool
}

// New makes an empty Set.
func New(opts Options) *Set {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Random == nil {
		opts.Random = rand.Float64
	}
	if opts.Observer == nil {
		opts.Observer = func(Transition) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Set{
		opts: opts, entries: make(map[Key]*entry), overrides: make(map[Key]override), busy: make(map[busyKey]time.Time),
	}
}

// Failed considers opening a breaker after a failed call. tally is asked for what
// is known of the tool in the region since a moment, zero for all of it; only
// where the breaker is closed.
func (s *Set) Failed(key Key, settings Settings, tally func(since time.Time) outcome.Tally) {
	if settings.Disabled || key.Tool == "" || key.Region == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	e := s.entries[key]
	if e != nil && e.state != Closed {
		return
	}
	if o, ok := s.override(key, now); ok && o.state == Closed {
		return
	}
	var since time.Time
	if e != nil {
		since = e.since
	}
	reason, broken := settings.broken(tally(since))
	if !broken {
		return
	}
	if e == nil {
		if len(s.entries) >= maxBreakers {
			s.evict(now)
		}
		if e = s.add(key, now); e == nil {
			return
		}
	}
	e.settings = settings
	s.open(key, e, now, reason)
}

// add makes an entry, closed; nil where there are too many.
func (s *Set) add(key Key, now time.Time) *entry {
	if len(s.entries) >= maxBreakers {
		s.forget(now)
		if len(s.entries) >= maxBreakers {
			s.opts.Logger.Warn("too many breakers", "server", key.Server, "tool", key.Tool, "region", key.Region, "limit", maxBreakers)
			return nil
		}
	}
	e := &entry{state: Closed, told: true}
	s.entries[key] = e
	return e
}

// abandoned is how long nobody asks for a broken tool before its breaker is forgotten: the tool, or its
// region, may be gone from the configuration, or its name an invention of callers.
const abandoned = 10 * time.Minute

// awaited is the last time that a breaker was of use to anybody, or will be.
func (e *entry) awaited() time.Time {
	return later(later(e.since, e.retryAt), e.asked)
}

// evict makes room for breakers by forgetting those that have been of no use for longest: where names are
// made up, those that calls keep coming for stay. It drops an eighth, so that not every new name costs a search.
func (s *Set) evict(now time.Time) {
	s.forget(now)
	keys := slices.SortedFunc(maps.Keys(s.entries), func(a, b Key) int {
		return later(s.entries[a].since, s.entries[a].asked).Compare(later(s.entries[b].since, s.entries[b].asked))
	})
	drop := max(0, len(keys)-maxBreakers*7/8)
	for _, key := range keys[:drop] {
		delete(s.entries, key)
	}
	s.opts.Logger.Warn("too many breakers: some are forgotten", "forgotten", drop, "limit", maxBreakers)
	s.count()
}

// tidy drops what is over, at most once a second.
func (s *Set) tidy(now time.Time) {
	if now.Sub(s.tidied) < time.Second {
		return
	}
	s.tidied = now
	s.forget(now)
}

// forget drops breakers that have stayed closed or that nobody asks for, and marks and overrides that have ended.
func (s *Set) forget(now time.Time) {
	for key, e := range s.entries {
		if e.state == Closed && now.Sub(e.since) > steady || e.state != Closed && now.Sub(e.awaited()) > abandoned {
			delete(s.entries, key)
		}
	}
	for key, until := range s.busy {
		if !now.Before(until) {
			delete(s.busy, key)
		}
	}
	for key, o := range s.overrides {
		if o.over(now) {
			delete(s.overrides, key)
		}
	}
	s.count()
}

func (s *Set) count() {
	n := len(s.overrides) + len(s.busy)
	for _, e := range s.entries {
		if e.state != Closed {
			n++
		}
	}
	s.watched.Store(int32(n)) //nolint:gosec // bounded
}

// open opens a breaker, or opens it again after a failed trial.
func (s *Set) open(key Key, e *entry, now time.Time, reason string) {
	if e.state == Closed && now.Sub(e.since) > steady {
		e.openings = 0
	}
	e.openings++
	retryAt := now.Add(e.settings.backOff(e.openings, s.opts.Random()))
	s.become(key, e, change{to: Open, at: now, retryAt: retryAt, reason: reason, by: s.opts.Processor, openings: e.openings})
}

// change is what a transition brings.
type change struct {
	to          State
	at, retryAt time.Time
	reason, by  string
	openings    uint32
}

func (s *Set) become(key Key, e *entry, c change) {
	from := e.state
	e.state, e.since, e.retryAt, e.reason, e.by, e.openings = c.to, c.at, c.retryAt, c.reason, c.by, c.openings
	e.trial, e.passed, e.told = time.Time{}, 0, false
	s.count()
	s.opts.Logger.Info("breaker "+word(c.to), //nolint:sloglint // three fixed messages
		"server", key.Server, "tool", key.Tool, "region", key.Region, "from", word(from), "reason", c.reason, "by", c.by,
		"openings", c.openings, "retry_after", max(0, c.retryAt.Sub(c.at)))
	s.opts.Observer(Transition{
		Key: key, From: from, To: c.to, At: c.at, RetryAt: c.retryAt, Reason: c.reason, By: c.by, Openings: c.openings,
	})
}

func word(s State) string {
	switch s {
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	case Closed, outcomev1.BreakerState_BREAKER_STATE_UNSPECIFIED:
	}
	return "closed"
}
