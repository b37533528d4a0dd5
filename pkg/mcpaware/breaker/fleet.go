package breaker

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

const (
	// yieldTrials is how long a processor waits for the one that hashing picked.
	yieldTrials = 3 * time.Second
	// maxAhead bounds how far another processor's clock may be in front.
	maxAhead     = time.Minute
	maxNameBytes = 512
	maxFleet     = 1024
)

// fleet is who else decides.
type fleet struct{ processors []string }

// List returns every breaker that is not closed, and those closed since the call
// before: what this processor tells the fleet. At most 1024.
func (s *Set) List() []*outcomev1.Breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.opts.Now())
	var out []*outcomev1.Breaker
	for key, e := range s.entries {
		if e.state == Closed && e.told {
			continue
		}
		e.told = true
		b := &outcomev1.Breaker{
			Server: key.Server, Tool: key.Tool, Region: key.Region, State: e.state,
			Since: timestamppb.New(e.since), Reason: e.reason, By: e.by, Openings: e.openings,
		}
		if e.state == Open {
			b.RetryAt = timestamppb.New(e.retryAt)
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b *outcomev1.Breaker) int {
		return cmp.Or(cmp.Compare(a.GetServer(), b.GetServer()), cmp.Compare(a.GetTool(), b.GetTool()), cmp.Compare(a.GetRegion(), b.GetRegion()))
	})
	return out
}

// Adopt takes what the fleet says: who is in it and which breakers the others hold.
// The overrides are for Override. A nil Fleet says that this processor is alone.
func (s *Set) Adopt(f *outcomev1.Fleet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleet.processors = slices.Clone(f.GetProcessors()[:min(len(f.GetProcessors()), maxFleet)])
	now := s.opts.Now()
	for _, b := range f.GetBreakers()[:min(len(f.GetBreakers()), maxBreakers)] {
		if acceptable(b, now) {
			s.adopt(b, now)
		}
	}
}

func acceptable(b *outcomev1.Breaker, now time.Time) bool {
	switch {
	case b.GetServer() == "" || b.GetTool() == "" || b.GetRegion() == "":
		return false
	case max(len(b.GetServer()), len(b.GetTool()), len(b.GetRegion()), len(b.GetReason()), len(b.GetBy())) > maxNameBytes:
		return false
	case b.GetState() != Open && b.GetState() != HalfOpen && b.GetState() != Closed:
		return false
	}
	// A clock far in front would have the last word for ever.
	return b.GetSince().IsValid() && b.GetSince().AsTime().Before(now.Add(maxAhead))
}

// adopt takes the later of two words on a breaker.
func (s *Set) adopt(b *outcomev1.Breaker, now time.Time) {
	key := Key{b.GetServer(), b.GetTool(), b.GetRegion()}
	e := s.entries[key]
	since := b.GetSince().AsTime()
	switch {
	case e == nil && b.GetState() == Closed:
		return
	case e == nil && now.Sub(later(since, b.GetRetryAt().AsTime())) > abandoned:
		// Forgotten here; taken in again it would live on in the fleet for ever.
		return
	case e == nil:
		if e = s.add(key, now); e == nil {
			return
		}
	case !since.After(e.since):
		return
	}
	c := change{to: b.GetState(), at: since, reason: b.GetReason(), by: b.GetBy(), openings: b.GetOpenings()}
	if c.to == Open {
		// A breaker that nobody tries again must not come from a wrong clock.
		c.retryAt = since.Add(DefaultOpenFor)
		if b.GetRetryAt().IsValid() {
			c.retryAt = b.GetRetryAt().AsTime()
		}
		if latest := now.Add(2 * maxOpenFor); c.retryAt.After(latest) {
			c.retryAt = latest
		}
	}
	if e.state == c.to {
		e.since, e.retryAt, e.reason, e.by, e.openings = c.at, c.retryAt, c.reason, c.by, c.openings
		return
	}
	s.become(key, e, c)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// maxOpenFor is the longest time that a configuration may ask for.
const maxOpenFor = time.Hour

// mine says whether this processor makes the trials of a breaker that is due: the one
// that rendezvous hashing picks does, and everybody where that one has not for a while.
func (s *Set) mine(key Key, e *entry, now time.Time) bool {
	due := e.retryAt
	if e.state == HalfOpen {
		if e.by == s.opts.Processor {
			return true
		}
		due = e.since
	}
	if now.Sub(due) >= yieldTrials {
		return true
	}
	return s.fleet.pick(key, s.opts.Processor) == s.opts.Processor
}

// pick is rendezvous hashing: every processor gives the same answer while they know
// of the same ones, and a processor that goes takes only its own breakers along.
func (f *fleet) pick(key Key, self string) string {
	best, most := self, weight(self, key)
	for _, p := range f.processors {
		if w := weight(p, key); w > most || (w == most && p < best) {
			best, most = p, w
		}
	}
	return best
}

func weight(processor string, key Key) uint64 {
	h := fnv.New64a()
	for _, part := range []string{processor, key.Server, key.Tool, key.Region} {
		_, _ = h.Write([]byte(part)) // never fails
		_, _ = h.Write([]byte{0})
	}
	// FNV's high bits hardly depend on the last bytes.
	w := h.Sum64()
	w ^= w >> 33
	w *= 0xff51afd7ed558ccd
	return w ^ w>>33
}

// override is an operator's word.
type override struct {
	state State
	// until is zero where it holds until it is taken back.
	until time.Time
}

func (o override) over(now time.Time) bool { return !o.until.IsZero() && !now.Before(o.until) }

// end is when calls may be tried again, a guess where nobody said.
func (o override) end(now time.Time) time.Time {
	if o.until.IsZero() {
		return now.Add(DefaultMaxOpenFor)
	}
	return o.until
}

// override finds the operator's word on a breaker: one on the region, else one on
// all regions.
func (s *Set) override(key Key, now time.Time) (override, bool) {
	if len(s.overrides) == 0 {
		return override{}, false
	}
	for _, k := range []Key{key, {key.Server, key.Tool, ""}} {
		if o, ok := s.overrides[k]; ok && !o.over(now) {
			return o, true
		}
	}
	return override{}, false
}

// Override replaces the operators' words in force by these, all of them. They beat
// what answers say: an OPEN one keeps calls away without trials, a CLOSED one lets them go.
func (s *Set) Override(overrides []*outcomev1.Override) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[Key]override, len(overrides))
	for _, o := range overrides[:min(len(overrides), maxBreakers)] {
		key := Key{o.GetServer(), o.GetTool(), o.GetRegion()}
		if key.Server == "" || key.Tool == "" || (o.GetState() != Open && o.GetState() != Closed) {
			continue
		}
		word := override{state: o.GetState()}
		if o.GetUntil().IsValid() {
			word.until = o.GetUntil().AsTime()
		}
		next[key] = word
	}
	s.overrides = next
	s.count()
}
