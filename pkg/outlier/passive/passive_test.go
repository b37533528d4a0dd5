package passive

import (
	"testing"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

var (
	start = time.Unix(1_800_000_000, 0)
	a     = Endpoint{"orders", "127.0.0.1:7101"}
	south = Region{"orders", "asia-south1"}
)

func windows() *Windows {
	w := New()
	w.Keep([]Endpoint{a}, []Region{south})
	return w
}

// count of calls of one tool, all in one bucket.
func count(good, failed uint32, bucket int) *outcomev1.Count {
	c := &outcomev1.Count{Server: a.Server, Endpoint: a.Address, Region: south.Region, Method: "tools/call", Tool: "get_order", Good: good, Failed: failed}
	c.Latency = make([]uint32, perOctave*bucket+1)
	c.Latency[perOctave*bucket] = good + failed
	if failed > 0 {
		c.FailedPrincipals = []uint64{1, 2}
	}
	return c
}

func TestEndpointsForgetAfterAMinute(t *testing.T) {
	w := windows()
	w.Observe([]*outcomev1.Count{count(90, 10, 6)}, nil, start)
	got := w.Endpoint(a, start.Add(5*time.Second))
	if got.Good != 90 || got.Failed != 10 || got.JustFailed != 10 || !got.LastGood.Equal(start) {
		t.Errorf("%+v", got)
	}
	if got.P95 <= 32*time.Millisecond || got.P95 > 64*time.Millisecond {
		t.Errorf("p95 %s of answers between 32 and 64 ms", got.P95)
	}
	if got := w.Endpoint(a, start.Add(15*time.Second)); got.Good != 90 || got.JustGood != 0 {
		t.Errorf("after 15 s: %+v", got)
	}
	if got := w.Endpoint(a, start.Add(61*time.Second)); got.Good != 0 || got.P95 != 0 || !got.LastGood.Equal(start) {
		t.Errorf("after a minute: %+v", got)
	}
}

func TestRegionsKnowWhatIsUsual(t *testing.T) {
	w := windows()
	now := start
	for range 120 {
		now = now.Add(time.Second)
		w.Observe([]*outcomev1.Count{count(50, 0, 5)}, nil, now)
	}
	if p := w.Region(south, now); p.P95 > 32*time.Millisecond || p.Usual > 32*time.Millisecond || p.Usual <= 16*time.Millisecond || p.UsualCalls < 4000 {
		t.Fatalf("%+v", p)
	}
	// Two slow seconds are seen now, and are not usual.
	for range 2 {
		now = now.Add(time.Second)
		w.Observe([]*outcomev1.Count{count(50, 0, 10)}, nil, now)
	}
	if p := w.Region(south, now); p.P95 <= 512*time.Millisecond || p.Usual > 32*time.Millisecond {
		t.Fatalf("two seconds: %+v", p)
	}
	w.Freeze(south, true)
	for range 60 {
		now = now.Add(time.Second)
		w.Observe([]*outcomev1.Count{count(50, 0, 10)}, nil, now)
	}
	if p := w.Region(south, now); p.Usual > 64*time.Millisecond {
		t.Errorf("frozen, and %s is usual", p.Usual)
	}
	w.Freeze(south, false)
	for range 400 {
		now = now.Add(time.Second)
		w.Observe([]*outcomev1.Count{count(50, 0, 10)}, nil, now)
	}
	if p := w.Region(south, now); p.Usual <= 512*time.Millisecond {
		t.Errorf("after more than five minutes %s is usual", p.Usual)
	}
}

func TestWhoWasHurt(t *testing.T) {
	w := windows()
	w.Observe([]*outcomev1.Count{count(1, 2, 3)}, nil, start)
	if h := w.Hurt(south, start); h.Agents != 2 || len(h.Tools) != 1 || h.Tools[0] != "get_order" {
		t.Errorf("%+v", h)
	}
	if h := w.Hurt(south, start.Add(2*time.Minute)); h.Agents != 0 || len(h.Tools) != 0 {
		t.Errorf("two minutes later: %+v", h)
	}
	for i := range uint64(10000) {
		c := count(0, 1, 3)
		c.FailedPrincipals, c.Tool = []uint64{i + 10}, string(rune('a'+i%26))+string(rune('a'+i/26%26))
		w.Observe([]*outcomev1.Count{c}, nil, start)
	}
	if h := w.Hurt(south, start); h.Agents > maxAgents || len(h.Tools) > maxTools {
		t.Errorf("%d agents, %d tools", h.Agents, len(h.Tools))
	}
}

func TestLoads(t *testing.T) {
	w := windows()
	cpu, wild := float32(0.5), float32(1e9)
	w.Observe(nil, []*outcomev1.Load{{Server: a.Server, Endpoint: a.Address, Cpu: &cpu, Memory: &wild}}, start)
	if got := w.Endpoint(a, start); got.CPU == nil || *got.CPU != 0.5 || got.Memory != nil {
		t.Errorf("%+v", got)
	}
	if got := w.Endpoint(a, start.Add(time.Minute)); got.CPU != nil {
		t.Errorf("a minute later: %+v", got)
	}
}

func TestOthersAreNotCounted(t *testing.T) {
	w := windows()
	c := count(1, 0, 0)
	c.Endpoint, c.Region = "127.0.0.1:1", "elsewhere"
	w.Observe([]*outcomev1.Count{c}, []*outcomev1.Load{{Server: "x", Endpoint: "y"}}, start)
	if len(w.endpoints) != 1 || len(w.regions) != 1 {
		t.Errorf("%d endpoints, %d regions", len(w.endpoints), len(w.regions))
	}
	w.Keep(nil, nil)
	if len(w.endpoints)+len(w.regions)+len(w.frozen) != 0 {
		t.Error("what is gone is kept")
	}
}

func TestQuantile(t *testing.T) {
	var h histogram
	if h.quantile(0.95) != 0 {
		t.Error("of nothing")
	}
	h.add([]uint32{100})
	if q := h.quantile(0.5); q != 500*time.Microsecond {
		t.Errorf("half of those up to 1 ms: %s", q)
	}
	h = histogram{}
	h[4], h[8] = 95, 5
	if q := h.quantile(0.95); q != 16*time.Millisecond {
		t.Errorf("exactly at the edge: %s", q)
	}
	h[8] = 6
	if q := h.quantile(0.95); q <= 128*time.Millisecond || q > 256*time.Millisecond {
		t.Errorf("beyond the edge: %s", q)
	}
}
