package drills

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// limited is how often an hour list_orders may be called in policedConfig.
const limited = 10

// policedConfig limits a tool so tightly that calls of it which no processor saw show in the servers' journals.
var policedConfig = strings.Replace(testbed.DefaultConfig, "  tools:\n", //nolint:gochecknoglobals // a constant
	"  tools:\n    - {match: {name: list_orders}, safe: true, rateLimits: [{requests: "+number(limited)+", per: 1h, by: [tool]}]}\n", 1)

// policed is one call of the limited tool in ten.
func policed(n int) (string, map[string]any) {
	if n%10 == 9 {
		return "list_orders", map[string]any{"status": "none"}
	}
	return testbed.GetOrder(n)
}

func free(c testbed.Call) bool { return c.Tool != "list_orders" }

// unpoliced asserts that the limited tool ran no more often than it may.
func (d *exercise) unpoliced() {
	d.t.Helper()
	ran := 0
	for _, name := range []string{primary, standby} {
		for _, e := range d.Executions(name) {
			if e.Tool == "list_orders" {
				ran++
			}
		}
	}
	d.atMost("executions of a tool that may run "+number(limited)+" times", ran, limited, "")
}

// TestProcessors: one of the two processors dies with a tool of 300 ms under way, or hangs.
func TestProcessors(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		redis, _ := stacktest.StartRedis(t)
		d := start(t, extprocKilled, testbed.Options{Config: policedConfig, ExtprocArgs: []string{"--redis", redis}})
		d.shared("1")
		slow := d.StartLoad("/mcp", 40, func(int) (string, map[string]any) { return "report", map[string]any{"delay_ms": 300} })
		d.begin(policed)
		d.Until(patience, "calls are under way", func() bool { return slow.InFlight() > 5 })
		under := slow.InFlight()
		killed := d.Kill(testbed.Extproc1)
		d.last(5*time.Second, 3)
		d.Restart(testbed.Extproc1)
		d.last(3*time.Second, 2)
		calls := append(d.load.Stop(), slow.Stop()...)
		failed := d.failures(calls, killed)
		all := count(calls, free)
		d.holds("calls failed, "+number(under)+" of 300 ms under way", "≤ 0.1 %", of(failed, all), failed*1000 <= all)
		d.unpoliced()
	})
	t.Run("hung", func(t *testing.T) {
		redis, _ := stacktest.StartRedis(t)
		d := start(t, extprocHung, testbed.Options{Config: policedConfig, ExtprocArgs: []string{"--redis", redis}})
		d.shared("1")
		d.begin(policed)
		hung := time.Now()
		if err := d.Child(testbed.Extproc1).Pause(); err != nil {
			t.Fatal(err)
		}
		d.last(5*time.Second, 3)
		if err := d.Child(testbed.Extproc1).Continue(); err != nil {
			t.Fatal(err)
		}
		d.last(3*time.Second, 2)
		calls := d.load.Stop()
		failed, told := d.failures(calls, hung), count(calls, free, refused)
		d.holds("calls failed otherwise than by an answer that they cannot be checked now", "0",
			of(failed-told, count(calls, free))+"; "+number(told)+" had that answer", failed == told)
		d.within("slowest call begun within 5 s of it", slowest(calls, hung, hung.Add(5*time.Second)), perTry, slack)
		d.unpoliced()
	})
}

func (d *exercise) failures(calls []testbed.Call, harmed time.Time) int {
	failed := 0
	for _, c := range calls {
		if free(c) && !c.Good() {
			if failed++; failed <= 5 {
				d.t.Logf("failed, begun %v after it: %v", c.Start.Sub(harmed), c)
			}
		}
	}
	return failed
}
