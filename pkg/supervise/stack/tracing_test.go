package stack_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/jaeger"
)

const tracedCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`

// TestJaegerComesLater: everything is up while Jaeger is still being built, and calls made then
// are answered; once it is there it gets the spans of all parts.
func TestJaegerComesLater(t *testing.T) {
	path := stacktest.Jaeger(t)
	built := make(chan struct{})
	steps := make(chan stack.Step, 1)
	running := stacktest.Start(t, stack.Options{
		EnvoyConcurrency: 1, Processors: 1,
		Tracing: stack.Tracing{Find: func(ctx context.Context) (string, error) {
			select {
			case <-built:
			case <-ctx.Done():
			}
			return path, ctx.Err()
		}},
		OnStep: func(s stack.Step) {
			if s.Beside {
				steps <- s
			}
		},
	})
	info := running.Info()
	call := func() {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, info.Endpoints["orders"], strings.NewReader(tracedCall))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"},
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Holdfast-Via") != "primary-mumbai" {
			t.Errorf("%v, %d %v", err, resp.StatusCode, resp.Header)
		}
	}
	if state := running.Jaeger(); state != stack.JaegerComing {
		t.Errorf("with Jaeger still being built it is %q", state)
	}
	call()
	close(built)
	if step := <-steps; step.Err != nil || running.Jaeger() != stack.JaegerUp {
		t.Fatalf("%+v, and Jaeger is %q", step, running.Jaeger())
	}
	client := &jaeger.Client{URL: info.Tracing.Query}
	services := map[string]bool{}
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(200 * time.Millisecond); len(services) < 3; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("spans of %v only", services)
		}
		call()
		found, err := client.Latest(t.Context(), "holdfast-extproc", map[string]string{"gen_ai.tool.name": "get_order"}, 5)
		if err != nil {
			continue // not yet
		}
		for _, s := range found.Spans {
			services[s.Service] = true
		}
	}
}
