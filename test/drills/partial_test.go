package drills

import (
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestBrokenTool: one tool fails at the primary; its calls move, and the others' do not.
func TestBrokenTool(t *testing.T) {
	beside(t)
	d := start(t, toolDrill, testbed.Options{})
	d.begin(mixed)
	harmed := time.Now()
	d.Fault(primary, demo.Faults{Mode: demo.FaultRPCError, Tools: []string{"get_order"}})
	broken := func(c testbed.Call) bool { return c.Tool == "get_order" }
	moved := func(c testbed.Call) bool { return c.Good() && c.Via == standby && c.Attempts == 1 }
	d.Until(patience, "calls of the tool no longer ask the primary", func() bool {
		return count(d.load.Since(harmed), broken, moved) >= rate()/2
	})
	settled := time.Now()
	d.last(10*time.Second, 3)
	calls := d.load.Stop()
	d.safeHold(calls)
	d.unsafeHold(calls)
	after := func(c testbed.Call) bool { return c.Start.After(harmed) }
	others := func(c testbed.Call) bool { return after(c) && !broken(c) }
	left := func(c testbed.Call) bool { return c.Good() && c.Via != primary }
	all, strayed := count(calls, others), count(calls, others, left)
	d.holds("calls of the other tools that left the primary", "≤ 1 %", of(strayed, all), all > 0 && strayed*100 <= all)
	late := func(c testbed.Call) bool { return broken(c) && c.Start.After(settled) }
	all, there := count(calls, late), count(calls, late, via(standby))
	d.holds("calls of the broken tool that the standby answered, once its breaker was open", "all", of(there, all), all > 0 && there == all)
}

// TestFlapping: the primary goes and comes every two seconds, by its answers and by its
// process. It is left out ever longer instead of each time anew, and no safe call fails.
func TestFlapping(t *testing.T) {
	beside(t)
	d := start(t, flapDrill, testbed.Options{})
	d.begin(mixed)
	turns := 6
	if *absolute {
		turns = 30
	}
	before := d.Ejections("orders")
	for turn := range turns {
		f := demo.Faults{Mode: demo.FaultRPCError}
		if turn%2 == 1 {
			f = demo.Faults{}
		}
		d.Fault(primary, f)
		d.last(2*time.Second, 2)
	}
	calls := d.load.Stop()
	ejections := int(d.Ejections("orders") - before) //nolint:gosec // a few
	d.safeHold(calls)
	d.unsafeHold(calls)
	d.holds("ejections counted", "1 to 3", of(ejections, turns/2)+" failing turns", ejections >= 1 && ejections <= 3)
}

// TestAllDown: both regions are gone for a while. Every answer meanwhile is Holdfast's own, and
// well-formed; when they return, calls succeed at once, and are not all tried again.
func TestAllDown(t *testing.T) {
	beside(t)
	d := start(t, allDownDrill, testbed.Options{})
	d.begin(mixed)
	d.Kill(primary)
	d.Kill(standby)
	d.Until(patience, "callers are told that everything is down", func() bool {
		calls := d.load.Calls()
		return len(calls) > 0 && calls[len(calls)-1].Degraded
	})
	down := time.Now()
	d.last(10*time.Second, 2)
	dark, retries := time.Now(), d.Retries("orders")
	d.Restart(standby)
	back := time.Now()
	d.Restart(primary)
	d.served(primary, back, 2*rate())
	d.last(5*time.Second, 2)
	more := int(d.Retries("orders") - retries) //nolint:gosec // a few
	calls := d.load.Stop()
	meanwhile := func(c testbed.Call) bool { return c.Start.After(down) && c.Start.Add(c.Took).Before(dark) }
	told := func(c testbed.Call) bool { return c.Err == nil && c.IsError && c.Degraded && c.Text != "" }
	all, clear := count(calls, meanwhile), count(calls, meanwhile, told)
	d.holds("degraded and well-formed answers while everything was down", "all", of(clear, all), all > 0 && clear == all)
	d.unsafeHold(calls)
	d.within("first good answer after the return of the first server", max(0, firstGood(calls, back)), 2*time.Second, 0)
	// The budget of the configuration's defaults: a share of the calls and a floor, in each ten seconds.
	since := time.Since(dark)
	due := count(calls, func(c testbed.Call) bool { return c.Start.After(dark) })
	budget := due/5 + 100*(int(since/(10*time.Second))+1)
	d.atMost("retries after the return", more, budget, "of "+number(due)+" calls")
	runs := 0
	for _, n := range d.RunsByCall() {
		runs = max(runs, n)
	}
	d.atMost("executions of any one call", runs, 2, "")
}
