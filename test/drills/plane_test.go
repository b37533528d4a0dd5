package drills

import (
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestControlPlane: no call depends on the control plane.
func TestControlPlane(t *testing.T) {
	beside(t)
	t.Run("killed", func(t *testing.T) {
		beside(t)
		d := start(t, planeKillDrill, testbed.Options{})
		d.begin(mixed)
		times := 3
		if *absolute {
			times = 20
		}
		for range times {
			d.Kill(testbed.XDS)
			d.last(time.Second, 1)
			d.Restart(testbed.XDS)
		}
		d.last(2*time.Second, 1)
		d.allHold(d.load.Stop())
		d.holds("times that it was killed and started again", "20 (3 in every test run)", of(times, times), true)
	})
	t.Run("away", func(t *testing.T) {
		beside(t)
		d := start(t, planeAwayDrill, testbed.Options{})
		d.begin(mixed)
		d.Kill(testbed.XDS)
		away := time.Now()
		d.last(10*time.Minute, 3)
		lasted := time.Since(away)
		d.Restart(testbed.XDS)
		d.last(2*time.Second, 1)
		d.allHold(d.load.Stop())
		d.holds("time that it was away", "10 min (3 s in every test run)", show(lasted), true)
	})
}

// allHold asserts that nothing at all failed.
func (d *exercise) allHold(calls []testbed.Call) {
	d.t.Helper()
	failed := 0
	for _, c := range calls {
		if !c.Good() {
			if failed++; failed <= 5 {
				d.t.Errorf("failed: %v", c)
			}
		}
	}
	d.atMost("calls failed", failed, 0, "of "+number(len(calls)))
	d.unsafeHold(calls)
}
