package outlier

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

const (
	manual    = "  failover: {failback: manual}\n"
	promoting = "  failover: {promote: automatic}\n"
)

func (w *world) region(name string) RegionStatus {
	w.t.Helper()
	all, _ := w.monitor.Statuses("orders")
	for _, r := range all[0].Regions {
		if r.Region == name {
			return r
		}
	}
	w.t.Fatalf("there is no region %s", name)
	return RegionStatus{}
}

// TestCallersStayAwayUntilSomebodySaysSo: a region that was down is the last choice until an operator lets callers go back, which
// they do in steps, and a restart changes nothing about it.
func TestCallersStayAwayUntilSomebodySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions+manual, nil)
		w.pass(5 * time.Second)
		if _, err := w.monitor.FailBack("orders", "", "operator asha", ""); !errors.Is(err, ErrNotHeld) {
			t.Errorf("with nobody away: %v", err)
		}
		w.set("primary", probe.TCP)
		w.pass(15 * time.Second)
		if health, _ := w.now(); health != "primary degraded 100" {
			t.Errorf("while it is down: %q", health)
		}
		if _, err := w.monitor.FailBack("orders", mumbai, "operator asha", ""); !errors.Is(err, ErrNotWell) {
			t.Errorf("while it is down: %v", err)
		}
		w.set("primary", "")
		w.pass(20 * time.Minute)
		if health, _ := w.now(); health != "primary degraded 100" {
			t.Errorf("20 minutes after it is well: %q", health)
		}
		if r := w.region(mumbai); r.HeldSince.IsZero() || !strings.Contains(r.HeldWhy, "tcp") {
			t.Errorf("%+v", r)
		}
		again := begin(t, twoRegions+manual, func(o *Options) { o.Tiers = w.tiers })
		if health, _ := again.now(); health != "primary degraded 100" {
			t.Errorf("after a restart: %q", health)
		}
		again.pass(5 * time.Second)
		before := len(again.sets)
		back, err := again.monitor.FailBack("orders", "", "operator asha", "disk replaced")
		if err != nil || !slices.Equal(back, []string{mumbai}) {
			t.Fatalf("%q, %v", back, err)
		}
		again.pass(3 * time.Minute)
		want := []string{"asia-south1 -75%", "asia-south1 -50%", "asia-south1 -25%", ""}
		if got := again.sets[before:]; !slices.Equal(got, want) {
			t.Errorf("came back by %q, want %q", got, want)
		}
		all, _ := again.monitor.Statuses("orders")
		if !slices.ContainsFunc(all[0].Acts, func(a Act) bool {
			return a.By == "operator asha" && a.About == mumbai && strings.Contains(a.What, "disk replaced")
		}) {
			t.Errorf("who did it is not told: %+v", all[0].Acts)
		}
		third := begin(t, twoRegions+manual, func(o *Options) { o.Tiers = again.tiers })
		if health, _ := third.now(); health != "" {
			t.Errorf("after another restart: %q", health)
		}
	})
}

// TestCallersComeBackWhereNothingElseIsLeft: whoever waits for an operator does not wait without an answer.
func TestCallersComeBackWhereNothingElseIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions+manual, nil)
		w.pass(5 * time.Second)
		w.set("primary", probe.TCP)
		w.pass(30 * time.Second)
		w.set("primary", "")
		w.pass(2 * time.Minute)
		w.set("standby", probe.TCP)
		w.pass(2 * time.Minute)
		health, _ := w.now()
		if strings.Contains(health, "primary") || !strings.Contains(health, "standby unhealthy") {
			t.Errorf("with the standby down: %q", health)
		}
		w.set("standby", "")
		w.pass(10 * time.Minute)
		if health, _ := w.now(); health != "" {
			t.Errorf("with both well: %q", health)
		}
	})
}

// TestSlowRegionWaitsForAnOperator: callers that left a slow region are away as those of one that was down.
func TestSlowRegionWaitsForAnOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions+manual, nil)
		for i := range 200 {
			bucket := 5
			if i >= 120 && i < 140 {
				bucket = 10
			}
			w.calls(mumbai, "127.0.0.1:7101", 100, bucket)
			w.calls(delhi, "127.0.0.1:7102", 100, 5)
			w.pass(time.Second)
		}
		w.pass(5 * time.Minute)
		again := begin(t, twoRegions+manual, func(o *Options) { o.Tiers = w.tiers })
		if r := again.region(mumbai); r.HeldWhy != w.region(mumbai).HeldWhy {
			t.Errorf("after a restart: %+v", r)
		}
		if r := w.region(mumbai); r.HeldSince.IsZero() || !strings.Contains(r.HeldWhy, "p95") {
			t.Fatalf("%+v", r)
		}
		if health, _ := w.now(); health != "primary degraded 100" {
			t.Errorf("health %q", health)
		}
		if _, err := w.monitor.FailBack("orders", mumbai, "operator asha", ""); err != nil {
			t.Error(err)
		}
	})
}

func TestAutomaticFailbackKeepsNobodyAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(5 * time.Second)
		w.set("primary", probe.TCP)
		w.pass(2 * time.Minute)
		if r := w.region(mumbai); !r.HeldSince.IsZero() {
			t.Errorf("%+v", r)
		}
		w.set("primary", "")
		w.pass(3 * time.Minute)
		if health, _ := w.now(); health != "" {
			t.Errorf("health %q", health)
		}
	})
}

// TestShiftSurvivesARestart: callers that left a slow region are away from the beginning.
func TestShiftSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		for i := range 130 {
			bucket := 5
			if i >= 120 {
				bucket = 10
			}
			w.calls(mumbai, "127.0.0.1:7101", 100, bucket)
			w.calls(delhi, "127.0.0.1:7102", 100, 5)
			w.pass(time.Second)
		}
		w.pass(saveEvery)
		again := begin(t, twoRegions, func(o *Options) { o.Tiers = w.tiers })
		if health, _ := again.now(); health != "asia-south1 -98%" {
			t.Errorf("right after a restart: %q", health)
		}
	})
}

// TestPromotion: the control plane promotes the standby of a region that is given up, once, where that is allowed, and never
// because a standby is given up.
func TestPromotion(t *testing.T) {
	for name, c := range map[string]struct {
		server, sick string
		want         []string
	}{
		"allowed":     {twoRegions + promoting, "primary", []string{"orders/asia-south1/asia-south2"}},
		"not allowed": {twoRegions, "primary", nil},
		"a standby":   {twoRegions + promoting, "standby", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, c.server, nil)
				w.pass(5 * time.Second)
				w.set(c.sick, probe.TCP)
				w.pass(20 * time.Minute)
				w.mu.Lock()
				defer w.mu.Unlock()
				if !slices.Equal(w.promoted, c.want) {
					t.Errorf("promoted %q, want %q", w.promoted, c.want)
				}
			})
		})
	}
}

// TestSlowForItsPrice: where the cheapest region comes first, callers leave it for as long as it is over the latency target,
// although it always was, unless it is no better elsewhere.
func TestSlowForItsPrice(t *testing.T) {
	priced := strings.NewReplacer("{name: asia-south1,", "{name: asia-south1, labels: {cost: 1},", "spec:\n", "spec:\n  slo: {p95: 20ms}\n  failover: {prefer: cost}\n").Replace(twoRegions)
	for name, c := range map[string]struct {
		server string
		there  int
		want   bool
	}{
		"slow and another is not": {priced, 1, true}, "slow everywhere": {priced, 7, false}, "in written order": {twoRegions, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, c.server, nil)
				left := 0
				for range 120 {
					w.mu.Lock()
					away := w.health.Shares[mumbai]
					w.mu.Unlock()
					if away == 98 {
						left++
					}
					w.calls(mumbai, "127.0.0.1:7101", uint32(100-away), 7)
					w.calls(delhi, "127.0.0.1:7102", uint32(20+away), c.there)
					w.pass(time.Second)
				}
				if (left > 60) != c.want {
					t.Errorf("callers were away for %d of 120 s", left)
				}
			})
		})
	}
}
