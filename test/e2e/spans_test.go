package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace/tracetest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// callTraced sends one message with the HTTP trace context of a caller, and returns the answer.
func callTraced(t *testing.T, b *testbed.Bed, method, name, body, traceparent string) testbed.Answer {
	t.Helper()
	header := testbed.ModernHeaders(method, name)
	if traceparent != "" {
		header.Set("Traceparent", traceparent)
	}
	answer, err := b.Post("/mcp", header, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// has counts the spans of a trace by service and kind ("holdfast-extproc server"), and looks for parents.
func has(want map[string]int) func([]tracetest.Span) error {
	return func(spans []tracetest.Span) error {
		got, known := map[string]int{}, map[string]bool{callerSpan: true, "": true}
		for i := range spans {
			got[spans[i].Service+" "+kindOf(&spans[i])]++
			known[spans[i].ID] = true
		}
		for key, n := range want {
			if got[key] != n {
				return fmt.Errorf("%d spans %q, want %d", got[key], key, n)
			}
		}
		var errs []error
		for i := range spans {
			if !known[spans[i].Parent] {
				errs = append(errs, fmt.Errorf("%s %q has a parent %s that is not there", spans[i].Service, spans[i].Name, spans[i].Parent))
			}
		}
		return errors.Join(errs...)
	}
}

func kindOf(s *tracetest.Span) string {
	return strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"))
}

// The span of a call and of a try, and of a server.
const (
	edgeSpan = ourService + " server"
	trySpan  = ourService + " client"
	ownSpan  = serverService + " server"
)

// pick returns the spans of a service and kind.
func pick(spans []tracetest.Span, key string) []tracetest.Span {
	var out []tracetest.Span
	for i := range spans {
		if spans[i].Service+" "+kindOf(&spans[i]) == key {
			out = append(out, spans[i])
		}
	}
	return out
}

func requireAttributes(t *testing.T, s *tracetest.Span, want map[string]string) {
	t.Helper()
	for key, value := range want {
		got, there := s.Attributes[key]
		if got != value || there != (value != "") {
			t.Errorf("%s %q: %s is %q, want %q", s.Service, s.Name, key, got, value)
		}
	}
}

// limitedConfig bounds create_order, so that a second call is refused.
func limitedConfig(settings string) string {
	return strings.Replace(tracedConfig(settings), "{match: {name: create_order}, timeout: 20s}",
		"{match: {name: create_order}, timeout: 20s, rateLimits: [{requests: 2, per: 10m, by: [tool]}]}", 1)
}

// TestEveryOutcomeHasItsTrace: whatever becomes of a call, its trace is whole, and its spans have the names, kinds, attributes
// and errors of the conventions.
func TestEveryOutcomeHasItsTrace(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	b := testbed.Start(t, testbed.Options{Config: limitedConfig("ratio: 0%"), Traces: collector.GRPC})
	// Each has its share of limits then, and sixteen calls use up both.
	processorsSay(b, "holdfast_fleet_processors 2")
	create := testbed.CallTool("1", "create_order", `{"customer_id":"C-1201","total_rs":100}`)
	get := testbed.CallTool(`"a"`, "get_order", `{"order_id":"ORD-7701"}`)
	unknown := testbed.CallTool("2", "get_order", `{"order_id":"ORD-0"}`)
	for _, test := range []struct {
		name, method, tool, body string
		faults                   demo.Faults
		// before are calls that nobody looks at.
		before []string
		spans  map[string]int
		edge   map[string]string
		failed bool
	}{
		{
			name: "a good call", method: "tools/call", tool: "get_order", body: get, spans: map[string]int{edgeSpan: 1, trySpan: 1, ownSpan: 1, envoyService + " server": 1},
			edge: map[string]string{
				"mcp.method.name": "tools/call", "gen_ai.tool.name": "get_order", "gen_ai.operation.name": "execute_tool", "jsonrpc.request.id": "a",
				"mcp.protocol.version": testbed.Modern, "network.transport": "tcp", "holdfast.attempts": "1", "error.type": "",
			},
		},
		{
			name: "an error that is an answer", method: "tools/call", tool: "get_order", body: unknown, spans: map[string]int{edgeSpan: 1, trySpan: 1, ownSpan: 1},
			edge: map[string]string{"error.type": "tool_error", "rpc.response.status_code": "", "holdfast.attempts": "1"}, failed: true,
		},
		{
			name: "a list", method: "tools/list", body: testbed.ListTools, spans: map[string]int{edgeSpan: 1, trySpan: 1, ownSpan: 1},
			edge: map[string]string{"mcp.method.name": "tools/list", "gen_ai.tool.name": "", "gen_ai.operation.name": "", "error.type": ""},
		},
		{
			name: "a failover", method: "tools/call", tool: "get_order", body: get, faults: demo.Faults{Mode: demo.FaultIsError}, spans: map[string]int{edgeSpan: 1, trySpan: 2, ownSpan: 2},
			edge: map[string]string{"holdfast.attempts": "2", "holdfast.region": testbed.Delhi, "error.type": ""},
		},
		{
			name: "a degraded answer", method: "tools/call", tool: "get_order", body: get, faults: demo.Faults{Mode: demo.FaultHTTP500}, spans: map[string]int{edgeSpan: 1},
			edge: map[string]string{"holdfast.degraded.source": "error", "holdfast.reason": "service_unavailable", "error.type": "tool_error"}, failed: true,
		},
		{
			name: "a refusal", method: "tools/call", tool: "create_order", body: create, before: slices.Repeat([]string{create}, 16), spans: map[string]int{edgeSpan: 1, trySpan: 0, ownSpan: 0},
			edge: map[string]string{"holdfast.limit": "orders tools[3].rateLimits[0]", "holdfast.reason": "rate_limited", "error.type": "tool_error", "holdfast.attempts": ""}, failed: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, body := range test.before {
				callTraced(t, b, test.method, test.tool, body, "")
			}
			b.Fault("primary-mumbai", test.faults)
			defer b.Fault("primary-mumbai", demo.Faults{})
			if test.name == "a degraded answer" {
				b.Fault("standby-delhi", test.faults)
				defer b.Fault("standby-delhi", demo.Faults{})
			}
			id, traceparent := newContext(true)
			callTraced(t, b, test.method, test.tool, test.body, traceparent)
			spans := collector.Await(t, id, has(test.spans))
			edge := pick(spans, edgeSpan)[0]
			requireAttributes(t, &edge, test.edge)
			if edge.Name != strings.TrimSpace(test.method+" "+test.tool) || edge.Failed != test.failed || edge.Attributes["holdfast.revision"] == "" || edge.Attributes["holdfast.rule"] == "" {
				t.Errorf("%s", tracetest.Describe(spans))
			}
			for _, s := range pick(spans, trySpan) {
				if s.Name != edge.Name || s.Attributes["holdfast.endpoint"] == "" || s.Attributes["holdfast.region"] == "" || s.Attributes["holdfast.verdict"] == "" ||
					s.Attributes["server.port"] == "" || s.Failed != (s.Attributes["error.type"] != "") {
					t.Errorf("%s", tracetest.Describe([]tracetest.Span{s}))
				}
			}
			if t.Failed() {
				t.Logf("%s", tracetest.Describe(spans))
			}
		})
	}
	t.Run("an endpoint that is gone", func(t *testing.T) {
		b.Kill("primary-mumbai")
		defer b.Restart("primary-mumbai")
		id, traceparent := newContext(true)
		if answer := callTraced(t, b, "tools/call", "get_order", get, traceparent); answer.Header.Get("X-Holdfast-Via") != "standby-delhi" {
			t.Errorf("%+v", answer)
		}
		spans := collector.Await(t, id, has(map[string]int{edgeSpan: 1, ownSpan: 1, envoyService + " server": 1}))
		refused := false
		for _, s := range pick(spans, envoyService+" client") {
			// Envoy says so in an attribute, and leaves the status unset.
			refused = refused || s.Attributes["error"] == "true" && s.Attributes["holdfast.region"] == testbed.Mumbai && s.Attributes["holdfast.endpoint"] == "primary-mumbai"
		}
		if !refused {
			t.Errorf("no span of the refused try says where it went:\n%s", tracetest.Describe(spans))
		}
	})
	t.Run("another revision", func(t *testing.T) { anotherRevision(t, b, collector, get) })
}

// anotherRevision: the span of a call names the policies in force, as the processors' metrics do.
func anotherRevision(t *testing.T, b *testbed.Bed, collector *tracetest.Collector, body string) {
	revision := func() string {
		id, traceparent := newContext(true)
		callTraced(t, b, "tools/call", "get_order", body, traceparent)
		spans := collector.Await(t, id, has(map[string]int{edgeSpan: 1, trySpan: 1, ownSpan: 1}))
		return pick(spans, edgeSpan)[0].Attributes["holdfast.revision"]
	}
	before := revision()
	b.WriteConfig(strings.Replace(limitedConfig("ratio: 0%"), "timeout: 20s", "timeout: 19s", 1))
	b.Eventually(testbed.Patience, "the revision changes", func() error {
		if now := revision(); now == before || now == "" {
			return fmt.Errorf("it is still %q", now)
		}
		return nil
	})
}

// TestTracesByHTTP: OTLP over HTTP does what gRPC does, for Envoy and for the processors.
func TestTracesByHTTP(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	config := strings.Replace(tracedConfig("ratio: 0%, protocol: http"), "${traces}", collector.HTTP, 1)
	b := testbed.Start(t, testbed.Options{Config: config, Traces: collector.GRPC})
	id, traceparent := newContext(true)
	callTraced(t, b, "tools/call", "get_order", testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`), traceparent)
	spans := collector.Await(t, id, has(map[string]int{edgeSpan: 1, trySpan: 1, ownSpan: 1, envoyService + " server": 1}))
	for i := range spans {
		if want := spans[i].Service != serverService; spans[i].HTTP != want {
			t.Errorf("%s %q by HTTP: %v", spans[i].Service, spans[i].Name, spans[i].HTTP)
		}
	}
}

// TestSampling: what a caller traces is traced whatever the ratio, what it does not trace is not; of the rest
// a share is; and calls that do not go well leave the processors' spans in any case.
func TestSampling(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	b := testbed.Start(t, testbed.Options{Config: tracedConfig("ratio: 50%"), Traces: collector.GRPC})
	get := testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`)
	fence := func() {
		t.Helper()
		// Whatever has ended before has arrived once this trace is whole.
		id, traceparent := newContext(true)
		callTraced(t, b, "tools/call", "get_order", get, traceparent)
		collector.Await(t, id, has(map[string]int{edgeSpan: 1, trySpan: 1, ownSpan: 1, envoyService + " server": 1}))
	}
	unsampled := make([]string, 20)
	for i := range unsampled {
		var traceparent string
		unsampled[i], traceparent = newContext(false)
		callTraced(t, b, "tools/call", "get_order", get, traceparent)
	}
	const calls = 200
	before := map[string]bool{}
	for _, s := range collector.Spans("") {
		before[s.TraceID] = true
	}
	for range calls {
		callTraced(t, b, "tools/call", "get_order", get, "")
	}
	b.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultRPCError})
	kept, traceparent := newContext(false)
	callTraced(t, b, "tools/call", "get_order", get, traceparent)
	b.Fault("primary-mumbai", demo.Faults{})
	spans := collector.Await(t, kept, has(map[string]int{edgeSpan: 1, trySpan: 2, ownSpan: 0, envoyService + " server": 0}))
	for i := range spans {
		requireAttributes(t, &spans[i], map[string]string{"holdfast.kept": "true"})
	}
	if edge := pick(spans, edgeSpan)[0]; edge.Parent != "" || edge.Attributes["holdfast.attempts"] != "2" {
		t.Errorf("%s", tracetest.Describe(spans))
	}
	for range 8 {
		fence() // both processors, and each of Envoy's workers
	}
	for _, id := range unsampled {
		if spans := collector.Spans(id); len(spans) > 0 {
			t.Errorf("a caller that traces nothing finds\n%s", tracetest.Describe(spans))
		}
	}
	ratio := map[string]bool{}
	for _, s := range collector.Spans("") {
		if s.Service == ourService && s.Kind == tracev1.Span_SPAN_KIND_SERVER && !before[s.TraceID] && s.TraceID != kept {
			ratio[s.TraceID] = true
		}
	}
	// Of 200 traces at 50 %, 60 to 140 are recorded but in one run of many millions; 8 are the fence's.
	if n := len(ratio) - 8; n < 60 || n > 140 {
		t.Errorf("%d of %d traces at 50 %%", n, calls)
	}
}

// TestHungReceiverCostsNothing: with a receiver that takes connections and never answers all calls are answered, and
// the spans that are lost are counted.
func TestHungReceiverCostsNothing(t *testing.T) {
	t.Parallel()
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close() //nolint:errcheck // a test
	b := testbed.Start(t, testbed.Options{Config: tracedConfig("ratio: 100%"), Traces: hung.Addr().String()})
	for range 300 {
		answer := callTraced(t, b, "tools/call", "get_order", testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`), "")
		if answer.Status != http.StatusOK || answer.Header.Get("X-Holdfast-Attempts") != "1" || answer.Header.Get("X-Holdfast-Degraded") != "" {
			t.Fatalf("%+v", answer)
		}
	}
	b.Eventually(testbed.Patience, "lost spans are counted", func() error {
		for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
			page, err := b.Metrics(b.Addr(name))
			if err != nil {
				return err
			}
			if !regexp.MustCompile(`(?m)^holdfast_spans_dropped_total [1-9]`).MatchString(page) {
				return fmt.Errorf("%s has dropped none", name)
			}
		}
		return nil
	})
}
