// Package breaker keeps calls of a tool away from a region where that tool is
// broken while its neighbours work. A breaker stands for (server, tool, region).
package breaker

import (
	"log/slog"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// Key names a breaker.
type Key struct{ Server, Tool, Region string }

// Transition is one change of a breaker's state.
type Transition struct {
	Key
	From, To outcomev1.BreakerState
	At       time.Time
	// RetryAt is when an open breaker tries a call again; zero in other states.
	RetryAt time.Time
	// Reason for people, such as "10 of 10 calls failed in 10s".
	Reason string
	// By is the processor that decided, or "operator NAME".
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

// Set holds the breakers of one processor. It is safe for concurrent use.
type Set struct{ opts Options }

// New makes an empty Set.
func New(opts Options) *Set { return &Set{opts: opts} }

// List returns every breaker that is not closed, and those closed since the call
// before: what this processor tells the fleet. At most 1024.
func (s *Set) List() []*outcomev1.Breaker { return nil }

// Adopt takes what the fleet says: who is in it and which breakers the others hold.
// The overrides are for Override. A nil Fleet says that this processor is alone.
func (s *Set) Adopt(fleet *outcomev1.Fleet) { _ = fleet }

// Override replaces the operators' words in force by these, all of them.
func (s *Set) Override(overrides []*outcomev1.Override) { _ = overrides }
