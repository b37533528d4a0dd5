package limit_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// TestLossAfterAnyHistory: whoever was given how much when Redis dies, together with what the processors admit alone
// it is no more than the limit. Where nobody was given more than its share, it is all of the limit: no call is refused
// for that Redis is away.
func TestLossAfterAnyHistory(t *testing.T) {
	for _, processors := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprintf("%d processors", processors), func(t *testing.T) {
			address, child := stacktest.StartRedis(t)
			all := make([]*instance, processors)
			for i := range all {
				all[i] = open(t, address, fmt.Sprintf("p%d", i), limit.Place{Rank: i, Of: processors}, time.Duration(i)*300*time.Millisecond)
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 1))
			histories := make([]history, 300)
			for i := range histories {
				histories[i] = makeHistory(random, i, processors)
			}
			// Keys are charged side by side, each by its processors in turn.
			var work sync.WaitGroup
			next := make(chan *history)
			for range 8 {
				work.Go(func() {
					for h := range next {
						h.before(all)
					}
				})
			}
			for i := range histories {
				next <- &histories[i]
			}
			close(next)
			work.Wait()
			for _, one := range all {
				if one.Failures() > 0 {
					t.Fatal("Redis did not answer before it was killed")
				}
			}
			if _, err := child.Kill(); err != nil {
				t.Fatal(err)
			}
			whole, less := 0, 0
			for i := range histories {
				h := &histories[i]
				h.after(all)
				switch {
				case h.total() > h.requests():
					t.Errorf("%v: %d admitted of %d", h.given, h.total(), h.requests())
				case h.total() == h.requests():
					whole++
				case !h.lent:
					t.Errorf("%v: %d admitted of %d, and nobody had more than its share", h.given, h.total(), h.requests())
				default:
					less++
				}
			}
			t.Logf("%d keys used up, %d not wholly", whole, less)
			if whole == 0 || (processors > 2 && less == 0) {
				t.Error("the histories were all of one kind")
			}
		})
	}
}

// history is what processors were given of one key.
type history struct {
	charge limit.Charge
	// by are the processors that ask, in order; given how much each was given in all.
	by    []int
	given []int64
	// lent: some processor had more than its share while Redis decided.
	lent bool
}

func makeHistory(random *rand.Rand, i, processors int) history {
	// Shares differ by one where this is no multiple of the number of processors.
	requests := int64(processors + random.IntN(30))
	h := history{
		charge: limit.Charge{Rule: &limit.Rule{ID: "r", Requests: requests, Per: time.Hour}, Key: limit.Key{byte(i), byte(i >> 8), 7}, Units: 1},
		given:  make([]int64, processors),
	}
	// Some keys go evenly to all, some to few.
	few := 1 + random.IntN(processors)
	for range random.IntN(int(requests) + 1) {
		h.by = append(h.by, random.IntN(few))
	}
	return h
}

func (h *history) requests() int64 { return h.charge.Rule.Requests }

func (h *history) total() (sum int64) {
	for _, n := range h.given {
		sum += n
	}
	return sum
}

func (h *history) before(all []*instance) {
	for _, i := range h.by {
		if all[i].Take([]limit.Charge{h.charge}, make([]limit.Result, 1)) {
			h.given[i]++
		}
	}
	for i, n := range h.given {
		share := h.requests() / int64(len(all))
		if int64(i) < h.requests()%int64(len(all)) {
			share++
		}
		h.lent = h.lent || n > share
	}
}

func (h *history) after(all []*instance) {
	for i, one := range all {
		for range h.requests() + 1 {
			if one.Take([]limit.Charge{h.charge}, make([]limit.Result, 1)) {
				h.given[i]++
			}
		}
	}
}

// TestLossInMidAttack: Redis is killed while callers ask of it as fast as they can. What each processor was
// given in that very moment is known to the others too.
func TestLossInMidAttack(t *testing.T) {
	for round := range 6 {
		address, child := stacktest.StartRedis(t)
		const requests = 1000
		all := []*instance{
			open(t, address, "a", limit.Place{Rank: 0, Of: 3}, 0), open(t, address, "b", limit.Place{Rank: 1, Of: 3}, 0),
			open(t, address, "c", limit.Place{Rank: 2, Of: 3}, 0),
		}
		charge := limit.Charge{Rule: &limit.Rule{ID: "r", Requests: requests, Per: time.Hour}, Key: limit.Key{1}, Units: 1}
		var admitted, asked atomic.Int64
		var work sync.WaitGroup
		for i, one := range all {
			// The first ones ask the most, and need more than their share.
			for range 4 - i {
				work.Go(func() {
					results := make([]limit.Result, 1)
					for range requests {
						if one.Take([]limit.Charge{charge}, results) {
							admitted.Add(1)
						}
						asked.Add(1)
					}
				})
			}
		}
		kill := int64(requests * (3 + round) / 6)
		eventually(t, "enough is asked", func() bool { return asked.Load() >= kill })
		if _, err := child.Kill(); err != nil {
			t.Fatal(err)
		}
		work.Wait()
		if got := admitted.Load(); got > requests {
			t.Errorf("killed after %d: %d admitted, the limit is %d", kill, got, requests)
		} else {
			t.Logf("killed after %d: %d admitted", kill, got)
		}
	}
}
