package admit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is moved by hand.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{at: time.Unix(1_700_000_000, 0)} }

func (c *clock) now() time.Time { return c.at }

func limit(concurrent, queue int) Limit {
	return Limit{Concurrent: concurrent, Queue: queue, MaxWait: time.Minute}
}

func mustAsk(t *testing.T, g *Gate, call Call) *Ticket {
	t.Helper()
	ticket, refusal := g.Ask(call)
	if refusal != nil {
		t.Fatalf("refused: %v", refusal)
	}
	return ticket
}

func TestSlotsThenQueueThenRefusal(t *testing.T) {
	g := NewGate(newClock().now)
	call := Call{Server: "orders", ServerLimit: limit(2, 1), Priority: DefaultPriority}
	first, second, third := mustAsk(t, g, call), mustAsk(t, g, call), mustAsk(t, g, call)
	for _, ticket := range []*Ticket{first, second} {
		if _, waiting := ticket.Waiting(); waiting {
			t.Error("a call waits although there is room")
		}
	}
	if _, waiting := third.Waiting(); !waiting {
		t.Error("a call beyond the limit does not wait")
	}
	_, refusal := g.Ask(call)
	if refusal == nil || refusal.Reason != QueueFull || refusal.OfRule || refusal.Limit != 2 || refusal.RetryAfter != usualRetryAfter {
		t.Errorf("refusal %+v, want a full queue of the server's limit of 2", refusal)
	}
	first.Release()
	first.Release()
	if _, waiting := third.Waiting(); waiting {
		t.Error("the slot was not handed on")
	}
	if got := g.Count("orders"); got != (Count{Active: 2}) {
		t.Errorf("count %+v after a second Release of one ticket", got)
	}
}

func TestRuleWithoutRoomHoldsUpNobody(t *testing.T) {
	g := NewGate(newClock().now)
	slow := Call{Server: "orders", ServerLimit: limit(2, 8), Rule: Rule{"r", "tools[0]"}, RuleLimit: limit(1, 2), Priority: 9}
	quick := Call{Server: "orders", ServerLimit: limit(2, 8), Rule: Rule{"r", "tools[1]"}, Priority: 0}
	mustAsk(t, g, slow)
	waiting := mustAsk(t, g, slow)
	if _, waits := waiting.Waiting(); !waits {
		t.Fatal("two calls of a rule with one slot are under way")
	}
	if _, waits := mustAsk(t, g, quick).Waiting(); waits {
		t.Error("another rule's call waits behind one that has no room in its own rule")
	}
	mustAsk(t, g, slow)
	if _, refusal := g.Ask(slow); refusal == nil || !refusal.OfRule || refusal.Limit != 1 || refusal.Reason != QueueFull {
		t.Errorf("refusal %+v, want the rule's queue", refusal)
	}
}

func TestGivenUpByPriorityThenCost(t *testing.T) {
	g := NewGate(newClock().now)
	call := func(priority, cost int) Call {
		return Call{Server: "orders", ServerLimit: limit(1, 3), Priority: priority, Cost: cost}
	}
	mustAsk(t, g, call(5, 1))
	dear, cheap, high := mustAsk(t, g, call(2, 7)), mustAsk(t, g, call(2, 1)), mustAsk(t, g, call(8, 1))
	middle := mustAsk(t, g, call(5, 1))
	if err := cheap.Wait(t.Context()); !reasonIs(err, Shed) {
		t.Errorf("the cheapest of the lowest priority: %v, want shed", err)
	}
	mustAsk(t, g, call(5, 1))
	if err := dear.Wait(t.Context()); !reasonIs(err, Shed) {
		t.Errorf("the last of the lowest priority: %v, want shed", err)
	}
	if _, refusal := g.Ask(call(2, 99)); refusal == nil || refusal.Reason != QueueFull {
		t.Errorf("a call of lower priority took the place of a higher one: %v", refusal)
	}
	for name, ticket := range map[string]*Ticket{"high": high, "middle": middle} {
		if _, waits := ticket.Waiting(); !waits {
			t.Errorf("the %s priority lost its place", name)
		}
	}
}

func reasonIs(err error, want Reason) bool {
	var refusal *Refusal
	return errors.As(err, &refusal) && refusal.Reason == want
}

// TestNobodyWaitsInVain: the pace of earlier calls tells that a wait would be too long.
func TestNobodyWaitsInVain(t *testing.T) {
	c := newClock()
	g := NewGate(c.now)
	call := Call{Server: "orders", ServerLimit: Limit{Concurrent: 1, Queue: 100, MaxWait: time.Minute}, Timeout: 5 * time.Second}
	first := mustAsk(t, g, call)
	c.at = c.at.Add(time.Second)
	first.Release()
	mustAsk(t, g, call)
	for i := range 4 {
		// A second of work is left of the timeout of five after a wait of four.
		if budget, waits := mustAsk(t, g, call).Waiting(); !waits || budget != 4*time.Second {
			t.Fatalf("call %d: budget %v, waiting %v", i, budget, waits)
		}
	}
	_, refusal := g.Ask(call)
	if refusal == nil || refusal.Reason != TooLate || refusal.RetryAfter != time.Second {
		t.Errorf("refusal %+v, want too late by one second", refusal)
	}
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(nil)
		call := Call{Server: "orders", ServerLimit: Limit{Concurrent: 1, Queue: 8, MaxWait: time.Second}}
		holder := mustAsk(t, g, call)

		begin := time.Now()
		late := mustAsk(t, g, call)
		if err := late.Wait(t.Context()); !reasonIs(err, TooLate) || time.Since(begin) != time.Second {
			t.Errorf("after %v: %v, want too late after a second", time.Since(begin), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		leaving, staying := mustAsk(t, g, call), mustAsk(t, g, call)
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := leaving.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that went away: %v", err)
		}
		time.AfterFunc(200*time.Millisecond, holder.Release)
		if err := staying.Wait(t.Context()); err != nil || staying.Waited() != 300*time.Millisecond {
			t.Errorf("waited %v: %v, want 300ms and a slot", staying.Waited(), err)
		}
		late.Release()
		leaving.Release()
		staying.Release()
		if got := g.Count("orders"); got != (Count{}) {
			t.Errorf("left over: %+v", got)
		}
	})
}

// TestAnyTraffic runs random traffic and checks after every step what must always hold:
// the limits, the bound of the queue, the order, that no slot stays empty while a call
// that could have it waits, and in the end that nothing is left.
func TestAnyTraffic(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newTraffic(t, seed).run(2000) })
	}
}

type traffic struct {
	t      *testing.T
	random *rand.Rand
	clock  *clock
	gate   *Gate
	server Limit
	rules  []Call
	open   []*Ticket
}

func newTraffic(t *testing.T, seed uint64) *traffic {
	random := rand.New(rand.NewPCG(seed, 1))
	c := newClock()
	tr := &traffic{t: t, random: random, clock: c, gate: NewGate(c.now), server: limit(random.IntN(5), random.IntN(8))}
	for i := range 1 + random.IntN(4) {
		tr.rules = append(tr.rules, Call{
			Server: "orders", ServerLimit: tr.server, Rule: Rule{"r", fmt.Sprint(i)}, RuleLimit: limit(random.IntN(4), random.IntN(4)),
			Priority: random.IntN(10), Cost: random.IntN(3), Timeout: time.Duration(random.IntN(3)) * time.Minute,
		})
	}
	return tr
}

func (tr *traffic) run(steps int) {
	for range steps {
		tr.clock.at = tr.clock.at.Add(time.Duration(tr.random.IntN(2000)) * time.Millisecond)
		if tr.random.IntN(2) == 0 {
			if ticket, _ := tr.gate.Ask(tr.rules[tr.random.IntN(len(tr.rules))]); ticket != nil {
				tr.open = append(tr.open, ticket)
			}
		} else if len(tr.open) > 0 {
			tr.releaseOne(tr.random.IntN(len(tr.open)))
		}
		if tr.check(); tr.t.Failed() {
			return
		}
	}
	for len(tr.open) > 0 {
		tr.releaseOne(0)
		tr.check()
	}
	l := tr.gate.lanes["orders"]
	if l == nil {
		return
	}
	for rule, r := range l.rules {
		if !r.idle() {
			tr.t.Errorf("rule %v is left with %+v", rule, r)
		}
	}
	if !l.idle() || len(l.waiting) > 0 {
		tr.t.Errorf("the server is left with %+v", l.room)
	}
}

// releaseOne gives one ticket back and holds the order against who came in for it.
func (tr *traffic) releaseOne(at int) {
	ticket := tr.open[at]
	before := slices.Clone(ticket.lane.waiting)
	ticket.Release()
	tr.open = slices.Delete(tr.open, at, at+1)
	for i, served := range before {
		if served == ticket || served.state != held {
			continue
		}
		for _, passed := range before[:i] {
			if passed != ticket && passed.state == queued && passed.rule == served.rule {
				tr.t.Errorf("priority %d of one rule was served before %d of the same", served.call.Priority, passed.call.Priority)
			}
			if passed != ticket && passed.state == queued && passed.rule.free() {
				tr.t.Errorf("priority %d was passed by %d although its rule had room", passed.call.Priority, served.call.Priority)
			}
		}
	}
}

func (tr *traffic) check() {
	l := tr.gate.lanes["orders"]
	if l == nil {
		return
	}
	if tr.server.Concurrent > 0 && (l.active > tr.server.Concurrent || len(l.waiting) > tr.server.Queue) {
		tr.t.Errorf("%d under way, %d waiting; the limits are %+v", l.active, len(l.waiting), tr.server)
	}
	if !slices.IsSortedFunc(l.waiting, order) {
		tr.t.Error("the queue is out of order")
	}
	active, waiting := 0, 0
	for _, call := range tr.rules {
		r := l.rules[call.Rule]
		if r == nil {
			continue
		}
		active, waiting = active+r.active, waiting+r.queued
		if call.RuleLimit.Concurrent > 0 && r.active > call.RuleLimit.Concurrent {
			tr.t.Errorf("%d of rule %v under way, its limit is %d", r.active, call.Rule, call.RuleLimit.Concurrent)
		}
	}
	if active != l.active || waiting != l.queued || waiting != len(l.waiting) {
		tr.t.Errorf("counts differ: %d/%d under way, %d/%d/%d waiting", active, l.active, waiting, l.queued, len(l.waiting))
	}
	for _, ticket := range l.waiting {
		if l.free() && ticket.rule.free() {
			tr.t.Error("a call waits although there is room for it")
		}
	}
}

// TestConcurrentTraffic is for the race detector and for leaks of slots and goroutines.
func TestConcurrentTraffic(t *testing.T) {
	g := NewGate(nil)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			call := Call{
				Server: "orders", ServerLimit: Limit{Concurrent: 3, Queue: 50, MaxWait: 5 * time.Millisecond},
				Rule: Rule{"r", fmt.Sprint(i % 3)}, RuleLimit: limit(2, 20), Priority: i % 10,
			}
			ticket, refusal := g.Ask(call)
			if refusal != nil {
				return
			}
			defer ticket.Release()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
			defer cancel()
			if ticket.Wait(ctx) == nil && g.Count("orders").Active > 3 {
				t.Error("more than three under way")
			}
		})
	}
	wg.Wait()
	if got := g.Count("orders"); got != (Count{}) {
		t.Errorf("left over: %+v", got)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct{ limit, n, want int }{{10, 0, 10}, {10, 1, 10}, {10, 2, 5}, {11, 2, 6}, {1, 4, 1}, {0, 4, 0}} {
		got := Limit{Concurrent: c.limit, Queue: c.limit}.Share(c.n)
		if got.Concurrent != c.want || cmp.Compare(got.Queue, c.want) != 0 {
			t.Errorf("%d shared by %d: %+v, want %d", c.limit, c.n, got, c.want)
		}
	}
}

func TestPressure(t *testing.T) {
	var p Pressure
	now := time.Unix(0, 0)
	window := func(least time.Duration) {
		// One wake-up of each window has the least delay, the others are later.
		for i := range 4 {
			late := least + 100*time.Millisecond
			if i == 2 {
				late = least
			}
			now = now.Add(PressureWindow / 4)
			p.Observe(now, late)
		}
	}
	p.Observe(now, 0)
	window(time.Second)
	if p.Level() != 0 {
		t.Errorf("level %d after a window that began in time", p.Level())
	}
	for want := 1; want <= MaxPriority; want++ {
		if window(2 * PressureTarget); p.Level() != want {
			t.Fatalf("level %d after %d late windows", p.Level(), want)
		}
	}
	if window(2 * PressureTarget); p.Sheds(MaxPriority) || !p.Sheds(MaxPriority-1) {
		t.Errorf("at level %d the highest priority must be served, the others not", p.Level())
	}
	if window(PressureTarget / 2); p.Level() != MaxPriority-1 {
		t.Errorf("one wake-up in time does not lower the level: %d", p.Level())
	}
}

// TestPressureOfAnIdleProcess: in a bubble nothing is late.
func TestPressureOfAnIdleProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pressure
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.Run(ctx) }()
		time.Sleep(time.Minute)
		if p.Level() != 0 {
			t.Errorf("level %d", p.Level())
		}
		cancel()
		<-done
	})
}
