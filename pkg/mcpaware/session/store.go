package session

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// Bounds of what is kept of sessions.
const (
	// DefaultStates is how many sessions a Memory holds.
	DefaultStates = 50_000
	// MaxSubscriptions and MaxSubscriptionBytes bound what one session subscribes to.
	MaxSubscriptions     = 256
	MaxSubscriptionBytes = 16 << 10
	// MaxLogLevelBytes bounds the params of logging/setLevel.
	MaxLogLevelBytes = 256
)

// Store keeps the State of sessions that were opened again, were ended, or have
// something to say again when they are. Sessions of which it knows nothing are where
// their id says. Implementations are safe for concurrent use.
type Store interface {
	// Get returns the state of a session, nil where there is none. It is not to be changed.
	Get(ctx context.Context, key string) (*sessionv1.State, error)
	// Put keeps next where the state in force is of the generation before, and returns
	// the state in force afterwards: next, or that of whoever was faster.
	Put(ctx context.Context, key string, next *sessionv1.State) (*sessionv1.State, error)
}

// Key is the name of a session's state at one server.
func (s *Session) Key(server string) string { return hex.EncodeToString(s.UID[:]) + "/" + server }

// Memory is a Store of one process. What is used least gives way beyond its bound.
type Memory struct {
	states *otter.Cache[string, *sessionv1.State]
	// changed is told which state was put; nil: nobody is.
	changed atomic.Pointer[func(key string)]
	// replaced is told which state gave way to which of the fleet's; nil: nobody is.
	replaced atomic.Pointer[func(key string, old, kept *sessionv1.State)]
}

var _ Store = (*Memory)(nil)

// NewMemory keeps up to states sessions, each for ttl after its last change.
func NewMemory(states int, ttl time.Duration) (*Memory, error) {
	cache, err := otter.New(&otter.Options[string, *sessionv1.State]{
		MaximumSize: states, ExpiryCalculator: otter.ExpiryWriting[string, *sessionv1.State](ttl),
	})
	if err != nil {
		return nil, err
	}
	return &Memory{states: cache}, nil
}

// Close ends the goroutine that lets go of what is old. It returns nil.
func (m *Memory) Close() error {
	m.states.StopAllGoroutines()
	return nil
}

// Get implements Store; it never fails.
func (m *Memory) Get(_ context.Context, key string) (*sessionv1.State, error) {
	state, _ := m.states.GetIfPresent(key)
	return state, nil
}

// Put implements Store; it never fails.
func (m *Memory) Put(_ context.Context, key string, next *sessionv1.State) (*sessionv1.State, error) {
	winner, _ := m.states.Compute(key, func(old *sessionv1.State, _ bool) (*sessionv1.State, otter.ComputeOp) {
		if old.GetGeneration()+1 != next.GetGeneration() {
			return old, otter.CancelOp
		}
		return next, otter.WriteOp
	})
	if told := m.changed.Load(); told != nil && winner == next {
		(*told)(key)
	}
	return winner, nil
}

// adopt takes the fleet's word on a session unless it is older than what is known here.
func (m *Memory) adopt(key string, state *sessionv1.State) {
	var before *sessionv1.State
	m.states.Compute(key, func(old *sessionv1.State, _ bool) (*sessionv1.State, otter.ComputeOp) {
		before = nil
		if wins(old, state) {
			return old, otter.CancelOp
		}
		before = old
		return state, otter.WriteOp
	})
	if told := m.replaced.Load(); told != nil && before != nil {
		(*told)(key, before, state)
	}
}

// wins says whether a state of a session beats another one of the same session: the
// end of it is final, a later generation knows more, and of two that were opened
// side by side the older one stays (sessionv1.Moved). nil never wins.
func wins(a, b *sessionv1.State) bool {
	switch {
	case a == nil:
		return false
	case a.GetEnded() != b.GetEnded():
		return a.GetEnded()
	case a.GetGeneration() != b.GetGeneration():
		return a.GetGeneration() > b.GetGeneration()
	}
	return a.GetOpenedAt() < b.GetOpenedAt()
}

// learn keeps what another processor has put, where it is newer.
func (m *Memory) learn(key string, state *sessionv1.State) {
	m.states.Compute(key, func(old *sessionv1.State, _ bool) (*sessionv1.State, otter.ComputeOp) {
		if old.GetGeneration() >= state.GetGeneration() {
			return old, otter.CancelOp
		}
		return state, otter.WriteOp
	})
}

// Shared is a Store that processors have in common, with a Memory for the time when it
// is away: then this processor goes on with what it has seen itself.
type Shared struct {
	common Store
	own    *Memory
	log    *slog.Logger
	away   atomic.Bool
}

var _ Store = (*Shared)(nil)

// memoryOf is the Memory that a Store has, nil where it has none.
func memoryOf(store Store) *Memory {
	switch s := store.(type) {
	case *Memory:
		return s
	case *Shared:
		return s.own
	}
	return nil
}

// NewShared joins the two. A nil logger discards.
func NewShared(common Store, own *Memory, logger *slog.Logger) *Shared {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Shared{common: common, own: own, log: logger}
}

// Get implements Store; it never fails.
func (s *Shared) Get(ctx context.Context, key string) (*sessionv1.State, error) {
	state, err := s.common.Get(ctx, key)
	own, _ := s.own.Get(ctx, key)
	if s.report(ctx, err) || own.GetGeneration() > state.GetGeneration() {
		return own, nil
	}
	if state != nil {
		s.own.learn(key, state)
	}
	return state, nil
}

// Put implements Store; it never fails.
func (s *Shared) Put(ctx context.Context, key string, next *sessionv1.State) (*sessionv1.State, error) {
	winner, err := s.common.Put(ctx, key, next)
	if s.report(ctx, err) {
		return s.own.Put(ctx, key, next)
	}
	s.own.learn(key, winner)
	return winner, nil
}

// report tells once when the common store goes away and once when it is back.
func (s *Shared) report(ctx context.Context, err error) bool {
	if errors.Is(err, context.Canceled) {
		return true
	}
	if was := s.away.Swap(err != nil); was != (err != nil) {
		if err != nil {
			s.log.WarnContext(ctx, "the store of sessions is away; sessions that moved are known only here", "error", err)
		} else {
			s.log.InfoContext(ctx, "the store of sessions is back")
		}
	}
	return err != nil
}

// Change reads a session's state, lets edit change a copy of it, and keeps that. Where
// somebody else was faster it begins again, a few times. edit says whether there is
// anything to keep. The result is the state in force.
func Change(ctx context.Context, store Store, key string, edit func(*sessionv1.State) bool) (*sessionv1.State, error) {
	const tries = 4
	for range tries {
		state, err := store.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		next := &sessionv1.State{}
		if state != nil {
			next = proto.CloneOf(state)
		}
		if !edit(next) {
			return state, nil
		}
		next.Generation = state.GetGeneration() + 1
		winner, err := store.Put(ctx, key, next)
		if err != nil {
			return nil, err
		}
		if proto.Equal(winner, next) {
			return winner, nil
		}
	}
	return nil, errors.New("the state of a session changes faster than it can be written")
}

// Subscribe adds a URI to what a session is opened again with; false: it is there
// already, or there is no room.
func Subscribe(state *sessionv1.State, uri string) bool {
	size := len(uri)
	for _, have := range state.GetSubscriptions() {
		if have == uri {
			return false
		}
		size += len(have)
	}
	if len(state.GetSubscriptions()) >= MaxSubscriptions || size > MaxSubscriptionBytes {
		return false
	}
	state.Subscriptions = append(state.GetSubscriptions(), uri)
	return true
}

// Unsubscribe takes a URI out; false: it was not there.
func Unsubscribe(state *sessionv1.State, uri string) bool {
	at := slices.Index(state.GetSubscriptions(), uri)
	if at < 0 {
		return false
	}
	state.Subscriptions = slices.Delete(state.GetSubscriptions(), at, at+1)
	return true
}
