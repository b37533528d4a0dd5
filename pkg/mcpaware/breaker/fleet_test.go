package breaker

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// TestFleet: the others' breakers count, the later word wins, one processor tries, and the
// rest do when that one does not.
func TestFleet(t *testing.T) {
	t.Parallel()
	ids := []string{"extproc-1", "extproc-2", "extproc-3"}
	set := map[string]*bench{}
	for _, id := range ids {
		set[id] = newBench(id, nil)
	}
	exchange := func() {
		lists := map[string][]*outcomev1.Breaker{}
		for id, b := range set {
			lists[id] = b.List()
		}
		for id, b := range set {
			fleet := &outcomev1.Fleet{Processors: ids}
			for other, list := range lists {
				if other != id {
					fleet.Breakers = append(fleet.Breakers, list...)
				}
			}
			b.Adopt(fleet)
		}
	}
	all := func(want State) {
		t.Helper()
		for id, b := range set {
			if b.state() != want {
				t.Errorf("%s is %v, want %v", id, b.state(), want)
			}
		}
	}
	exchange()
	set[ids[0]].trip()
	exchange()
	all(Open)
	pass := func(d time.Duration) {
		for _, b := range set {
			b.pass(d)
		}
	}
	pass(5 * time.Second)
	var trial *Trial
	for _, id := range ids {
		if c := set[id].ask(true); c.Trial != nil {
			if trial != nil {
				t.Error("two processors try at once")
			}
			trial = c.Trial
		}
	}
	if trial == nil {
		t.Fatal("nobody tries")
	}
	exchange()
	all(HalfOpen)
	picked := trial.set.opts.Processor
	pass(yieldTrials)
	for _, id := range ids {
		if c := set[id].ask(true); id != picked && c.Trial == nil {
			t.Errorf("%s does not try though %s has not for a while", id, picked)
		}
	}
	for range passesToClose {
		c := set[picked].ask(true)
		if c.Trial == nil {
			break
		}
		c.Trial.Good()
	}
	pass(2 * time.Second)
	for set[picked].state() != Closed {
		set[picked].ask(true).Trial.Good()
	}
	exchange()
	all(Closed)
}

// TestAdoptRefuses what cannot be.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	b := newBench("p", nil)
	now := timestamppb.New(b.at)
	good := func() *outcomev1.Breaker {
		return &outcomev1.Breaker{Server: "orders", Tool: "get_order", Region: "asia-south1", State: Open, Since: now, RetryAt: timestamppb.New(b.at.Add(1000 * time.Hour))}
	}
	for name, change := range map[string]func(*outcomev1.Breaker){
		"no tool":          func(x *outcomev1.Breaker) { x.Tool = "" },
		"no state":         func(x *outcomev1.Breaker) { x.State = 0 },
		"an unknown state": func(x *outcomev1.Breaker) { x.State = 77 },
		"no time":          func(x *outcomev1.Breaker) { x.Since = nil },
		"the future":       func(x *outcomev1.Breaker) { x.Since = timestamppb.New(b.at.Add(time.Hour)) },
		"a long name":      func(x *outcomev1.Breaker) { x.Tool = strings.Repeat("x", maxNameBytes+1) },
	} {
		x := good()
		change(x)
		b.Adopt(&outcomev1.Fleet{Breakers: []*outcomev1.Breaker{x}})
		if len(b.entries) != 0 {
			t.Fatalf("%s was adopted", name)
		}
	}
	b.Adopt(&outcomev1.Fleet{Breakers: []*outcomev1.Breaker{good()}})
	b.Adopt(nil)
	b.pass(2 * maxOpenFor)
	if b.ask(true).Trial == nil {
		t.Error("a wrong clock keeps a breaker open for ever")
	}
}
