package breaker

import (
	"time"
)

// Ask is a call that is about to be routed.
type Ask struct {
	Server, Tool string
	// Principal of the caller, for regions that are too busy for it.
	Principal uint64
	// Regions of the server, the preferred ones first.
	Regions []string
	// Safe: the call may run twice, so that a failed trial costs it nothing.
	Safe bool
	// Lease is how long a trial may take before it counts for nothing.
	Lease time.Duration
	// Why asks for Choice.Avoided.
	Why bool
}

// Choice is where a call may go. The zero Choice is everywhere.
type Choice struct {
	// Good are the regions that it may go to, in the order of Ask.Regions; nil: all.
	Good []string
	// None: there is no such region; RetryAt says when there may be one.
	None    bool
	RetryAt time.Time
	// Busy: a server asked this caller to wait, no breaker is open.
	Busy bool
	// Trial is not nil where the call is a half-open breaker's trial. It has to be
	// ended.
	Trial *Trial
	// Avoided are the regions that it may not go to, where Ask.Why is set.
	Avoided []Avoided
}

// Avoided is a region that a call is kept away from.
type Avoided struct {
	Region string
	// State of its breaker: Open, or HalfOpen while other calls try; Closed where the region
	// asked this caller to wait.
	State State
}

// Quiet says that no breaker is anything but closed, so that Choose has nothing to
// say. It costs one atomic load.
func (s *Set) Quiet() bool { return s.watched.Load() == 0 }

// Choose says where a call may go.
func (s *Set) Choose(a Ask) Choice {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	s.tidy(now)
	c := Choice{RetryAt: now.Add(DefaultMaxOpenFor), Busy: true}
	good := make([]string, 0, len(a.Regions))
	for _, region := range a.Regions {
		key := Key{a.Server, a.Tool, region}
		until, allowed, trial := s.allows(key, &a, now, c.Trial == nil)
		if allowed {
			if busyUntil := s.busy[busyKey{key, a.Principal}]; now.Before(busyUntil) {
				until, allowed = busyUntil, false
			}
		} else {
			c.Busy = false
		}
		switch {
		case !allowed:
			if until.Before(c.RetryAt) {
				c.RetryAt = until
			}
			if a.Why {
				c.Avoided = append(c.Avoided, Avoided{Region: region, State: s.state(key, now)})
			}
		case trial:
			c.Trial = s.begin(key, &a, now)
			good = append(good, region)
		default:
			good = append(good, region)
		}
	}
	switch {
	case len(good) == len(a.Regions):
		return Choice{Trial: c.Trial}
	case len(good) == 0:
		return Choice{None: true, RetryAt: c.RetryAt, Busy: c.Busy, Avoided: c.Avoided}
	}
	return Choice{Good: good, Trial: c.Trial, Avoided: c.Avoided}
}

// state of a breaker as calls meet it: an operator's word counts for more than what was found out.
func (s *Set) state(key Key, now time.Time) State {
	if o, ok := s.override(key, now); ok {
		return o.state
	}
	if e := s.entries[key]; e != nil {
		return e.state
	}
	return Closed
}

// allows says whether a call may go to the region of a breaker, as a trial or
// freely, and if not, until when.
func (s *Set) allows(key Key, a *Ask, now time.Time, mayTry bool) (until time.Time, allowed, trial bool) {
	if o, ok := s.override(key, now); ok {
		return o.end(now), o.state == Closed, false
	}
	e := s.entries[key]
	if e == nil || e.state == Closed {
		return time.Time{}, true, false
	}
	e.asked = now
	if a.Safe {
		e.lastSafe = now
	}
	until = e.retryAt
	if e.state == HalfOpen {
		until = now.Add(time.Second)
	}
	switch {
	case now.Before(e.retryAt), !mayTry, now.Before(e.trial), !s.mine(key, e, now):
		return until, false, false
	case !a.Safe && now.Sub(e.lastSafe) < failedTrialCosts:
		// A call that may run twice will come, and loses nothing by a failed trial.
		return until, false, false
	}
	return time.Time{}, true, true
}

// failedTrialCosts is how long a breaker waits for a safe call to try with.
const failedTrialCosts = 30 * time.Second

// Trial is one call that finds out whether a tool works again. Exactly one of its
// ends counts, the first; after its lease none does.
type Trial struct {
	set   *Set
	key   Key
	until time.Time
}

// begin makes a breaker half-open, if it is not yet, and a trial.
func (s *Set) begin(key Key, a *Ask, now time.Time) *Trial {
	e := s.entries[key]
	if e.state == Open {
		s.become(key, e, change{
			to: HalfOpen, at: now, reason: "trying whether it works again", by: s.opts.Processor, openings: e.openings,
		})
	}
	lease := a.Lease
	if lease <= 0 || lease > maxLease {
		lease = maxLease
	}
	e.trial = now.Add(lease)
	return &Trial{set: s, key: key, until: e.trial}
}

// maxLease bounds how long one trial keeps others away.
const maxLease = time.Minute

// Region that the trial is about.
func (t *Trial) Region() string { return t.key.Region }

// Good says that the region answered well.
func (t *Trial) Good() {
	t.end(func(s *Set, e *entry, now time.Time) {
		if e.passed++; e.passed >= passesToClose {
			s.become(t.key, e, change{to: Closed, at: now, reason: "calls succeed again", by: s.opts.Processor, openings: e.openings})
		}
	})
}

// Failed says that the region failed again.
func (t *Trial) Failed() {
	t.end(func(s *Set, e *entry, now time.Time) { s.open(t.key, e, now, "a trial failed") })
}

// Void says that the call told nothing: it went elsewhere, or its caller went away.
func (t *Trial) Void() { t.end(func(*Set, *entry, time.Time) {}) }

func (t *Trial) end(count func(*Set, *entry, time.Time)) {
	s := t.set
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[t.key]
	now := s.opts.Now()
	// The trial is over, or the breaker has changed since it began.
	if e == nil || e.state != HalfOpen || !e.trial.Equal(t.until) || now.After(t.until) {
		return
	}
	e.trial = time.Time{}
	count(s, e, now)
}

// busyKey: a server that is busy may be busy for one caller only.
type busyKey struct {
	Key
	principal uint64
}

const (
	// maxBusy bounds how long Retry-After keeps a caller away, and how many marks there are.
	maxBusy      = 30 * time.Second
	maxBusyMarks = 4096
)

// Busy keeps the calls that a caller makes of a tool away from a region that asked
// it to wait (HTTP 429, Retry-After), for at most 30 s. It opens no breaker.
func (s *Set) Busy(key Key, principal uint64, wait time.Duration) {
	if wait <= 0 || key.Region == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	if len(s.busy) >= maxBusyMarks {
		s.forget(now)
		if len(s.busy) >= maxBusyMarks {
			return
		}
	}
	s.busy[busyKey{key, principal}] = now.Add(min(wait, maxBusy))
	s.count()
}
