package drills

import (
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestSlow: the primary answers well and 600 ms later than it does. Nothing fails, so nothing is ejected; callers are sent
// to the other region because it is slow, and come back when it is not.
func TestSlow(t *testing.T) {
	d := start(t, slowDrill, testbed.Options{Measure: "calls"})
	d.begin(mixed)
	slowed := time.Now()
	d.Fault(primary, demo.Faults{Mode: demo.FaultSlow, Delay: "600ms"})
	// moved: three of four calls of half a second go to the standby at their first try.
	d.Until(patience, "calls move to the standby", func() bool {
		recent := d.load.Since(time.Now().Add(-time.Second))
		return len(recent) > rate()/4 && 4*count(recent, via(standby)) >= 3*len(recent)
	})
	moved := time.Since(slowed)
	d.last(25*time.Second, 3)
	calls := d.load.Stop()
	d.safeHold(calls)
	d.unsafeHold(calls)
	d.within("time until most calls were answered by the other region", moved, 5*time.Second, slack)
	normal := percentile(calls, d.began, slowed, 95)
	last := percentile(calls, time.Now().Add(-5*time.Second), time.Now(), 95)
	d.within("p95 after 30 s (before: "+show(normal)+")", last, 2*normal, slack)
}
