package e2e

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/jaeger"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// tracedConfig is DefaultConfig with traces as settings says, such as "ratio: 100%".
func tracedConfig(settings string) string {
	return strings.Replace(testbed.DefaultConfig, `address: "${gateway}"`,
		`address: "${gateway}", telemetry: {traces: {address: "${traces}", `+settings+`}}`, 1)
}

// Services that send spans.
const (
	envoyService  = "holdfast-envoy"
	ourService    = "holdfast-extproc"
	serverService = "shopmax-orders"
)

// callerSpan is the span of the caller in every context that the tests make; nobody records it.
const callerSpan = "b7ad6b7169203331"

// newContext makes a trace context of a caller.
func newContext(sampled bool) (traceID, traceparent string) {
	id := make([]byte, 16)
	for i := range id {
		id[i] = byte(rand.Uint32()) //nolint:gosec // ids of a test
	}
	id[0] |= 1
	traceID = hex.EncodeToString(id)
	flags := "00"
	if sampled {
		flags = "01"
	}
	return traceID, "00-" + traceID + "-" + callerSpan + "-" + flags
}

// withMeta puts a trace context into the _meta of a message of package testbed.
func withMeta(body, traceparent string) string {
	return strings.Replace(body, `"_meta":{`, `"_meta":{"traceparent":"`+traceparent+`",`, 1)
}

// traceOf waits until Jaeger has a trace that is as it should be.
func traceOf(t *testing.T, b *testbed.Bed, client *jaeger.Client, id string, complete func(*jaeger.Trace) error) *jaeger.Trace {
	t.Helper()
	var last *jaeger.Trace
	b.Eventually(testbed.Patience, "the trace is whole", func() error {
		found, err := client.Trace(context.Background(), id)
		if err != nil {
			return err
		}
		last = found
		return complete(found)
	})
	return last
}

// spansOf are the spans that the pattern "service name" describes.
func spansOf(trace *jaeger.Trace, service, name string) []jaeger.Span {
	return slices.DeleteFunc(slices.Clone(trace.Spans), func(s jaeger.Span) bool { return s.Service != service || s.Name != name })
}

// wantSpans says how many spans of each "service name" are missing.
func wantSpans(want map[string]int) func(*jaeger.Trace) error {
	return func(trace *jaeger.Trace) error {
		got := map[string]int{}
		for _, s := range trace.Spans {
			got[s.Service+" "+s.Name]++
		}
		for key, n := range want {
			if got[key] != n {
				return fmt.Errorf("%d spans %q, want %d; there are %v", got[key], key, n, got)
			}
		}
		return orphans(trace)
	}
}

// orphans says which spans have a parent that neither is in the trace nor is the caller's.
func orphans(trace *jaeger.Trace) error {
	known := map[string]bool{callerSpan: true, "": true}
	for _, s := range trace.Spans {
		known[s.ID] = true
	}
	var errs []error
	for _, s := range trace.Spans {
		if !known[s.Parent] {
			errs = append(errs, fmt.Errorf("span %s %q has a parent %s that is not there", s.Service, s.Name, s.Parent))
		}
	}
	return errors.Join(errs...)
}

func requireTags(t *testing.T, s *jaeger.Span, want map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if s.Tags[key] != want[key] {
			t.Errorf("%s %q: %s is %q, want %q", s.Service, s.Name, key, s.Tags[key], want[key])
		}
	}
}

const getOrderSpan = "tools/call get_order"

// TestFailoverIsOneTrace: a caller that sends HTTP trace context finds the failed try in one
// region, the good one in the other and both servers' own spans in its trace.
func TestFailoverIsOneTrace(t *testing.T) {
	t.Parallel()
	backend := stacktest.StartJaeger(t)
	client := &jaeger.Client{URL: "http://" + backend.Query}
	b := testbed.Start(t, testbed.Options{Config: tracedConfig("ratio: 0%"), Traces: backend.OTLPGRPC})
	b.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultRPCError})
	id, traceparent := newContext(true)
	header := testbed.ModernHeaders("tools/call", "get_order")
	header.Set("Traceparent", traceparent)
	answer, err := b.Post("/mcp", header, testbed.CallTool("7", "get_order", `{"order_id":"ORD-7701"}`))
	if err != nil || answer.Status != http.StatusOK || answer.Header.Get("X-Holdfast-Via") != "standby-delhi" {
		t.Fatalf("%v, %+v", err, answer)
	}
	trace := traceOf(t, b, client, id, wantSpans(map[string]int{
		envoyService + " ingress": 1, envoyService + " router orders egress": 2,
		ourService + " " + getOrderSpan: 3, serverService + " " + getOrderSpan: 2,
	}))
	ours := spansOf(trace, ourService, getOrderSpan)
	call := map[string]string{
		"mcp.method.name": "tools/call", "gen_ai.tool.name": "get_order", "gen_ai.operation.name": "execute_tool",
		"mcp.protocol.version": testbed.Modern, "jsonrpc.request.id": "7", "network.transport": "tcp", "network.protocol.name": "http",
		"holdfast.server": "orders", "holdfast.policy": "orders", "http.response.status_code": "200",
	}
	edge, failed, good := &ours[0], &ours[1], &ours[2]
	for _, s := range []*jaeger.Span{edge, failed, good} {
		requireTags(t, s, call)
	}
	requireTags(t, edge, map[string]string{
		"span.kind": "server", "holdfast.attempts": "2", "holdfast.region": testbed.Delhi, "holdfast.endpoint": "standby-delhi",
		"holdfast.rule": "tools[0]", "error": "", "error.type": "", "holdfast.degraded.source": "",
	})
	requireTags(t, failed, map[string]string{
		"span.kind": "client", "holdfast.attempt": "1", "holdfast.region": testbed.Mumbai, "holdfast.endpoint": "primary-mumbai",
		"holdfast.verdict": "tool_failed", "error": "true", "error.type": "-32603", "rpc.response.status_code": "-32603", "server.address": "127.0.0.1",
	})
	requireTags(t, good, map[string]string{
		"span.kind": "client", "holdfast.attempt": "2", "holdfast.region": testbed.Delhi, "holdfast.endpoint": "standby-delhi",
		"holdfast.verdict": "good", "error": "", "error.type": "",
	})
	for _, s := range []*jaeger.Span{failed, good} {
		if s.Tags["holdfast.time_to_first_event"] == "" {
			t.Errorf("%v", s.Tags)
		}
	}
	tries := spansOf(trace, envoyService, "router orders egress")
	for i, s := range spansOf(trace, serverService, getOrderSpan) {
		if s.Parent != tries[i].ID {
			t.Errorf("the server's span %d has parent %s, want Envoy's try %s", i, s.Parent, tries[i].ID)
		}
	}
}

// TestMetaIsTheParent: where only _meta carries trace context, edge, tries and servers
// form that trace by themselves, and Envoy's spans are links.
func TestMetaIsTheParent(t *testing.T) {
	t.Parallel()
	backend := stacktest.StartJaeger(t)
	client := &jaeger.Client{URL: "http://" + backend.Query}
	b := testbed.Start(t, testbed.Options{Config: tracedConfig("ratio: 100%"), Traces: backend.OTLPGRPC})
	b.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultRPCError})
	id, traceparent := newContext(true)
	answer, err := b.Post("/mcp", testbed.ModernHeaders("tools/call", "get_order"),
		withMeta(testbed.CallTool(`"x"`, "get_order", `{"order_id":"ORD-7701"}`), traceparent))
	if err != nil || answer.Header.Get("X-Holdfast-Via") != "standby-delhi" {
		t.Fatalf("%v, %+v", err, answer)
	}
	trace := traceOf(t, b, client, id, wantSpans(map[string]int{
		ourService + " " + getOrderSpan: 3, serverService + " " + getOrderSpan: 2, envoyService + " ingress": 0,
	}))
	ours := spansOf(trace, ourService, getOrderSpan)
	if ours[0].Parent != callerSpan {
		t.Errorf("the edge's parent is %q, want the caller's span", ours[0].Parent)
	}
	others := map[string]bool{}
	for i := range ours {
		if len(ours[i].Links) != 1 || ours[i].Links[0].TraceID == id {
			t.Errorf("links of span %d: %v", i, ours[i].Links)
			continue
		}
		others[ours[i].Links[0].TraceID] = true
	}
	if len(others) != 1 {
		t.Fatalf("links lead to traces %v, want Envoy's one", others)
	}
	for _, s := range append(ours[1:], spansOf(trace, serverService, getOrderSpan)...) {
		if s.Parent != ours[0].ID {
			t.Errorf("%s %q has parent %s, want the edge's span", s.Service, s.Name, s.Parent)
		}
	}
	for _, s := range spansOf(trace, serverService, getOrderSpan) {
		if len(s.Links) != 1 || !others[s.Links[0].TraceID] {
			t.Errorf("the server's links are %v, want Envoy's try", s.Links)
		}
	}
	for envoys := range others {
		traceOf(t, b, client, envoys, wantSpans(map[string]int{envoyService + " ingress": 1, envoyService + " router orders egress": 2}))
	}
}
