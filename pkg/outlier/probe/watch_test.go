package probe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pace(interval, timeout time.Duration) *model.Probe {
	return &model.Probe{Interval: interval, Timeout: timeout, Failures: 2, Successes: 2}
}

// usual are the defaults of the configuration, all layers on.
func usual() model.Probes {
	return model.Probes{
		TCP: pace(5*time.Second, time.Second), TLS: pace(10*time.Second, 2*time.Second), HTTP: pace(10*time.Second, 2*time.Second),
		Handshake: pace(30*time.Second, 5*time.Second), List: pace(time.Minute, 5*time.Second),
		Query:   &model.Query{Probe: *pace(30*time.Second, 5*time.Second), Tool: "get"},
		Metrics: &model.Metrics{Probe: *pace(15*time.Second, 2*time.Second)},
	}
}

// world is an endpoint whose layers fail as a test says, on a clock of its own.
type world struct {
	mu      sync.Mutex
	failing map[Layer]bool
	// hangs: a failing layer takes its whole timeout.
	hangs     bool
	underWay  int
	most      int
	looks     []string
	start     time.Time
	standings []Standing
}

func (w *world) look(ctx context.Context, l Layer, timeout time.Duration) Result {
	r := Result{Layer: l, Outcome: Good, Began: time.Now()}
	w.mu.Lock()
	w.underWay++
	w.most = max(w.most, w.underWay)
	w.looks = append(w.looks, fmt.Sprintf("%s@%d", l, int(time.Since(w.start)/time.Second)))
	fails := false
	// What a lower layer cannot do, a higher one cannot either.
	for _, lower := range Layers() {
		fails = fails || w.failing[lower]
		if lower == l {
			break
		}
	}
	hangs := w.hangs
	w.mu.Unlock()
	if fails {
		r.Outcome, r.Detail = Failed, "as the test says"
		if hangs {
			select {
			case <-time.After(timeout):
			case <-ctx.Done():
			}
		}
	}
	r.Took = time.Since(r.Began)
	w.mu.Lock()
	w.underWay--
	w.mu.Unlock()
	return r
}

func (w *world) fail(l Layer, fails bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[l] = fails
}

// named is the lowest layer that has failed.
func (w *world) named() Layer {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.standings {
		if s.Outcome == Failed {
			return s.Layer
		}
	}
	return ""
}

func run(t *testing.T, w *world, probes model.Probes) *Watch {
	t.Helper()
	target := Target{Server: "orders", Name: "a", Probes: probes}
	w.failing, w.start = map[Layer]bool{}, time.Now()
	watch := NewWatch(WatchOptions{
		Target: target, Random: func() float64 { return 0 },
		Look: func(ctx context.Context, l Layer) Result { return w.look(ctx, l, target.pace(l).Timeout) },
		Told: func(all []Standing) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.standings = all
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); watch.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return watch
}

// TestTheFailingLayerIsNamedInTime: whichever layer fails, and whenever, and whether it hangs or refuses: its name is known within its
// interval times its threshold and a second. No two probes are ever under way.
func TestTheFailingLayerIsNamedInTime(t *testing.T) {
	for _, l := range Layers() {
		for _, hangs := range []bool{false, true} {
			for _, after := range []time.Duration{100 * time.Millisecond, 17 * time.Second, 60*time.Second + 500*time.Millisecond} {
				t.Run(fmt.Sprintf("%s, hangs %v, after %s", l, hangs, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := &world{hangs: hangs}
						probes := usual()
						run(t, w, probes)
						time.Sleep(after)
						synctest.Wait()
						if named := w.named(); named != "" {
							t.Fatalf("%s is named before anything failed", named)
						}
						w.fail(l, true)
						failed := time.Now()
						pace := (&Target{Probes: probes}).pace(l)
						limit := pace.Interval*time.Duration(pace.Failures) + time.Second
						for w.named() != l {
							if time.Since(failed) > limit {
								t.Fatalf("after %s it is %q, looks %q", time.Since(failed), w.named(), w.looks)
							}
							time.Sleep(100 * time.Millisecond)
							synctest.Wait()
						}
						if w.most != 1 {
							t.Errorf("%d probes at a time", w.most)
						}
						w.fail(l, false)
						for back := time.Now(); w.named() != ""; {
							if time.Since(back) > limit {
								t.Fatalf("%s after it is well again %q is named", time.Since(back), w.named())
							}
							time.Sleep(100 * time.Millisecond)
							synctest.Wait()
						}
					})
				})
			}
		}
	}
}

// TestNothingPilesUpOnAHungEndpoint: while the lowest layer hangs nothing above it is tried, and no more often than its interval says.
func TestNothingPilesUpOnAHungEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{hangs: true}
		run(t, w, usual())
		synctest.Wait()
		w.fail(TCP, true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.mu.Lock()
		w.looks = nil
		w.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		higher := slices.DeleteFunc(slices.Clone(w.looks), func(s string) bool { return s[:3] == "tcp" || s[:3] == "met" })
		if len(higher) > 0 || len(w.looks) > 12+4*2 || w.most != 1 {
			t.Errorf("in a minute %q, at most %d at a time", w.looks, w.most)
		}
	})
}

// TestPace: each layer comes at its own interval, twice as fast while it is watched.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		watch := run(t, w, model.Probes{TCP: pace(5*time.Second, time.Second), HTTP: pace(10*time.Second, time.Second)})
		time.Sleep(59 * time.Second)
		synctest.Wait()
		count := func() (tcp, http int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range w.looks {
				if s[:3] == "tcp" {
					tcp++
				} else {
					http++
				}
			}
			w.looks = nil
			return tcp, http
		}
		if tcp, http := count(); tcp != 12 || http != 6 {
			t.Errorf("in a minute %d and %d probes, want 12 and 6", tcp, http)
		}
		watch.Faster(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if tcp, http := count(); tcp < 23 || tcp > 25 || http < 11 || http > 13 {
			t.Errorf("in a faster minute %d and %d probes, want about 24 and 12", tcp, http)
		}
	})
}

func TestThresholds(t *testing.T) {
	set := Threshold{Failures: 3, Successes: 2}
	var s Standing
	at := time.Unix(1000, 0)
	step := func(o Outcome) Outcome {
		at = at.Add(time.Second)
		s.take(Result{Outcome: o, Began: at, Took: time.Millisecond}, set)
		return s.Outcome
	}
	var got []Outcome
	for _, o := range []Outcome{Good, Failed, Failed, Good, Failed, Failed, Failed, Good, Failed, Good, Good, Strained, Strained, Strained, Unknown} {
		got = append(got, step(o))
	}
	want := []Outcome{Good, Good, Good, Good, Good, Good, Failed, Failed, Failed, Failed, Good, Good, Good, Strained, Unknown}
	if !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	s = Standing{}
	step(Good)
	step(Failed)
	first := at
	step(Failed)
	step(Failed)
	if !s.Since.Equal(first) || !s.Confirmed.Equal(at.Add(time.Millisecond)) {
		t.Errorf("failed since %s, confirmed %s; the first failure was %s", s.Since, s.Confirmed, first)
	}
}
