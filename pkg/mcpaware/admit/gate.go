package admit

import (
	"context"
	"sync"
	"time"
)

// maxRooms is how many servers, and rules of a server, are remembered before those
// without calls are forgotten.
const maxRooms = 4096

// Bounds on Refusal.RetryAfter.
const (
	minRetryAfter = 100 * time.Millisecond
	maxRetryAfter = 30 * time.Second
	// usualRetryAfter where nothing is known of how long calls take.
	usualRetryAfter = time.Second
)

// Gate admits calls. The zero Gate is not ready; use NewGate. It is safe for
// concurrent use.
type Gate struct {
	now func() time.Time

	mu    sync.Mutex
	lanes map[string]*lane
}

// NewGate makes a Gate; now is time.Now where nil.
func NewGate(now func() time.Time) *Gate {
	if now == nil {
		now = time.Now
	}
	return &Gate{now: now, lanes: map[string]*lane{}}
}

// state of a Ticket.
type state int

const (
	queued state = iota
	held
	gone
)

// Ticket is one call's place: in the queue, then under way. Whoever got one must call
// Release, in whatever state it is; more than once does no harm.
type Ticket struct {
	gate *Gate
	lane *lane
	rule *room
	call Call

	arrival uint64
	arrived time.Time
	granted time.Time
	budget  time.Duration
	state   state
	refusal *Refusal
	// settled is closed when the ticket leaves the queue, for whatever reason.
	settled chan struct{}
}

// Ask asks for a slot: a Ticket that is held or waits (see Waiting), or the reason
// why the call is refused at once.
func (g *Gate) Ask(call Call) (*Ticket, *Refusal) {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane(call.Server)
	// The limits are those of the newest policies.
	l.limit = call.ServerLimit
	rule := l.rule(call.Rule)
	rule.limit = call.RuleLimit
	t := &Ticket{gate: g, lane: l, rule: rule, call: call, arrived: now, settled: make(chan struct{})}
	l.enqueue(t)
	l.dispatch(now)
	if t.state == held {
		return t, nil
	}
	if l.admit(t); t.refusal != nil {
		return nil, t.refusal
	}
	return t, nil
}

// admit decides about a ticket that has to wait.
func (l *lane) admit(t *Ticket) {
	wait, ofRule := l.forecast(t)
	t.budget = l.patience(t)
	if wait > t.budget {
		l.refuse(t, TooLate, ofRule, wait-t.budget)
		return
	}
	switch victim, full := l.overfull(t); victim {
	case nil:
	case t:
		l.refuse(t, QueueFull, full, wait)
	default:
		l.refuse(victim, Shed, full, wait)
	}
}

// patience is how long a call may wait: as its limits say, and so that the time its work
// usually takes is left of its timeout.
func (l *lane) patience(t *Ticket) time.Duration {
	patience := time.Duration(-1)
	for _, limit := range [...]Limit{l.limit, t.rule.limit} {
		if limit.Concurrent > 0 && (patience < 0 || limit.MaxWait < patience) {
			patience = limit.MaxWait
		}
	}
	if t.call.Timeout > 0 {
		patience = min(patience, t.call.Timeout-t.rule.hold)
	}
	return max(patience, 0)
}

// refuse takes a ticket out of the queue. ahead is a guess of how long the queue is.
func (l *lane) refuse(t *Ticket, why Reason, ofRule bool, ahead time.Duration) {
	l.remove(t)
	limit := l.limit.Concurrent
	if ofRule {
		limit = t.rule.limit.Concurrent
	}
	if ahead <= 0 {
		ahead = usualRetryAfter
	}
	t.state = gone
	t.refusal = &Refusal{Reason: why, OfRule: ofRule, Limit: limit, RetryAfter: min(max(ahead, minRetryAfter), maxRetryAfter)}
	close(t.settled)
}

func (g *Gate) lane(server string) *lane {
	l := g.lanes[server]
	if l == nil {
		if len(g.lanes) >= maxRooms {
			for name, old := range g.lanes {
				if old.idle() {
					delete(g.lanes, name)
				}
			}
		}
		l = &lane{rules: map[Rule]*room{}}
		g.lanes[server] = l
	}
	return l
}

// Waiting says that the ticket is in the queue, and how much longer it may be.
func (t *Ticket) Waiting() (time.Duration, bool) {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	return t.budget, t.state == queued
}

// Waited is how long the ticket was in the queue, 0 before it has left it.
func (t *Ticket) Waited() time.Duration {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	return max(t.granted.Sub(t.arrived), 0)
}

// Wait returns nil when the ticket is held, a *Refusal when its time is over or
// another took its place, the context's error when that ends first. The ticket is out
// of the queue then, whatever happened.
func (t *Ticket) Wait(ctx context.Context) error {
	timer := time.NewTimer(t.budget)
	defer timer.Stop()
	select {
	case <-t.settled:
	case <-timer.C:
	case <-ctx.Done():
		t.Release()
		return ctx.Err()
	}
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.state == queued {
		_, ofRule := t.lane.forecast(t)
		t.lane.refuse(t, TooLate, ofRule, 0)
	}
	if t.refusal != nil {
		return t.refusal
	}
	return nil
}

// Release gives a slot back, or leaves the queue.
func (t *Ticket) Release() {
	now := t.gate.now()
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	switch t.state {
	case gone:
		return
	case queued:
		t.lane.remove(t)
		close(t.settled)
	case held:
		kept := now.Sub(t.granted)
		t.lane.active--
		t.rule.active--
		t.lane.learn(kept)
		t.rule.learn(kept)
	}
	t.state = gone
	t.lane.dispatch(now)
}

// Count is what a Gate holds for one server.
type Count struct{ Active, Waiting int }

// Count of the calls of a server.
func (g *Gate) Count(server string) Count {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[server]
	if l == nil {
		return Count{}
	}
	return Count{Active: l.active, Waiting: len(l.waiting)}
}
