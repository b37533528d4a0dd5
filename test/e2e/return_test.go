package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestReturn: both regions die and come back. As soon as Envoy knows of a healthy
// endpoint all of its workers do, and calls are answered, whatever it found out about
// the others in the second before.
func TestReturn(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{Config: testbed.QuickChecks(testbed.DefaultConfig)})
	load := s.StartLoad("/mcp", 100, testbed.GetOrder)
	s.Until(testbed.Patience, "answers under load", func() bool { return len(load.Calls()) > 50 })
	flags := func() (out []string) {
		for line := range strings.Lines(s.AdminOf(s.Admin, "/clusters")) {
			if rest, ok := strings.CutPrefix(line, "orders::127"); ok {
				if _, flags, ok := strings.Cut(strings.TrimSpace(rest), "::health_flags::"); ok {
					out = append(out, flags)
				}
			}
		}
		return out
	}
	all := func(condition func(string) bool) bool {
		met := 0
		for _, f := range flags() {
			if condition(f) {
				met++
			}
		}
		return met == 2
	}
	s.Kill("primary-mumbai")
	s.Until(testbed.Patience, "health checks have failed for Mumbai", func() bool {
		return !all(func(f string) bool { return !strings.Contains(f, "failed_active_hc") })
	})
	s.Kill("standby-delhi")
	s.Until(testbed.Patience, "health checks have failed for both", func() bool {
		return all(func(f string) bool { return strings.Contains(f, "failed_active_hc") })
	})
	s.Restart("primary-mumbai")
	s.Restart("standby-delhi")
	s.Until(testbed.Patience, "one of them is healthy", func() bool {
		return !all(func(f string) bool { return f != "healthy" })
	})
	known := time.Now()
	s.Until(testbed.Patience, "both are, and calls have been made since", func() bool {
		return all(func(f string) bool { return f == "healthy" }) && len(load.Since(known.Add(time.Second))) > 50
	})
	// A quarter of a second is for a machine that has much else to do.
	requireAllGood(t, load.Since(known.Add(250*time.Millisecond)))
	load.Stop()
}
