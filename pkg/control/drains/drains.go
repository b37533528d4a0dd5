// Package drains keeps what operators have taken out of service: regions and endpoints where nothing
// new begins, whose sessions go on for a while, and which then get nothing until they are taken back.
package drains

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// Max bounds how many there are at a time.
const Max = 1024

var (
	// ErrNone: there is no such drain.
	ErrNone = errors.New("it is not drained")
	// ErrTooMany: there are Max already.
	ErrTooMany = fmt.Errorf("%d regions and endpoints are drained already", Max)
)

// Drain is one region or endpoint.
type Drain struct {
	Target
	// Since when, and when it ends by itself; zero: when it is taken back.
	Since, Until time.Time
	// SessionsUntil is when its sessions end, too.
	SessionsUntil time.Time
	// By whom, and why.
	By, Reason string
}

// Target says what is drained: Region or Endpoint is set. A region without a server is that of
// every server.
type Target struct{ Server, Region, Endpoint string }

// Compare orders targets by server, region and endpoint.
func (t Target) Compare(other Target) int {
	return cmp.Or(cmp.Compare(t.Server, other.Server), cmp.Compare(t.Region, other.Region), cmp.Compare(t.Endpoint, other.Endpoint))
}

func (d Drain) ended(now time.Time) bool { return !d.Until.IsZero() && !d.Until.After(now) }

// state is what the endpoints are in.
func (d Drain) state(now time.Time) model.HealthState {
	if d.SessionsUntil.After(now) {
		return model.Draining
	}
	return model.Unhealthy
}

// Options of a Store.
type Options struct {
	// Drains that were kept.
	Drains []Drain
	// Save keeps all of them durably in place of those before; nil keeps nothing.
	Save func([]Drain) error
	// Changed is told after each change; nil: nobody is.
	Changed func()
	// Now is time.Now when nil.
	Now func() time.Time
}

// Store has all drains. It is safe for concurrent use.
type Store struct {
	opts Options
	// writing is held by who changes them; mu guards them.
	writing sync.Mutex
	mu      sync.Mutex
	drains  map[Target]Drain
}

// New makes a Store.
func New(opts Options) *Store {
	if opts.Save == nil {
		opts.Save = func([]Drain) error { return nil }
	}
	if opts.Changed == nil {
		opts.Changed = func() {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{opts: opts, drains: map[Target]Drain{}}
	for _, d := range opts.Drains {
		s.drains[d.Target] = d
	}
	return s
}

// Set drains something, in place of what was said of the same target. It is kept on disk before it counts;
// after an error nothing has changed.
func (s *Store) Set(d Drain) error {
	return s.replace(func(all map[Target]Drain) error {
		if _, ok := all[d.Target]; !ok && len(all) >= Max {
			return ErrTooMany
		}
		all[d.Target] = d
		return nil
	})
}

// TakeBack ends drains. ErrNone says that one of them is not there; then nothing has changed.
func (s *Store) TakeBack(targets ...Target) error {
	return s.replace(func(all map[Target]Drain) error {
		for _, t := range targets {
			if _, ok := all[t]; !ok {
				return ErrNone
			}
			delete(all, t)
		}
		return nil
	})
}

func (s *Store) replace(change func(map[Target]Drain) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	now := s.opts.Now()
	s.mu.Lock()
	next := maps.Clone(s.drains)
	s.mu.Unlock()
	maps.DeleteFunc(next, func(_ Target, d Drain) bool { return d.ended(now) })
	if err := change(next); err != nil {
		return err
	}
	if err := s.opts.Save(sorted(next)); err != nil {
		return fmt.Errorf("keeping what is drained: %w", err)
	}
	s.mu.Lock()
	s.drains = next
	s.mu.Unlock()
	s.opts.Changed()
	return nil
}

func sorted(all map[Target]Drain) []Drain {
	out := make([]Drain, 0, len(all))
	for _, t := range slices.SortedFunc(maps.Keys(all), Target.Compare) {
		out = append(out, all[t])
	}
	return out
}

// List gives those in force, by target.
func (s *Store) List() []Drain {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(sorted(s.drains), func(d Drain) bool { return d.ended(now) })
}

// Over lays the drains of a server over what was measured of it, which is not changed.
func (s *Store) Over(server string, h model.Health) model.Health {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := false
	for t, d := range s.drains {
		if d.ended(now) || t.Server != server && t.Server != "" {
			continue
		}
		if !copied {
			h.Regions, h.Endpoints = maps.Clone(h.Regions), maps.Clone(h.Endpoints)
			if h.Regions == nil {
				h.Regions = map[string]model.HealthState{}
			}
			if h.Endpoints == nil {
				h.Endpoints = map[string]model.EndpointHealth{}
			}
			copied = true
		}
		if t.Region != "" {
			h.Regions[t.Region] = max(h.Regions[t.Region], d.state(now))
			continue
		}
		e := h.Endpoints[t.Endpoint]
		e.State, e.Ordered = max(e.State, d.state(now)), true
		h.Endpoints[t.Endpoint] = e
	}
	return h
}

// Next is when a drain goes into another state by itself, the first one after now; zero when none does.
func (s *Store) Next() time.Time {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var next time.Time
	for _, d := range s.drains {
		for _, at := range []time.Time{d.SessionsUntil, d.Until} {
			if at.After(now) && (next.IsZero() || at.Before(next)) && !d.ended(now) {
				next = at
			}
		}
	}
	return next
}
