// Package drills plays failures against a whole Holdfast on a real Envoy and holds
// them to bounds in absolute time. Those are only asserted with -absolute, as `make
// drills` does, and are multiplied by what the machine's speed at the moment is worth,
// measured on a plain Envoy in the same run; without it the same drills check counts
// and order.
package drills

import (
	"flag"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

var absolute = flag.Bool("absolute", false, "assert bounds in absolute time, as `make drills` does") //nolint:gochecknoglobals // a flag

const (
	rate = 100
	// perTry is the per-try timeout of get_order in the testbed's configuration.
	perTry = 800 * time.Millisecond
	// slack is what failing over may take beyond the per-try timeout.
	slack = 50 * time.Millisecond
)

// TestHang: the primary takes connections and never answers. The first call after that has the standby's answer once
// its first try is given up, and no call fails.
func TestHang(t *testing.T) {
	s := testbed.Start(t, testbed.Options{})
	calibration := s.Calibration("primary-mumbai", rate, testbed.GetOrder)
	load := s.StartLoad("/mcp", rate, testbed.GetOrder)
	s.Until(20*time.Second, "the primary answers under load", func() bool { return len(load.Calls()) > 200 })
	hung := time.Now()
	if err := s.Child("primary-mumbai").Pause(); err != nil {
		t.Fatal(err)
	}
	s.Until(30*time.Second, "the standby answers", func() bool {
		answers := 0
		for _, c := range load.Since(hung) {
			if c.Good() && c.Via == "standby-delhi" {
				answers++
			}
		}
		return answers > 200
	})
	calls := load.Stop()
	first := time.Duration(0)
	for _, c := range calls {
		if !c.Good() {
			t.Errorf("failed: %v", c)
		}
		if !c.Start.After(hung) {
			continue
		}
		if at := c.Start.Add(c.Took).Sub(hung); first == 0 || at < first {
			first = at
		}
	}
	bound := perTry + time.Duration(float64(slack)*calibration)
	t.Logf("first good answer %v after the hang; bound %v, calibration %.2f", first.Round(time.Millisecond), bound.Round(time.Millisecond), calibration)
	switch {
	case first == 0:
		t.Error("no call that was made after the hang was answered")
	case *absolute && first > bound:
		t.Errorf("the first good answer came after %v, bound %v (calibration %.2f)", first, bound, calibration)
	}
}
