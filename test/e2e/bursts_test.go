package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestSlotsLastAsLongAsAnswers: two calls at a time is what the server sees, whole event
// streams counted, and calls that wait longer than Envoy waits for a message go to the
// server in the end.
func TestSlotsLastAsLongAsAnswers(t *testing.T) {
	t.Parallel()
	var active, most atomic.Int64
	server := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		now := active.Add(1)
		defer active.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":1}}\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(300 * time.Millisecond) // the work that the slot is for
		fmt.Fprintf(w, "data: %s\n\n", goodBody)
	})
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer("SERVER", server.address()).Replace(`
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  concurrency: {limit: 2, queue: 32, maxWait: 30s}
  healthCheck: {interval: 3s, timeout: 3s}
  regions: [{name: asia-south1, endpoints: [{address: "SERVER"}]}]
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
`)})
	server.set(server.answer)
	awaitShares(t, bed)
	most.Store(0)
	// With a progress token the first event goes out at once: Envoy has the headers of the
	// answer long before its end.
	call := strings.Replace(testbed.CallTool("1", "report", "{}"), `"_meta":{`, `"_meta":{"progressToken":1,`, 1)
	const calls = 12
	var wg sync.WaitGroup
	begin := time.Now()
	for range calls {
		wg.Go(func() {
			answer, err := bed.Post("/mcp", testbed.ModernHeaders("tools/call", "report"), call)
			if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"text":"ok"`) {
				t.Errorf("%v, status %d: %.300s", err, answer.Status, answer.Body)
			}
		})
	}
	wg.Wait()
	if got := most.Load(); got > 2 {
		t.Errorf("%d calls at the server at a time, the limit is 2", got)
	}
	if took := time.Since(begin); took < calls/2*300*time.Millisecond {
		t.Errorf("all done after %v: too early for two at a time", took)
	}
	if got := len(server.requests()); got != calls {
		t.Errorf("the server saw %d requests, want each of %d calls once", got, calls)
	}
}

// awaitShares waits until each processor knows of the other: one that has heard of
// itself alone keeps the whole limit.
func awaitShares(t *testing.T, bed *testbed.Bed) {
	t.Helper()
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		bed.Until(testbed.Patience, name+" knows of the other processor", func() bool {
			page, err := bed.Metrics(bed.Addr(name))
			return err == nil && strings.Contains(page, "\nholdfast_fleet_processors 2\n")
		})
	}
}

// burstConfig: at most twenty calls at a time.
const burstConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  concurrency: {limit: 20, queue: 20, maxWait: 1s}
  healthCheck: {interval: 3s, timeout: 3s}
  regions: [{name: asia-south1, endpoints: [{name: primary-mumbai, address: "${primary-mumbai}"}]}]
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  tools:
    - {match: {name: create_order}, timeout: 10s, priority: 9}
    - {match: {name: report}, safe: true, timeout: 10s, retry: {attempts: 1}, priority: 2}
`

// TestBurst: ten times the usual calls for five seconds, three times what the server can
// do. One in six has priority.
func TestBurst(t *testing.T) {
	bed := testbed.Start(t, testbed.Options{Servers: testbed.OrdersServers()[:1], Config: burstConfig})
	burst := bed.Able("/mcp", 150)
	usual := burst / 10
	// Twenty calls that take this long are a third of the burst, and twice what has priority.
	delay := 60_000 / burst
	mix := func(n int) (string, map[string]any) {
		if n%6 == 0 {
			return "create_order", map[string]any{"customer_id": "C-1201", "total_rs": 100, "delay_ms": delay}
		}
		return "report", map[string]any{"delay_ms": delay}
	}
	awaitShares(t, bed)
	before := bed.StartLoadOf("/mcp", usual, mix)
	bed.Until(testbed.Patience, "the usual load is served", func() bool { return len(before.Calls()) >= 30 })
	memory := processorMemory(t, bed)

	load := bed.StartLoadOf("/mcp", burst, mix)
	longest := 0
	timer := time.NewTimer(5 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			longest = max(longest, load.InFlight())
		case <-timer.C:
			running = false
		}
	}
	calls := load.Stop()
	before.Stop()
	important, rest := judgeBurst(t, calls)
	if important.good < important.all*95/100 {
		t.Errorf("%d of %d calls with priority were served", important.good, important.all)
	}
	if rest.good == 0 || rest.refused < rest.all/4 {
		t.Errorf("of %d others %d were served and %d refused: this was no burst", rest.all, rest.good, rest.refused)
	}
	// Without a bound several hundred would wait in the end.
	if longest > len(calls)/3 {
		t.Errorf("%d of %d calls waited at a time", longest, len(calls))
	}
	if now := processorMemory(t, bed); now > memory+64<<20 {
		t.Errorf("the processors grew from %d to %d MiB", memory>>20, now>>20)
	}
	t.Logf("with priority %+v, others %+v, at most %d at a time", important, rest, longest)
	bed.Until(testbed.Patience, "the usual load is served again", func() bool {
		name, arguments := mix(1)
		return testbed.Do(bed.Connect("/mcp"), "after", name, arguments).Good()
	})
}

type share struct {
	all, good, refused int
	p99                time.Duration
}

// judgeBurst parts the calls by priority, and holds those served against their timeout.
func judgeBurst(t *testing.T, calls []testbed.Call) (important, rest share) {
	t.Helper()
	took := map[*share][]time.Duration{}
	for _, call := range calls {
		of := &rest
		if call.Tool == "create_order" {
			of = &important
		}
		of.all++
		switch {
		case call.Good():
			of.good++
			took[of] = append(took[of], call.Took)
		case call.Degraded && (strings.HasPrefix(call.Text, "Rate limited") || strings.HasPrefix(call.Text, "Service unavailable - orders takes")):
			of.refused++
		default:
			t.Errorf("neither served nor refused: %v", call)
		}
	}
	for of, times := range took {
		slices.Sort(times)
		of.p99 = times[len(times)*99/100]
		if of.p99 > 10*time.Second {
			t.Errorf("p99 of the calls served is %v, their timeout 10s", of.p99)
		}
	}
	return important, rest
}

// processorMemory is the resident memory of both processors.
func processorMemory(t *testing.T, bed *testbed.Bed) int {
	t.Helper()
	total := 0
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", bed.Child(name).Status().PID))
		if err != nil {
			t.Fatal(err)
		}
		pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
		if err != nil {
			t.Fatal(err)
		}
		total += pages * os.Getpagesize()
	}
	return total
}
