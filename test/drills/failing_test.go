package drills

import (
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestFailing: the primary dies, or answers nothing but failures, with and without a status
// that says so. No safe call fails or waits for it, and no other one runs twice.
func TestFailing(t *testing.T) {
	beside(t)
	for _, c := range []struct {
		test, name string
		harm       func(*exercise)
	}{
		{"crash", crashDrill, func(d *exercise) { d.Kill(primary) }},
		{"500", statusDrill, func(d *exercise) { d.Fault(primary, demo.Faults{Mode: demo.FaultHTTP500}) }},
		{"events", eventsDrill, func(d *exercise) { d.Fault(primary, demo.Faults{Mode: demo.FaultRPCError}) }},
		{"json", jsonDrill, func(d *exercise) { d.Fault(primary, demo.Faults{Mode: demo.FaultRPCError, JSON: true}) }},
	} {
		t.Run(c.test, func(t *testing.T) {
			beside(t)
			d := start(t, c.name, testbed.Options{})
			d.begin(mixed)
			harmed := time.Now()
			c.harm(d)
			d.served(standby, harmed, rate()/2)
			d.last(5*time.Second, 2)
			calls := d.load.Stop()
			before := p99(calls, d.began, harmed)
			d.safeHold(calls)
			d.unsafeHold(calls)
			d.within("first good answer to a call after it", firstGood(calls, harmed), before, slack)
			d.within("slowest safe call begun within 5 s of it (p99 before: "+show(before)+")", slowest(calls, harmed, harmed.Add(5*time.Second)), before, slack)
		})
	}
}
