package breaker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
)

var mumbai = Key{"orders", "get_order", "asia-south1"}

// bench is a Set with a clock set by hand and its transitions written down.
type bench struct {
	*Set
	at          time.Time
	transitions []string
}

func newBench(processor string, random func() float64) *bench {
	b := &bench{at: time.Unix(1_800_000_000, 0)}
	if random == nil {
		random = func() float64 { return 0.5 }
	}
	b.Set = New(Options{
		Processor: processor, Now: func() time.Time { return b.at }, Random: random,
		Observer: func(t Transition) { b.transitions = append(b.transitions, word(t.From)+">"+word(t.To)) },
	})
	return b
}

func (b *bench) pass(d time.Duration) { b.at = b.at.Add(d) }

// fail opens the breaker of Mumbai where the tally says so.
func (b *bench) fail(t outcome.Tally) {
	b.Failed(mumbai, Settings{}, func(time.Time) outcome.Tally { return t })
}

func (b *bench) trip() { b.fail(outcome.Tally{Row: 10, Failed: 10, Confirmed: true}) }

func (b *bench) ask(safe bool) Choice {
	return b.Choose(Ask{Server: "orders", Tool: "get_order", Regions: []string{"asia-south1", "asia-south2"}, Safe: safe, Lease: 2 * time.Second})
}

func (b *bench) state() State {
	e := b.entries[mumbai]
	if e == nil {
		return Closed
	}
	return e.state
}

func TestThresholds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		tally outcome.Tally
		set   Settings
		want  bool
	}{
		{"ten in a row", outcome.Tally{Row: 10, Failed: 10, Answered: 500, Confirmed: true}, Settings{}, true},
		{"nine in a row among many", outcome.Tally{Row: 9, Failed: 9, Answered: 500, Confirmed: true}, Settings{}, false},
		{"five in a row over ten seconds", outcome.Tally{Row: 5, RowFor: rare, Failed: 5, Answered: 1, Confirmed: true}, Settings{}, true},
		{"five in a row, too fast", outcome.Tally{Row: 5, RowFor: rare - 1, Failed: 5, Confirmed: true}, Settings{}, false},
		{"four in a row over ten seconds", outcome.Tally{Row: 4, RowFor: rare, Failed: 4, Confirmed: true}, Settings{}, false},
		{"ten more failures than answers", outcome.Tally{Row: 1, Failed: 40, Answered: 30, Confirmed: true}, Settings{}, true},
		{"nine more", outcome.Tally{Row: 1, Failed: 39, Answered: 30, Confirmed: true}, Settings{}, false},
		{"one caller alone", outcome.Tally{Row: 100, Failed: 100}, Settings{}, false},
		{"an operator wants more", outcome.Tally{Row: 19, Failed: 19, Answered: 9, Confirmed: true}, Settings{Failures: 20}, false},
		{"an operator wants less", outcome.Tally{Row: 3, Failed: 3, Answered: 9, Confirmed: true}, Settings{Failures: 3}, true},
		{"an operator wants none", outcome.Tally{Row: 99, Failed: 99, Confirmed: true}, Settings{Disabled: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench("p", nil)
			b.Failed(mumbai, test.set, func(time.Time) outcome.Tally { return test.tally })
			if got := b.state() == Open; got != test.want {
				t.Errorf("open %v, want %v", got, test.want)
			}
		})
	}
}

// TestLife follows a breaker from open to closed.
func TestLife(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	if !b.Quiet() {
		t.Error("an empty Set is not quiet")
	}
	b.trip()
	if b.Quiet() {
		t.Error("an open breaker is quiet")
	}
	if c := b.ask(true); len(c.Good) != 1 || c.Good[0] != "asia-south2" || c.Trial != nil {
		t.Errorf("open: %+v", c)
	}
	b.pass(5 * time.Second)
	first := b.ask(true)
	if first.Trial == nil || first.Good != nil {
		t.Fatalf("due: %+v", first)
	}
	if c := b.ask(true); c.Trial != nil || len(c.Good) != 1 {
		t.Errorf("beside a trial: %+v", c)
	}
	first.Trial.Failed()
	first.Trial.Good() // too late to count
	b.pass(9 * time.Second)
	if c := b.ask(true); c.Trial != nil {
		t.Error("the second opening is not longer than the first")
	}
	b.pass(time.Second)
	for i := range passesToClose {
		c := b.ask(true)
		if c.Trial == nil {
			t.Fatalf("trial %d: %+v", i, c)
		}
		c.Trial.Good()
	}
	if c := b.ask(true); c.Good != nil || c.Trial != nil || b.state() != Closed {
		t.Errorf("closed: %+v", c)
	}
	want := "closed>open open>half-open half-open>open open>half-open half-open>closed"
	if got := strings.Join(b.transitions, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if list := b.List(); len(list) != 1 || list[0].GetState() != Closed {
		t.Errorf("closed since the call before: %v", list)
	}
	if list := b.List(); len(list) != 0 {
		t.Errorf("told twice: %v", list)
	}
}

// TestLeaseEnds: a trial that nobody ends gives its place up, and does not count later.
func TestLeaseEnds(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	b.trip()
	b.pass(5 * time.Second)
	lost := b.ask(true).Trial
	b.pass(2 * time.Second)
	next := b.ask(true).Trial
	if next == nil {
		t.Fatal("the lease has not ended")
	}
	lost.Failed()
	if b.state() != HalfOpen {
		t.Error("a trial counted after its lease")
	}
	next.Void()
	if b.ask(true).Trial == nil {
		t.Error("a void trial kept its place")
	}
}

// TestUnsafeCallsTryLast: calls that may not run twice are trials only where no other comes.
func TestUnsafeCallsTryLast(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	b.trip()
	b.ask(true)
	b.pass(5 * time.Second)
	if c := b.ask(false); c.Trial != nil {
		t.Error("an unsafe call tries though safe ones come")
	}
	b.pass(failedTrialCosts)
	if c := b.ask(false); c.Trial == nil {
		t.Error("with unsafe calls only nobody tries")
	}
}

func TestEverywhere(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	b.trip()
	b.pass(time.Second)
	b.Failed(Key{"orders", "get_order", "asia-south2"}, Settings{}, func(time.Time) outcome.Tally { return outcome.Tally{Row: 10, Confirmed: true} })
	c := b.ask(true)
	if !c.None || c.Busy || !c.RetryAt.Equal(b.at.Add(4*time.Second)) {
		t.Errorf("%+v at %v", c, b.at)
	}
}

func TestOverrides(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	b.Override([]*outcomev1.Override{{Server: "orders", Tool: "get_order", Region: "asia-south1", State: Open, By: "ann"}})
	if c := b.ask(true); len(c.Good) != 1 || b.Quiet() {
		t.Errorf("opened by an operator: %+v", c)
	}
	b.pass(time.Hour)
	if c := b.ask(true); len(c.Good) != 1 || c.Trial != nil {
		t.Errorf("an operator's word was tried: %+v", c)
	}
	b.trip()
	until := timestamppb.New(b.at.Add(time.Minute))
	b.Override([]*outcomev1.Override{{Server: "orders", Tool: "get_order", State: Closed, Until: until}})
	if c := b.ask(true); c.Good != nil {
		t.Errorf("closed in every region by an operator: %+v", c)
	}
	b.pass(time.Minute)
	if c := b.ask(true); c.Trial == nil {
		t.Errorf("the operator's word has ended, the breaker is due: %+v", c)
	}
	b.Override(nil)
	if c := b.ask(true); len(c.Good) != 1 {
		t.Errorf("%+v", c)
	}
}

// TestAbandonedBreakersAreForgotten: a breaker that nobody asks for any more, since its tool or region is gone, ends,
// in the whole fleet; one that calls are kept away by stays.
func TestAbandonedBreakersAreForgotten(t *testing.T) {
	t.Parallel()
	a, b := newBench("a", nil), newBench("b", nil)
	a.trip()
	word := a.List()
	b.Adopt(&outcomev1.Fleet{Processors: []string{"a", "b"}, Breakers: word})
	for range 30 {
		a.pass(time.Minute)
		a.ask(true).Trial.Void()
	}
	if a.state() == Closed {
		t.Error("a breaker that calls ask for was forgotten")
	}
	a.pass(abandoned + time.Minute)
	b.pass(abandoned + time.Minute)
	if list := append(a.List(), b.List()...); len(list) != 0 || !a.Quiet() || !b.Quiet() {
		t.Errorf("nobody asks, and there is %v", list)
	}
	b.Adopt(&outcomev1.Fleet{Processors: []string{"a", "b"}, Breakers: word})
	if list := b.List(); len(list) != 0 {
		t.Errorf("came back by the fleet: %v", list)
	}
}

// TestInventedToolsLeaveRoom: ten thousand names that callers make up keep no breaker from opening, and none
// shut that is in use.
func TestInventedToolsLeaveRoom(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	b.trip()
	broken := func(time.Time) outcome.Tally { return outcome.Tally{Row: 10, Confirmed: true} }
	for i := range 10_000 {
		b.pass(time.Millisecond)
		b.Failed(Key{"orders", fmt.Sprint("invented", i), "asia-south1"}, Settings{}, broken)
		if i%100 == 0 {
			b.ask(false)
		}
	}
	if b.state() == Closed {
		t.Error("the breaker of a tool that is called was forgotten")
	}
	late := Key{"orders", "late", "asia-south1"}
	if b.Failed(late, Settings{}, broken); b.entries[late] == nil {
		t.Error("no breaker opens any more")
	}
	if len(b.entries) > maxBreakers {
		t.Errorf("%d breakers", len(b.entries))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	for i := range 2 * maxBreakers {
		b.Failed(Key{"orders", fmt.Sprint("tool", i), "r"}, Settings{}, func(time.Time) outcome.Tally { return outcome.Tally{Row: 10, Confirmed: true} })
	}
	for i := range 2 * maxBusyMarks {
		b.Busy(Key{"orders", fmt.Sprint("tool", i), "r"}, 1, time.Hour)
	}
	if len(b.entries) > maxBreakers || len(b.busy) > maxBusyMarks || len(b.List()) > maxBreakers {
		t.Errorf("%d breakers, %d marks", len(b.entries), len(b.busy))
	}
	b.pass(maxBusy)
	b.ask(true)
	if len(b.busy) != 0 {
		t.Errorf("%d marks are left after their time", len(b.busy))
	}
}

// TestRandomFailures drives a breaker by a real Window: a tool of which 30 in 100 calls
// fail at random does not move its breaker, whatever the pace, and one that is
// broken opens it and stays away until it works.
func TestRandomFailures(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []int{1, 5, 50, 500} {
		random := rand.New(rand.NewPCG(1, uint64(perSecond)))
		b := newBench("p", random.Float64)
		w := outcome.NewWindow(func() time.Time { return b.at })
		call := outcome.Call{Server: "orders", Endpoint: "e", Region: "asia-south1", Method: "tools/call", Tool: "get_order"}
		minute := func(share float64) {
			for range 60 * perSecond {
				b.pass(time.Second / time.Duration(perSecond))
				c := b.ask(true)
				if len(c.Good) > 0 {
					continue
				}
				failed := random.Float64() < share
				class := outcome.Succeeded
				if failed {
					class = outcome.Failed
				}
				w.Observe(call, class)
				switch {
				case c.Trial != nil && failed:
					c.Trial.Failed()
				case c.Trial != nil:
					c.Trial.Good()
				case failed:
					b.Failed(mumbai, Settings{}, func(since time.Time) outcome.Tally {
						return w.Tool("orders", "get_order", "asia-south1", since)
					})
				}
			}
		}
		for range 5 {
			minute(0.3)
		}
		if n := len(b.transitions); n > 2*5 {
			t.Errorf("%d a second: %d transitions in five minutes: %v", perSecond, n, b.transitions)
		}
		minute(1)
		if b.state() == Closed {
			t.Errorf("%d a second: a broken tool's breaker is closed", perSecond)
		}
		minute(0)
		minute(0)
		if b.state() != Closed {
			t.Errorf("%d a second: the breaker of a tool that works again is %v", perSecond, b.state())
		}
	}
}

// TestStateMachine does anything in any order and holds what must always hold.
func TestStateMachine(t *testing.T) {
	t.Parallel()
	legal := map[string]bool{
		"closed>open": true, "open>half-open": true, "half-open>open": true, "half-open>closed": true,
	}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(2, seed))
		b := newBench("p", random.Float64)
		var trial *Trial
		for range 200 {
			switch random.IntN(6) {
			case 0:
				b.pass(time.Duration(random.IntN(4000)) * time.Millisecond)
			case 1:
				b.trip()
			case 2, 3:
				held := b.entries[mumbai] != nil && b.at.Before(b.entries[mumbai].trial)
				c := b.ask(random.IntN(2) == 0)
				if c.Trial != nil {
					if held && b.state() == HalfOpen {
						t.Fatalf("seed %d: two trials at a time", seed)
					}
					trial = c.Trial
				}
				if b.state() == Open && (c.Trial != nil || len(c.Good) != 1) {
					t.Fatalf("seed %d: open, and %+v", seed, c)
				}
			case 4:
				if trial != nil {
					trial.Good()
				}
			case 5:
				if trial != nil {
					trial.Failed()
				}
			}
			if e := b.entries[mumbai]; e != nil && e.state == Open && e.retryAt.Sub(e.since) > time.Duration(float64(DefaultMaxOpenFor)*(1+jitter)) {
				t.Fatalf("seed %d: open for %v", seed, e.retryAt.Sub(e.since))
			}
			if (b.state() == Closed) != b.Quiet() {
				t.Fatalf("seed %d: %v and quiet %v", seed, b.state(), b.Quiet())
			}
		}
		for _, tr := range b.transitions {
			if !legal[tr] {
				t.Fatalf("seed %d: %s", seed, tr)
			}
		}
	}
}

func TestChooseAllocates(t *testing.T) {
	b := newBench("p", nil)
	if n := testing.AllocsPerRun(100, func() {
		if !b.Quiet() {
			b.ask(true)
		}
	}); n != 0 {
		t.Errorf("%v allocations with no open breaker", n)
	}
}

func TestBackOff(t *testing.T) {
	t.Parallel()
	s := Settings{OpenFor: time.Second, MaxOpenFor: 10 * time.Second}
	for openings, want := range map[uint32]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 10, 1 << 31: 10} {
		low, high := s.backOff(openings, 0), s.backOff(openings, 1)
		if want *= time.Second; low != want*8/10 || high != want*12/10 {
			t.Errorf("opening %d: %v to %v, want %v ± 20 %%", openings, low, high, want)
		}
	}
}
