package extproc

import (
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

const (
	envoyText    = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	envoyDropped = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// bodyWith is a call with a trace context in its _meta; "" for none.
func bodyWith(meta string) string {
	if meta == "" {
		return callGetOrder
	}
	return strings.Replace(callMetaBody, sampledText, meta, 1)
}

// decided sends a call through the edge point. inEnvoy is the context of Envoy's span, inHTTP that of the caller's request.
func (e *envoy) decided(inEnvoy, inHTTP, body string) (x *exchange, forwarded string) {
	e.t.Helper()
	var more []string
	if inEnvoy != "" {
		more = []string{headerTraceparent, inEnvoy}
	}
	x = e.open(names.PointEdge, more...)
	lines := []string{":method: POST", ":path: /mcp", "content-type: application/json", "accept: application/json, text/event-stream", fmt.Sprintf("content-length: %d", len(body))}
	if inHTTP != "" {
		lines = append(lines, "traceparent: "+inHTTP)
	}
	x.ask(requestHeaders(false, lines...))
	reply := x.ask(requestBody(body)).GetRequestBody().GetResponse()
	forwarded = body
	if mutation := reply.GetBodyMutation(); mutation != nil {
		forwarded = string(mutation.GetBody())
		if got := describe(requestBodyReply(reply)); !strings.Contains(got, fmt.Sprintf("content-length=%d", len(forwarded))) {
			e.t.Errorf("the length is not that of %s: %s", forwarded, got)
		}
	}
	return x, forwarded
}

// ways that a call can go.
var ways = map[string]struct {
	well bool
	end  func(*exchange)
}{
	"well":    {true, func(x *exchange) { x.ask(answered(1, false, ":status: 200", names.HeaderRegion+": asia-south1")) }},
	"retried": {false, func(x *exchange) { x.ask(answered(2, false, ":status: 200", names.HeaderRegion+": asia-south2")) }},
	"with an error": {false, func(x *exchange) {
		x.ask(answered(1, false, ":status: 200", names.HeaderRegion+": asia-south1", names.HeaderError+": tool_error"))
	}},
	"badly": {false, func(x *exchange) {
		x.ask(answered(1, false, ":status: 424", names.HeaderVerdict+": tool_failed;200;mcp"))
	}},
	"degraded": {false, func(x *exchange) {
		x.ask(answered(1, false, ":status: 200", names.HeaderDegraded+": "+degrade.SourceFallback))
	}},
	"nowhere":      {false, func(x *exchange) { x.ask(localReply("503", 2, "no_healthy_upstream", 0)) }},
	"not answered": {false, func(*exchange) {}},
}

// TestSamplingOfCalls: whose word counts on whether a call is recorded, and which calls leave a span that is not.
func TestSamplingOfCalls(t *testing.T) {
	t.Parallel()
	for _, follow := range []bool{true, false} {
		for _, keep := range []bool{true, false} {
			t.Run(fmt.Sprintf("follow %v keep %v", follow, keep), func(t *testing.T) {
				t.Parallel()
				settings := &policyv1.Traces{Address: "127.0.0.1:4317", FollowParent: follow, KeepFailures: keep}
				tracedBy(t, settings, tested(), func(t *testing.T, e *envoy, sent func() tracetest.SpanStubs) {
					for _, inEnvoy := range []string{"", envoyText, envoyDropped} {
						for _, meta := range []string{"", sampledText, droppedText} {
							for how, way := range ways {
								recorded := inEnvoy == envoyText
								if follow && meta != "" {
									recorded = meta == sampledText
								}
								x, forwarded := e.decided(inEnvoy, "", bodyWith(meta))
								way.end(x)
								x.hangUp()
								got, what := sent(), fmt.Sprintf("Envoy %q, _meta %q, going %s", inEnvoy, meta, how)
								if want := recorded || keep && !way.well; len(got) > 1 || (len(got) == 1) != want {
									t.Errorf("%s: %d spans, want any: %v", what, len(got), want)
									continue
								}
								if len(got) == 1 {
									checkRelations(t, what, &got[0], recorded, inEnvoy, meta, forwarded)
								} else if !recorded && forwarded != bodyWith(meta) {
									t.Errorf("%s: the body was changed to %s", what, forwarded)
								}
							}
						}
					}
				})
			})
		}
	}
}

// checkRelations checks a span's parent and links, and what the server gets to know of it.
func checkRelations(t *testing.T, what string, s *tracetest.SpanStub, recorded bool, inEnvoy, meta, forwarded string) {
	t.Helper()
	parent, link := inEnvoy, ""
	if meta != "" {
		parent = meta
		if inEnvoy == envoyText && recorded {
			link = inEnvoy
		}
	}
	got := ""
	if s.Parent.IsValid() {
		got = trace.Parent(s.Parent, s.Parent.IsSampled())
	}
	// A parent that nobody records is none, but its trace goes on.
	of, isSampled := parent, strings.HasSuffix(parent, "-01")
	if !recorded || !isSampled {
		parent = ""
	}
	if got != parent || of != "" && s.SpanContext.TraceID().String() != of[3:35] {
		t.Errorf("%s: parent %q, want %q; the trace is %s", what, got, parent, s.SpanContext.TraceID())
	}
	links := ""
	for _, l := range s.Links {
		links += trace.Parent(l.SpanContext, true)
	}
	if links != link {
		t.Errorf("%s: links %q, want %q", what, links, link)
	}
	if kept := value(s, span.Kept) == "true"; kept == recorded {
		t.Errorf("%s: kept %v, recorded %v", what, kept, recorded)
	}
	if s.SpanKind != oteltrace.SpanKindServer || value(s, span.Revision) != "r1" {
		t.Errorf("%s: %s span of revision %s", what, s.SpanKind, value(s, span.Revision))
	}
	handedOn := strings.Contains(forwarded, trace.Parent(s.SpanContext, true))
	if handedOn != (recorded && meta != "") || !handedOn && forwarded != bodyWith(meta) {
		t.Errorf("%s: the server gets %s", what, forwarded)
	}
}

// TestOneContextTwice: where the caller's HTTP request has the context of its message, Envoy's span around it is the
// parent, as it belongs to the same trace, and nothing is linked.
func TestOneContextTwice(t *testing.T) {
	t.Parallel()
	tracedBy(t, failures(), tested(), func(t *testing.T, e *envoy, sent func() tracetest.SpanStubs) {
		inEnvoy := "00-" + callerTrace + "-b7ad6b7169203331-01"
		x, forwarded := e.decided(inEnvoy, sampledText, bodyWith(sampledText))
		ways["well"].end(x)
		x.hangUp()
		s := one(t, sent())
		if trace.Parent(s.Parent, true) != inEnvoy || len(s.Links) != 0 || !strings.Contains(forwarded, trace.Parent(s.SpanContext, true)) {
			t.Errorf("parent %v, links %v, forwarded %s", s.Parent, s.Links, forwarded)
		}
	})
}

// TestLargeBodiesKeepTheirContext: a body is only changed where it is small; a larger one keeps the caller's
// context, and with it the trace.
func TestLargeBodiesKeepTheirContext(t *testing.T) {
	t.Parallel()
	tracedBy(t, failures(), tested(), func(t *testing.T, e *envoy, sent func() tracetest.SpanStubs) {
		body := strings.Replace(bodyWith(sampledText), `"arguments":{}`, `"arguments":{"x":"`+strings.Repeat("x", maxHeldBytes)+`"}`, 1)
		x, forwarded := e.decided("", "", body)
		ways["well"].end(x)
		x.hangUp()
		if s := one(t, sent()); trace.Parent(s.Parent, true) != sampledText || forwarded != body {
			t.Errorf("parent %v; the body was changed: %v", s.Parent, forwarded != body)
		}
	})
}

// TestSamplingOfTries: a try of a call that is not recorded leaves a span where the edge point knows of its failure, or
// it is not the first: then its parent is sent too.
func TestSamplingOfTries(t *testing.T) {
	t.Parallel()
	tracedBy(t, failures(), tested(), func(t *testing.T, e *envoy, sent func() tracetest.SpanStubs) {
		const silent = ""
		for _, test := range []struct {
			parent  string
			attempt int
			answer  string
			sent    bool
			failure string
		}{
			{sampledText, 1, goodResult, true, "-"},
			{sampledText, 1, brokenResult, true, "-32603"},
			{sampledText, 1, silent, true, "no_answer"},
			{droppedText, 1, goodResult, false, "-"},
			{droppedText, 1, brokenResult, true, "-32603"},
			{droppedText, 1, silent, true, "no_answer"},
			{droppedText, 2, goodResult, true, "-"},
			{"", 1, brokenResult, false, "-"},
			{"nonsense", 2, brokenResult, false, "-"},
		} {
			x := e.open(names.PointAttempt)
			try := tryHeaders(t, "POST", getOrder(func(c *policyv1.CallContext) { c.Traceparent = test.parent }))
			setPlace(try, map[string]any{
				"upstream.address": mumbai, "upstream.locality": `region: "asia-south1" `, "upstream.request_attempt_count": test.attempt,
			})
			x.say(try)
			if test.answer != silent {
				x.say(responseHeaders(false, jsonHeaders...))
				x.say(responseBody(test.answer, true))
			}
			x.hangUp()
			got := sent()
			if (len(got) == 1) != test.sent {
				t.Errorf("%+v: %d spans", test, len(got))
				continue
			}
			if test.sent && (value(&got[0], "error.type") != test.failure || trace.Parent(got[0].Parent, got[0].Parent.IsSampled()) != test.parent ||
				value(&got[0], span.Attempt) != fmt.Sprint(test.attempt) || got[0].SpanKind != oteltrace.SpanKindClient) {
				t.Errorf("%+v: %v child of %v", test, got[0].Attributes, got[0].Parent)
			}
		}
	})
}
