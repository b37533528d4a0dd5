package outcome

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestShared: of one caller's failures as many speak for all as the others have, give or take what the vote cannot
// know, and never more; and joined counts say the same as single ones.
func TestShared(t *testing.T) {
	t.Parallel()
	draw := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		callers := 1 + draw.IntN(6)
		var f failures
		parts := [3]failures{}
		by := map[uint64]uint32{}
		n := 1 + draw.IntN(60)
		for range n {
			principal := uint64(draw.IntN(callers) + 1)
			if round%2 == 0 && draw.IntN(4) > 0 {
				principal = 1
			}
			by[principal]++
			f.add(failuresOf(principal, 1))
			parts[draw.IntN(len(parts))].add(failuresOf(principal, 1))
		}
		var joined failures
		for _, p := range parts {
			joined.add(p)
		}
		most := uint32(0)
		for _, k := range by {
			most = max(most, k)
		}
		exact := min(uint32(n), 2*(uint32(n)-most))
		for name, got := range map[string]uint32{"in turn": f.shared(0), "joined": joined.shared(0)} {
			if got > exact || 2*most > uint32(n) && len(by) == 2 && got != exact {
				t.Fatalf("%s: %d of %v speak for all, want %d", name, got, by, exact)
			}
		}
	}
}

// TestFloodOfOneCaller: a caller floods a tool, and another one, with calls that always fail, while others are answered
// and one in a hundred of theirs fails too: that makes two callers that fail, but neither the tool nor the endpoint is
// taken for broken. When the others fail all the time it is, at once.
func TestFloodOfOneCaller(t *testing.T) {
	t.Parallel()
	for name, far := range map[string]bool{"seen here": false, "told by another processor": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			w := NewWindow(c.now)
			seen := w
			if far {
				seen = NewWindow(c.now)
			}
			call := func(principal uint64, tool string) Call {
				return getOrder(func(c *Call) { c.Principal, c.Tool = principal, tool })
			}
			for by := range uint64(3) {
				seen.Observe(call(by, "report"), Succeeded)
			}
			n, watched := 0, false
			second := func(healthy bool) {
				for range 100 {
					for _, tool := range []string{"get_order", "list_orders"} {
						for range 10 {
							if v := seen.Observe(call(666, tool), Failed); v == EndpointFailed && healthy {
								t.Fatalf("the flood made the endpoint %q", v)
							}
							// It is made to fail here and to succeed elsewhere.
							seen.Confirm(call(666, tool))
						}
						if n++; n%3 == 0 {
							if v := seen.ObserveBroken(call(666, tool)); v == EndpointFailed && healthy {
								t.Fatalf("the flood of 5xx made the endpoint %q", v)
							}
						}
						class := Succeeded
						if n%99 == 0 || !healthy {
							class = Failed
						}
						seen.Observe(call(uint64(n%3), tool), class)
						seen.Observe(call(uint64(n%3), "report"), Succeeded)
					}
					c.at = c.at.Add(10 * time.Millisecond)
				}
				if far {
					w.Merge(seen.Drain())
				}
			}
			tally := func() Tally { return w.Tool("orders", "get_order", "asia-south1", time.Time{}) }
			broken := func() bool {
				got := tally()
				return got.Confirmed && (got.Row >= 10 || got.Failed >= got.Answered+10)
			}
			for range 30 {
				if second(true); broken() {
					t.Fatalf("the flood opens a breaker: %+v", tally())
				}
				watched = watched || tally().Confirmed
			}
			if !watched {
				t.Error("nobody else has failed: this tests nothing")
			}
			if second(false); !broken() {
				t.Errorf("a tool that fails for everybody: %+v", tally())
			}
			if v := w.Observe(call(1, "get_order"), Failed); v != EndpointFailed {
				t.Errorf("two tools of three that fail for everybody: %q", v)
			}
		})
	}
}
