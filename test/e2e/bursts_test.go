package e2e

import (
	"fmt"
	"net/http"
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
spec: {address: "${gateway}"}
---
kind: MCPServer
metadata: {name: orders}
spec:
  concurrency: {limit: 2, queue: 32, maxWait: 20s}
  regions: [{name: asia-south1, endpoints: [{address: "SERVER"}]}]
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
`)})
	server.set(server.answer)
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
