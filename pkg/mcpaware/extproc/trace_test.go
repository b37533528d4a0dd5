package extproc

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// spans is an exporter that keeps what it is given past the end of its Pipeline.
type spans struct {
	mu   sync.Mutex
	kept tracetest.SpanStubs
}

var _ sdktrace.SpanExporter = (*spans)(nil)

func (s *spans) ExportSpans(_ context.Context, batch []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, tracetest.SpanStubsFromReadOnlySpans(batch)...)
	return nil
}

// take returns what was kept since it was asked last.
func (s *spans) take() tracetest.SpanStubs {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.kept
	s.kept = nil
	return out
}

func (s *spans) Shutdown(context.Context) error { return nil }

// tracedBy is inBubble with traces. spans returns the spans that were sent since it was asked last.
func tracedBy(t *testing.T, settings *policyv1.Traces, policy *policyv1.RoutePolicy, test func(t *testing.T, e *envoy, sent func() tracetest.SpanStubs)) {
	t.Helper()
	policy.Traces = settings
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		kept := &spans{}
		pipeline := trace.NewTo(kept, trace.Source{Service: "extproc"}, nil, nil)
		e.service.opts.Traces = func() *trace.Pipeline { return pipeline }
		e.service.opts.Revision = func() string { return "r1" }
		test(t, e, func() tracetest.SpanStubs {
			time.Sleep(2 * time.Second) // on the bubble's clock: longer than any span waits
			synctest.Wait()
			return kept.take()
		})
		if err := pipeline.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// failures keeps the spans of calls that did not go well.
func failures() *policyv1.Traces {
	return &policyv1.Traces{Address: "127.0.0.1:4317", FollowParent: true, KeepFailures: true}
}

const (
	callerTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	callerSpan   = "00f067aa0ba902b7"
	sampledText  = "00-" + callerTrace + "-" + callerSpan + "-01"
	droppedText  = "00-" + callerTrace + "-" + callerSpan + "-00"
	callMetaBody = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"_meta":{"traceparent":"` + sampledText + `"},"name":"get_order","arguments":{}}}`
)

// value of an attribute as text; "-" where there is none.
func value(s *tracetest.SpanStub, key attribute.Key) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return "-"
}

func expectSpan(t *testing.T, s *tracetest.SpanStub, want map[attribute.Key]string) {
	t.Helper()
	for key, text := range want {
		if got := value(s, key); got != text {
			t.Errorf("%s: %s is %q, want %q", s.Name, key, got, text)
		}
	}
}

// one is the only span that was sent.
func one(t *testing.T, sent tracetest.SpanStubs) *tracetest.SpanStub {
	t.Helper()
	if len(sent) != 1 {
		t.Fatalf("%d spans, want one: %v", len(sent), sent)
	}
	return &sent[0]
}

// TestBreakersShowInTraces: a call's span says from which region breakers kept it away and why, whether it is a
// trial, and whether it was refused; so does the span of a try that is a trial.
func TestBreakersShowInTraces(t *testing.T) {
	t.Parallel()
	tracedBy(t, failures(), tested(), func(t *testing.T, e *envoy, sent func() tracetest.SpanStubs) {
		// answeredBy ends a call with the answer of a region.
		answeredBy := func(x *exchange, region string) {
			t.Helper()
			x.ask(answered(1, false, ":status: 200", names.HeaderRegion+": "+region))
			x.hangUp()
		}
		broken := func(region string) {
			e.service.opts.Breakers.Failed(breaker.Key{Server: "orders", Tool: "get_order", Region: region}, breaker.Settings{},
				func(time.Time) outcome.Tally { return outcome.Tally{Failed: 20, Row: 20, Confirmed: true} })
		}
		none := map[attribute.Key]string{
			span.BreakerOpen: "-", span.BreakerHalfOpen: "-", span.BreakerTrial: "-", span.BreakerRefused: "-", span.Busy: "-",
		}
		with := func(changes map[attribute.Key]string) map[attribute.Key]string {
			out := map[attribute.Key]string{}
			for _, m := range []map[attribute.Key]string{none, changes} {
				for k, v := range m {
					out[k] = v
				}
			}
			return out
		}
		x, _ := e.route(t, callMetaBody)
		answeredBy(x, "asia-south1")
		expectSpan(t, one(t, sent()), none)

		broken("asia-south1")
		x, _ = e.route(t, callMetaBody)
		answeredBy(x, "asia-south2")
		expectSpan(t, one(t, sent()), with(map[attribute.Key]string{span.BreakerOpen: `["asia-south1"]`, span.BreakerRefused: "false"}))

		time.Sleep(7 * time.Second)
		trial, _ := e.route(t, callMetaBody)
		x, _ = e.route(t, callMetaBody)
		answeredBy(x, "asia-south2")
		expectSpan(t, one(t, sent()), with(map[attribute.Key]string{span.BreakerHalfOpen: `["asia-south1"]`, span.BreakerRefused: "false"}))
		answeredBy(trial, "asia-south2") // which tells nothing
		expectSpan(t, one(t, sent()), with(map[attribute.Key]string{span.BreakerTrial: "asia-south1"}))

		broken("asia-south2")
		busy, _ := e.route(t, callMetaBody) // the next trial in Mumbai
		x, said := e.route(t, callMetaBody)
		x.hangUp()
		if !strings.Contains(said, "dependency_failed") {
			t.Errorf("not refused: %s", said)
		}
		refused := one(t, sent())
		expectSpan(t, refused, with(map[attribute.Key]string{
			span.BreakerHalfOpen: `["asia-south1"]`, span.BreakerOpen: `["asia-south2"]`, span.BreakerRefused: "true", span.Reason: "dependency_failed",
		}))
		answeredBy(busy, "asia-south1")
	})
}

// TestTrialsShowInTraces: the try of a trial in the region that it is about says so; one elsewhere does not.
func TestTrialsShowInTraces(t *testing.T) {
	t.Parallel()
	tracedBy(t, failures(), tested(), func(t *testing.T, e *envoy, sent func() tracetest.SpanStubs) {
		for region, want := range map[string]string{"asia-south1": "asia-south1", "asia-south2": "-"} {
			x := e.open(names.PointAttempt)
			x.say(tryHeaders(t, "POST", getOrder(func(c *policyv1.CallContext) { c.Traceparent, c.TrialRegion = sampledText, region })))
			x.say(responseHeaders(false, jsonHeaders...))
			x.ask(responseBody(goodResult, true))
			x.hangUp()
			expectSpan(t, one(t, sent()), map[attribute.Key]string{span.BreakerTrial: want, span.Region: "asia-south1"})
		}
	})
}

// TestTrialsAreToldOnlyWhenTraced: the context of a call names its trial for the sake of traces alone.
func TestTrialsAreToldOnlyWhenTraced(t *testing.T) {
	t.Parallel()
	for _, traced := range []bool{true, false} {
		settings := failures()
		if !traced {
			settings = nil
		}
		tracedBy(t, settings, tested(), func(t *testing.T, e *envoy, _ func() tracetest.SpanStubs) {
			e.service.opts.Breakers.Failed(breaker.Key{Server: "orders", Tool: "get_order", Region: "asia-south1"}, breaker.Settings{},
				func(time.Time) outcome.Tally { return outcome.Tally{Failed: 20, Row: 20, Confirmed: true} })
			time.Sleep(7 * time.Second)
			x := e.open(names.PointEdge)
			defer x.hangUp()
			x.ask(requestHeaders(false, ":method: POST", ":path: /mcp", "content-type: application/json", "accept: application/json, text/event-stream", "content-length: 1"))
			reply := x.ask(requestBody(callGetOrder))
			encoded := reply.GetDynamicMetadata().GetFields()[names.MetadataNamespace].GetStructValue().GetFields()[names.MetadataCall].GetStringValue()
			call, err := decide.DecodeCall(encoded)
			if err != nil {
				t.Fatal(err)
			}
			if told := call.GetTrialRegion() == "asia-south1"; told != traced {
				t.Errorf("traced %v, the trial is told %v", traced, told)
			}
		})
	}
}
