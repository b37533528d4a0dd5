package outlier

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

func TestNothingIsSetWhileAllIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(10 * time.Minute)
		if health, sets := w.now(); sets != 0 {
			t.Errorf("set %d times: %s", sets, health)
		}
		e := w.endpoint("primary")
		if e.Score.Value < 95 || len(e.Score.Missing()) != 0 || e.Tier.String() != "steady" || len(e.Layers) != 6 {
			t.Errorf("%+v", e)
		}
		if n := len(w.log.Incidents("")); n != 0 {
			t.Errorf("%d incidents", n)
		}
	})
}

// TestEachLayerGoesThroughTheTiersInOrder: whichever layer fails, it is named, and the tiers come at their times since it first failed; all
// comes back by itself, and the incident says so.
func TestEachLayerGoesThroughTheTiersInOrder(t *testing.T) {
	for _, l := range []probe.Layer{probe.TCP, probe.HTTP, probe.Handshake, probe.Query, probe.Metrics, probe.List} {
		t.Run(string(l), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := twoRegions
				if l == probe.List {
					// Nothing else may freshen what is known.
					server = strings.Replace(twoRegions, "    query: {tool: get_order}\n", "", 1)
				}
				w := begin(t, server+promoting, nil)
				w.pass(70 * time.Second)
				w.set("primary", l)
				var moves []string
				at := map[string]time.Time{}
				last := "steady"
				for range 1400 {
					e := w.endpoint("primary")
					if tier := e.Tier.String(); tier != last {
						moves, last = append(moves, tier), tier
						at[tier] = time.Now()
						if e.Layer != string(l) {
							t.Errorf("%s because of %q: %s", tier, e.Layer, e.Detail)
						}
					}
					if last == "abandoned" {
						break
					}
					w.pass(500 * time.Millisecond)
				}
				if want := []string{"watched", "shedding", "ejected", "abandoned"}; !slices.Equal(moves, want) {
					t.Fatalf("tiers %q, want %q", moves, want)
				}
				began := w.endpoint("primary").LayerSince
				for tier, after := range map[string]time.Duration{"shedding": 30 * time.Second, "ejected": time.Minute, "abandoned": 5 * time.Minute} {
					if got := at[tier].Sub(began); got < after || got > after+2*time.Second {
						t.Errorf("%s after %s, want %s", tier, got, after)
					}
				}
				w.pass(2 * time.Second)
				health, _ := w.now()
				if health != "primary unhealthy 25" || !slices.Equal(w.promoted, []string{"orders/asia-south1/asia-south2"}) {
					t.Errorf("health %q, promoted %q", health, w.promoted)
				}
				if i := w.log.Incidents("orders"); len(i) != 1 || i[0].Layer != string(l) || i[0].Escalated.IsZero() || i[0].Mitigated.IsZero() || !i[0].Open() {
					t.Errorf("incidents %+v", i)
				}
				if w.endpoint("standby").Tier != 0 {
					t.Error("the standby is not steady")
				}
				w.set("primary", "")
				w.pass(4 * time.Minute)
				if health, _ := w.now(); health != "" {
					t.Errorf("four minutes after it is well: %s", health)
				}
				if i := w.log.Incidents("orders"); len(i) != 1 || i[0].Open() {
					t.Errorf("incidents %+v", i)
				}
				for i := 1; i < len(w.setAt); i++ {
					if d := w.setAt[i].Sub(w.setAt[i-1]); d < 900*time.Millisecond {
						t.Errorf("set twice within %s: %q", d, w.sets)
					}
				}
				if len(w.sets) > 10 {
					t.Errorf("%d changes: %q", len(w.sets), w.sets)
				}
			})
		})
	}
}

// TestGradually: one that was shed gets its callers back in steps.
func TestGradually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(5 * time.Second)
		w.set("primary", probe.TCP)
		w.pass(45 * time.Second)
		w.set("primary", "")
		w.pass(3 * time.Minute)
		want := []string{
			"primary healthy 25, asia-south1 -75%", "primary healthy 10, asia-south1 -90%", "primary healthy 25, asia-south1 -75%",
			"primary healthy 50, asia-south1 -50%", "primary healthy 75, asia-south1 -25%", "",
		}
		for i := range want {
			parts := strings.Split(want[i], ", ")
			slices.Sort(parts)
			want[i] = strings.Join(parts, ", ")
		}
		if !slices.Equal(w.sets, want) {
			t.Errorf("set %q, want %q", w.sets, want)
		}
		i := w.log.Incidents("orders")
		if len(i) != 1 || i[0].Open() || !i[0].Automatic() {
			t.Fatalf("%+v", i)
		}
		if d, ok := i[0].ToRestore(); !ok || d > 32*time.Second || i[0].ToDetect() > 11*time.Second {
			t.Errorf("detected after %s, restored after %s", i[0].ToDetect(), d)
		}
	})
}

func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(5 * time.Second)
		for range 90 {
			w.set("primary", probe.TCP)
			w.pass(2 * time.Second)
			w.set("primary", "")
			w.pass(2 * time.Second)
		}
		ejections, out := 0, false
		for _, s := range w.sets {
			is := strings.Contains(s, "primary unhealthy")
			if is && !out {
				ejections++
			}
			out = is
		}
		if ejections > 3 {
			t.Errorf("ejected %d times: %q", ejections, w.sets)
		}
	})
}

// TestTheLastAreSpreadOver: with nothing fit anywhere, nothing is taken out.
func TestTheLastAreSpreadOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(5 * time.Second)
		w.set("primary", probe.TCP)
		w.set("standby", probe.TCP)
		w.pass(10 * time.Minute)
		health, _ := w.now()
		if strings.Contains(health, "unhealthy") || strings.Contains(health, "%") {
			t.Errorf("with nothing fit: %s", health)
		}
		if len(w.promoted) != 0 {
			t.Errorf("promoted %q", w.promoted)
		}
	})
}

func TestMaxEjected(t *testing.T) {
	for failing, want := range map[int]int{1: 1, 2: 0, 3: 0} {
		t.Run(fmt.Sprint(failing), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, threeOfOne, nil)
				w.pass(5 * time.Second)
				for _, name := range []string{"a", "b", "c"}[:failing] {
					w.set(name, probe.TCP)
				}
				w.pass(10 * time.Minute)
				health, _ := w.now()
				if n := strings.Count(health, "unhealthy"); n != want {
					t.Errorf("%d out of three are out, want %d: %s", n, want, health)
				}
			})
		})
	}
}

// TestStrainedIsNotTakenOut: an endpoint that answers 429 gets calls only where no other is left, for as long as it does.
func TestStrainedIsNotTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(5 * time.Second)
		w.mu.Lock()
		w.strained["primary"] = true
		w.mu.Unlock()
		w.pass(20 * time.Minute)
		if health, _ := w.now(); !strings.Contains(health, "primary degraded") {
			t.Errorf("health %q", health)
		}
		if e := w.endpoint("primary"); e.Tier.String() != "shedding" || e.Layer != "http" {
			t.Errorf("%s because of %q", e.Tier, e.Layer)
		}
	})
}

// TestSlowRegion: callers leave within five seconds, and come back in steps once the few that stayed do well.
func TestSlowRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		second := func(away int, bucket int) {
			stay := uint32(100 * (100 - away) / 100)
			w.calls(mumbai, "127.0.0.1:7101", stay, bucket)
			w.calls(delhi, "127.0.0.1:7102", 100-stay, 5)
			w.pass(time.Second)
		}
		share := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.health.Shares[mumbai]
		}
		for range 120 {
			second(share(), 5)
		}
		if share() != 0 {
			t.Fatalf("%d%% leave a region that is as usual", share())
		}
		for range 5 {
			second(share(), 10)
		}
		if share() < 90 {
			t.Fatalf("after five slow seconds %d%% leave: %q", share(), w.sets)
		}
		for range 20 {
			second(share(), 10)
		}
		if share() < 90 {
			t.Fatalf("%d%% stay away while it is slow", share())
		}
		var shares []int
		for range 120 {
			shares = append(shares, share())
			second(share(), 5)
		}
		if got := slices.Compact(shares); !slices.Equal(got, []int{98, 75, 50, 25, 0}) {
			t.Errorf("came back by %v", got)
		}
		i := w.log.Incidents("orders")
		if len(i) != 1 || i[0].Layer != layerCalls || i[0].Open() || i[0].Mitigated.Sub(i[0].Began) > 5*time.Second {
			t.Errorf("incidents %+v", i)
		}
	})
}

// TestOwnWordOnLoad: what an endpoint says of its CPU in its answers counts as a metrics page does.
func TestOwnWordOnLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, strings.Replace(twoRegions, "    metrics: {}\n", "", 1), nil)
		w.pass(5 * time.Second)
		if e := w.endpoint("primary"); len(e.Score.Missing()) != 1 {
			t.Errorf("missing %v", e.Score.Missing())
		}
		cpu := float32(0.99)
		for range 40 {
			w.monitor.Observe(&outcomev1.Summary{Loads: []*outcomev1.Load{{Server: "orders", Endpoint: "127.0.0.1:7101", Cpu: &cpu}}})
			w.pass(time.Second)
		}
		if e := w.endpoint("primary"); e.Layer != "metrics" || e.Tier.String() != "shedding" || !strings.Contains(e.Detail, "99%") || len(e.Score.Missing()) != 0 {
			t.Errorf("%s because of %q: %s", e.Tier, e.Layer, e.Detail)
		}
	})
}

// TestCallsCountForMore: where calls get through, a probe that does not says something of the control plane, not of the endpoint.
func TestCallsCountForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(5 * time.Second)
		w.set("primary", probe.TCP)
		for range 120 {
			w.calls(mumbai, "127.0.0.1:7101", 20, 4)
			w.pass(time.Second)
		}
		if health, sets := w.now(); sets != 0 {
			t.Errorf("set %q", health)
		}
		if e := w.endpoint("primary"); e.Layer != "tcp" || !strings.Contains(e.Detail, "calls get through") {
			t.Errorf("%s: %s", e.Layer, e.Detail)
		}
		w.pass(2 * time.Minute)
		if e := w.endpoint("primary"); e.Tier.String() != "ejected" {
			t.Errorf("with no calls it is %s", e.Tier)
		}
	})
}

// TestRestart: what was out is out again before anybody is told of the server, and until it is found well.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := begin(t, twoRegions, nil)
		first.pass(5 * time.Second)
		first.set("primary", probe.Handshake)
		first.pass(2*time.Minute + 30*time.Second)
		before, _ := first.now()
		if !strings.Contains(before, "primary unhealthy") {
			t.Fatal(before)
		}
		again := begin(t, twoRegions, func(o *Options) { o.Tiers = first.tiers })
		if after, sets := again.now(); after != before || sets != 1 {
			t.Errorf("right after the restart %q, before %q", after, before)
		}
		again.set("primary", probe.Handshake)
		again.pass(time.Minute)
		if after, _ := again.now(); after != before {
			t.Errorf("a minute after the restart %q, before %q", after, before)
		}
		again.set("primary", "")
		again.pass(3 * time.Minute)
		if after, _ := again.now(); after != "" {
			t.Errorf("after it is well: %q", after)
		}
		elsewhere := strings.Replace(twoRegions, ":7101", ":7199", 1)
		moved := begin(t, elsewhere, func(o *Options) { o.Tiers = first.tiers })
		if after, _ := moved.now(); after != "" {
			t.Errorf("another address inherits %q", after)
		}
	})
}

// TestDisabled: tiers that are off measure, show, and change nothing.
func TestDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions+"  tiers: {disabled: true}\n", nil)
		w.pass(5 * time.Second)
		w.set("primary", probe.TCP)
		w.pass(10 * time.Minute)
		if health, sets := w.now(); sets != 0 || len(w.promoted) != 0 {
			t.Errorf("set %q, promoted %q", health, w.promoted)
		}
		if e := w.endpoint("primary"); e.Layer != "tcp" || e.Score.Value > 80 {
			t.Errorf("%+v", e)
		}
	})
}

// TestChangesOfConfiguration: what is known stays where an endpoint does, and watches end with their endpoints.
func TestChangesOfConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, twoRegions, nil)
		w.pass(5 * time.Second)
		w.set("primary", probe.TCP)
		w.pass(80 * time.Second)
		w.monitor.SetServers(watched(t, twoRegions+"  score: {staleness: {critical: 10m}}\n"))
		if health, _ := w.now(); !strings.Contains(health, "primary unhealthy") {
			t.Errorf("after a change of something else: %q", health)
		}
		w.monitor.SetServers(watched(t, threeOfOne))
		w.pass(2 * time.Second)
		if health, _ := w.now(); health != "" {
			t.Errorf("with other endpoints: %q", health)
		}
		w.monitor.SetServers(nil)
		if _, ok := w.monitor.Statuses("orders"); ok {
			t.Error("a server that is gone is known")
		}
	})
}
