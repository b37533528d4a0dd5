package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// holding is longer than what bounds a message to a processor, a request (30 s) and
// an answer on a route without times of its own (15 s).
const holding = 66 * time.Second

const patientConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: primary-mumbai, address: "MUMBAI"}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  tools:
    - {match: {name: "get_*"}, safe: true, timeout: 4m, retry: {attempts: 1}}
`

// waiting answers once the time has come: with pieces of comment until then where it
// is asked for an event stream, with half a JSON answer before it else.
type waiting struct {
	due  time.Time
	tick time.Duration
}

func (s *waiting) answer(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w).Flush
	body, stream := goodBody, r.Header.Get("Mcp-Name") == "get_events"
	if stream {
		w.Header().Set("Content-Type", "text/event-stream")
	} else {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body[:20])
		body = body[20:]
	}
	_ = flush()
	ticker := time.NewTicker(s.tick)
	defer ticker.Stop()
	for time.Now().Before(s.due) {
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
		if stream {
			fmt.Fprint(w, ": still at it\n\n")
			_ = flush()
		}
	}
	if stream {
		body = event(body)
	}
	fmt.Fprint(w, body)
}

// TestLongHolds: the attempt point holds answers that have begun for minutes, and
// nobody is harmed: they arrive whole, once, and not a byte of them early.
func TestLongHolds(t *testing.T) {
	t.Parallel()
	mumbai := newUpstream(t, nil)
	bed := testbed.Start(t, testbed.Options{
		Servers: []demo.Place{}, Config: strings.ReplaceAll(patientConfig, "MUMBAI", mumbai.address()),
	})
	server := &waiting{due: time.Now().Add(holding), tick: 5 * time.Second}
	mumbai.set(server.answer)
	ctx, cancel := context.WithDeadline(context.Background(), server.due.Add(time.Minute))
	defer cancel()
	type outcome struct {
		tool  string
		first time.Time
		body  string
		err   error
	}
	tools := []string{"get_events", "get_json"}
	done := make(chan outcome, len(tools))
	for _, tool := range tools {
		go func() {
			out := outcome{tool: tool}
			defer func() { done <- out }()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+bed.Gateway+"/mcp", strings.NewReader(testbed.CallTool("1", tool, "{}")))
			if err != nil {
				out.err = err
				return
			}
			req.Header = testbed.ModernHeaders("tools/call", tool)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				out.err = err
				return
			}
			defer resp.Body.Close()
			out.first = time.Now()
			body, err := io.ReadAll(resp.Body)
			out.body, out.err = fmt.Sprint(resp.StatusCode, " ", string(body)), err
		}()
	}
	for range tools {
		out := <-done
		if out.err != nil || !strings.HasPrefix(out.body, "200 ") || strings.Count(out.body, `"text":"ok"`) != 1 {
			t.Errorf("%s: %q, %v", out.tool, out.body, out.err)
		}
		if out.first.Before(server.due) {
			t.Errorf("%s: headers went down %v before there was an answer", out.tool, server.due.Sub(out.first))
		}
	}
	if n := len(mumbai.requests()); n != len(tools) {
		t.Errorf("%d calls reached the server %d times", len(tools), n)
	}
	if n := bed.Stat("cluster.orders.ext_proc.streams_failed") + bed.Stat("cluster.orders.ext_proc.message_timeouts"); n != 0 {
		t.Errorf("%d streams of the attempt point failed", n)
	}
}
