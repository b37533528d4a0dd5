package outcome

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

func getOrder(change func(*Call)) Call {
	c := Call{
		Server: "orders", Endpoint: "127.0.0.1:7101", Region: "asia-south1", Method: "tools/call", Tool: "get_order",
		Principal: 1, Took: 3 * time.Millisecond,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestDrain(t *testing.T) {
	t.Parallel()
	w := NewWindow(newClock().now)
	for i := range 20 {
		w.Observe(getOrder(func(c *Call) { c.Principal = uint64(i) }), Succeeded)
	}
	w.Observe(getOrder(func(c *Call) { c.Took = time.Hour }), Failed)
	w.Observe(getOrder(nil), Refused)
	w.Observe(getOrder(nil), Busy)
	w.Observe(getOrder(nil), Unrelated)
	latency := make([]uint32, latencyBuckets)
	latency[2*perOctave-3], latency[16*perOctave] = 22, 1
	want := []*outcomev1.Count{{
		Server: "orders", Endpoint: "127.0.0.1:7101", Region: "asia-south1", Method: "tools/call", Tool: "get_order",
		Good: 21, Failed: 1, Busy: 1, Latency: latency,
		GoodPrincipals: []uint64{0, 1, 2, 3, 4, 5, 6, 7}, FailedPrincipals: []uint64{1}, FailedSurplus: 1,
	}}
	if diff := cmp.Diff(want, w.Drain(), protocmp.Transform()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if again := w.Drain(); len(again) != 0 {
		t.Errorf("handed out twice: %v", again)
	}
}

func TestLatencyBuckets(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]int{
		0: 0, time.Millisecond: 0, time.Millisecond + 1: 1, 1500 * time.Microsecond: 5, 2 * time.Millisecond: 8, 3 * time.Millisecond: 13, 4 * time.Millisecond: 16,
		1024 * time.Millisecond: 80, 1025 * time.Millisecond: 81, 65_536 * time.Millisecond: latencyBuckets - 1, 24 * time.Hour: latencyBuckets - 1,
	} {
		if got := latencyBucket(took); got != want {
			t.Errorf("%v is in bucket %d, want %d", took, got, want)
		}
	}
}

func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	w := NewWindow(newClock().now)
	for e := range 64 {
		for tool := range maxTools {
			w.Observe(getOrder(func(c *Call) { c.Endpoint, c.Tool = fmt.Sprint("e", e), fmt.Sprint("t", tool) }), Succeeded)
		}
	}
	busy := getOrder(func(c *Call) { c.Endpoint = "e7"; c.Tool = "t7" })
	w.Observe(busy, Succeeded)
	got := w.Drain()
	if len(got) != maxDrained || got[0].GetEndpoint() != "e7" || got[0].GetTool() != "t7" {
		t.Errorf("%d counts, the first of %s", len(got), got[0].GetTool())
	}
}

// TestMerge: what others saw counts as if it had been seen here, and is not passed on.
func TestMerge(t *testing.T) {
	t.Parallel()
	c := newClock()
	here, there := NewWindow(c.now), NewWindow(c.now)
	for range 6 {
		there.Observe(getOrder(nil), Failed)
		here.Observe(getOrder(nil), Failed)
	}
	here.Drain()
	here.Merge(there.Drain())
	tally := here.Tool("orders", "get_order", "asia-south1", time.Time{})
	if want := (Tally{Failed: 12, Row: 12, Confirmed: true}); tally != want {
		t.Errorf("%+v, want %+v", tally, want)
	}
	if passed := here.Drain(); len(passed) != 0 {
		t.Errorf("passed on: %v", passed)
	}
	good := []*outcomev1.Count{{Server: "orders", Endpoint: "e", Region: "asia-south1", Method: "tools/call", Tool: "get_order", Good: 1}}
	here.Merge(good)
	if row := here.Tool("orders", "get_order", "asia-south1", time.Time{}).Row; row != 0 {
		t.Errorf("a row of %d over another processor's answer", row)
	}
	before := len(here.endpoints)
	here.Merge([]*outcomev1.Count{
		{Server: "", Endpoint: "x", Good: 1},
		{Server: "orders", Good: 1},
		{Server: "orders", Endpoint: "x"},
		{Server: "orders", Endpoint: "x", Tool: strings.Repeat("x", maxNameBytes+1), Good: 1},
		{Server: "orders", Endpoint: "x", Failed: 1 << 31},
	})
	if len(here.endpoints) != before {
		t.Error("a count was taken that cannot be")
	}
}

// TestEndpointByMerge: two processors that each see too little see an endpoint fail together.
func TestEndpointByMerge(t *testing.T) {
	t.Parallel()
	c := newClock()
	here, there := NewWindow(c.now), NewWindow(c.now)
	for _, tool := range []string{"a", "b"} {
		for range 3 {
			there.Observe(getOrder(func(c *Call) { c.Tool = tool }), Failed)
		}
	}
	here.Merge(there.Drain())
	if v := here.Observe(getOrder(func(c *Call) { c.Tool = "a" }), Failed); v != EndpointFailed {
		t.Errorf("verdict %q", v)
	}
}

// TestTally forgets what it should.
func TestTally(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := NewWindow(c.now)
	tool := func(since time.Time) Tally { return w.Tool("orders", "get_order", "asia-south1", since) }
	w.Observe(getOrder(nil), Succeeded)
	if got := tool(time.Time{}); got != (Tally{}) {
		t.Errorf("a tool that has not failed: %+v", got)
	}
	for range 3 {
		w.Observe(getOrder(nil), Failed)
	}
	if got := w.Tool("orders", "get_order", "asia-south2", time.Time{}); got != (Tally{}) {
		t.Errorf("another region: %+v", got)
	}
	c.at = c.at.Add(20 * time.Second)
	if got := tool(time.Time{}); got.Row != 3 || got.Failed != 0 {
		t.Errorf("after 20 s: %+v", got)
	}
	if got := tool(c.at.Add(-5 * time.Second)); got.Row != 0 {
		t.Errorf("since a moment after them: %+v", got)
	}
	c.at = c.at.Add(time.Minute)
	if got := tool(time.Time{}); got.Row != 0 {
		t.Errorf("after a minute: %+v", got)
	}
}

// TestOneCaller: failures of one caller alone speak for nobody else, while there are others.
func TestOneCaller(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := NewWindow(c.now)
	by := func(principal uint64) Call { return getOrder(func(c *Call) { c.Principal = principal }) }
	confirmed := func() bool { return w.Tool("orders", "get_order", "asia-south1", time.Time{}).Confirmed }
	w.Observe(by(1), Failed)
	if !confirmed() {
		t.Error("the only caller does not count")
	}
	w.Observe(by(2), Succeeded)
	for range 8 {
		for _, tool := range []string{"a", "b"} {
			broken := by(1)
			broken.Tool = tool
			if v := w.Observe(broken, Failed); v != ToolFailed {
				t.Fatalf("one caller made an endpoint %q", v)
			}
		}
		if v := w.ObserveBroken(by(1)); v != ToolFailed {
			t.Fatalf("one caller's 5xx made an endpoint %q", v)
		}
	}
	if confirmed() {
		t.Error("one of two callers opened it for both")
	}
	w.Observe(by(2), Failed)
	if !confirmed() {
		t.Error("two callers do not count")
	}
	for range 2 {
		if v := w.ObserveBroken(by(1)); v != ToolFailed {
			t.Errorf("one caller's 5xx and one failure of another: %q", v)
		}
	}
	w.ObserveBroken(by(2))
	if v := w.ObserveBroken(by(2)); v != EndpointFailed {
		t.Errorf("two callers' 5xx, three of either: %q", v)
	}
	c.at = c.at.Add(callerMemory + time.Second)
	w.Observe(by(1), Failed)
	if !confirmed() {
		t.Error("a caller of long ago counts still")
	}
}

// TestLeftToEnvoy: an endpoint that Envoy does not eject loses its broken tools one by one.
func TestLeftToEnvoy(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := NewWindow(c.now)
	for second := range 14 {
		for _, tool := range []string{"a", "b"} {
			for range 3 {
				w.Observe(getOrder(func(c *Call) { c.Tool = tool }), Failed)
			}
		}
		if got, want := w.LeftToEnvoy(getOrder(nil)), second < 10; got != want {
			t.Fatalf("after %d s: %v", second, got)
		}
		c.at = c.at.Add(time.Second)
	}
	c.at = c.at.Add(windowSpan)
	if w.Observe(getOrder(nil), Failed); w.LeftToEnvoy(getOrder(nil)) {
		t.Error("one failure, long after, is left to Envoy")
	}
}

// TestAnticipates: a retry that leaves an endpoint which Envoy is about to eject is what the ejection does anyway,
// for as long as Envoy is given for it, and only where the other endpoint does not fail as well.
func TestAnticipates(t *testing.T) {
	t.Parallel()
	const mumbai, delhi, tokyo = "127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"
	c := newClock()
	w := NewWindow(c.now)
	if w.Anticipates("orders", mumbai, delhi) {
		t.Error("nothing is known, and it anticipates an ejection")
	}
	if play(t, w, c, mumbai, "a- a- a- b- b-"); w.Anticipates("orders", mumbai, delhi) {
		t.Error("the endpoint is not called failed yet")
	}
	play(t, w, c, mumbai, "b-")
	for _, x := range []struct {
		server, from, to string
		want             bool
	}{
		{"orders", mumbai, delhi, true},
		{"orders", delhi, mumbai, false},
		{"orders", mumbai, mumbai, false},
		{"inventory", mumbai, delhi, false},
		{"orders", "", delhi, false},
	} {
		if got := w.Anticipates(x.server, x.from, x.to); got != x.want {
			t.Errorf("%s from %q to %q: %v", x.server, x.from, x.to, got)
		}
	}
	if play(t, w, c, delhi, "a- a- a- b- b-"); !w.Anticipates("orders", mumbai, delhi) {
		t.Error("the other endpoint is taken for failed too early")
	}
	if play(t, w, c, delhi, "b-"); w.Anticipates("orders", mumbai, delhi) || !w.Anticipates("orders", mumbai, tokyo) {
		t.Error("the other endpoint fails as well, the third does not")
	}
	for second := range 14 {
		c.at = c.at.Add(time.Second)
		play(t, w, c, mumbai, "a- b-")
		if got, want := w.Anticipates("orders", mumbai, tokyo), second < 9; got != want {
			t.Fatalf("%d s after it was called failed: %v", second+1, got)
		}
	}
}

func TestCellsAreBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := NewWindow(c.now)
	for i := range 2 * maxCells {
		w.Observe(getOrder(func(c *Call) { c.Tool = fmt.Sprint("t", i) }), Failed)
	}
	s := w.servers["orders"]
	if len(s.cells) > maxCells {
		t.Errorf("%d cells", len(s.cells))
	}
	c.at = c.at.Add(failureMemory + time.Second)
	w.Observe(getOrder(func(c *Call) { c.Tool = "new" }), Failed)
	if len(s.cells) != 1 {
		t.Errorf("%d cells after a quiet minute", len(s.cells))
	}
}
