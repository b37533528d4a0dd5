package e2e

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// slowly answers well after a while.
func slowly(after time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(after)
		good(w, r)
	}
}

// startShared is a trio whose regions share the calls.
func startShared(t *testing.T) *trio {
	t.Helper()
	p := &trio{t: t, mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil), singapore: newUpstream(t, nil)}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address(), "SINGAPORE", p.singapore.address(),
		"  breaker: {openFor: 1m}", "  failover: {mode: activeActive}").Replace(trioConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	return p
}

// load makes calls with a number of callers at a time, and counts them by region.
func (p *trio) load(calls, callers int) map[string]int {
	p.t.Helper()
	var next atomic.Int64
	var mu sync.Mutex
	out := map[string]int{}
	each(callers, func(i int) {
		for next.Add(1) <= int64(calls) {
			region := asCaller(p.Bed, i, "get_order")
			mu.Lock()
			out[region]++
			mu.Unlock()
		}
	})
	return out
}

// TestSpreadFollowsHealth: regions that share the calls get even parts, whatever the load, a slow one
// less, and one of half the weight half as much.
func TestSpreadFollowsHealth(t *testing.T) {
	t.Parallel()
	p := startShared(t)
	even := func(what string, a, b int) {
		t.Helper()
		if most := max(a, b); most-min(a, b) > most*5/100 {
			t.Errorf("%s: %d and %d differ by more than 5 %%", what, a, b)
		}
	}
	const calls, callers = 3000, 12
	p.set(slowly(10*time.Millisecond), slowly(10*time.Millisecond), slowly(10*time.Millisecond))
	began := time.Now()
	got := p.load(calls, callers)
	// What a call takes, which on a busy machine is much more than the server's own time.
	usual := time.Since(began) * callers / calls
	t.Logf("all the same: %v, %v each", got, usual)
	even("all the same", got[testbed.Mumbai], got[testbed.Delhi])
	even("all the same", got[testbed.Delhi], got[singapore])
	even("all the same", got[testbed.Mumbai], got[singapore])

	p.set(nil, nil, nil)
	got = p.load(999, 1)
	t.Logf("one call after the other: %v", got)
	even("one call after the other", got[testbed.Mumbai], got[testbed.Delhi])
	even("one call after the other", got[testbed.Delhi], got[singapore])
	even("one call after the other", got[testbed.Mumbai], got[singapore])

	p.set(slowly(10*time.Millisecond), slowly(10*time.Millisecond), slowly(10*time.Millisecond+usual))
	got = p.load(calls, callers)
	t.Logf("one at half speed: %v", got)
	even("the others beside a slow one", got[testbed.Mumbai], got[testbed.Delhi])
	if got[singapore] > got[testbed.Mumbai]*9/10 {
		t.Errorf("the slow one gets as much: %v", got)
	}

	plane, _ := takeOver(t, p.Bed)
	plane.SetHealth("orders", model.Health{Endpoints: map[string]model.EndpointHealth{"singapore": {Weight: 50}}})
	p.set(nil, nil, nil)
	p.Until(testbed.Patience, "Envoy has the weights", func() bool {
		got = p.load(300, 1)
		return got[singapore] < 80
	})
	got = p.load(1000, 1)
	t.Logf("one at half weight: %v", got)
	even("the others beside one of half the weight", got[testbed.Mumbai], got[testbed.Delhi])
	if half := got[testbed.Mumbai] / 2; got[singapore] < half*9/10 || got[singapore] > half*11/10 {
		t.Errorf("half the weight: %v", got)
	}
}
