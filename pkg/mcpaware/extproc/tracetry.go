package extproc

import (
	"context"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// tryTrace is the span of one try. A nil one does nothing. Whoever holds the
// attempt's mutex uses it.
type tryTrace struct {
	span oteltrace.Span
	// sampled: the trace is recorded. Otherwise the span is only sent if the edge point knows that
	// its call did not go well, since it is the parent: told says that it does.
	sampled, told bool
	verdict       outcome.Verdict
	failure       span.Failure
	first         time.Duration
}

// traceTry begins the span of a try; nil where its call is not traced.
func (a *attempt) traceTry() *tryTrace {
	edge, ok := trace.ParseParent(a.call.GetTraceparent())
	if !ok || a.service.opts.Traces == nil {
		return nil
	}
	pipeline := a.service.opts.Traces()
	if pipeline == nil {
		return nil
	}
	t := &tryTrace{sampled: edge.IsSampled(), verdict: outcome.Good}
	envoy := envoySpan(a.stream.Context())
	parent := edge
	var links []oteltrace.Link
	switch {
	case !t.sampled || !envoy.IsSampled():
	case envoy.TraceID() == edge.TraceID():
		parent = envoy
	default:
		links = []oteltrace.Link{{SpanContext: envoy}}
	}
	t.span = pipeline.Start(oteltrace.ContextWithRemoteSpanContext(context.Background(), parent), tryName(a.verb, a.call),
		oteltrace.WithTimestamp(a.started), oteltrace.WithSpanKind(oteltrace.SpanKindClient), oteltrace.WithLinks(links...))
	return t
}

func tryName(verb string, call *policyv1.CallContext) string {
	operation := operationOf(verb, call)
	return operation.Name()
}

func operationOf(verb string, call *policyv1.CallContext) span.Operation {
	o := span.Operation{Verb: verb, Method: call.GetMethod(), ID: call.GetId(), Revision: call.GetRevision(), Session: call.GetSession().GetToken()}
	if o.Method == method.ToolsCall {
		o.Target = call.GetTool()
	}
	return o
}

// judged notes what is said of the answer.
func (t *tryTrace) judged(v outcome.Verdict, failure span.Failure) {
	if t == nil {
		return
	}
	if t.verdict = v; t.failure == "" {
		t.failure = failure
	}
}

// failed notes an error within an answer.
func (t *tryTrace) failed(failure span.Failure) {
	if t != nil && t.failure == "" {
		t.failure = failure
	}
}

// released notes when the answer went on, and tells the edge point of the error within it.
func (t *tryTrace) released(took time.Duration, set []*corev3.HeaderValueOption) []*corev3.HeaderValueOption {
	if t == nil {
		return set
	}
	t.first = took
	if t.failure == "" {
		return set
	}
	t.told = true
	return append(set, setHeader(names.HeaderError, string(t.failure)))
}

// end sends the span. An attempt that never let an answer go has had none.
func (t *tryTrace) end(a *attempt) {
	if t == nil {
		return
	}
	if a.phase == waiting || a.phase == holding {
		t.told = true
		t.failed(unanswered(a))
	}
	if !t.sampled && !t.told && a.endpoint.attempt <= 1 {
		return
	}
	operation := operationOf(a.verb, a.call)
	attrs := operation.Attributes(make([]attribute.KeyValue, 0, maxAttributes))
	attrs = span.Peer(attrs, a.endpoint.address)
	attrs = append(attrs, span.Server.String(a.call.GetServer()), span.Region.String(a.endpoint.region), span.Endpoint.String(a.endpoint.name),
		span.Attempt.Int64(int64(a.endpoint.attempt)), span.Policy.String(a.call.GetPolicy())) //nolint:gosec // below 2^53
	if a.held.status > 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.held.status), span.Verdict.String(string(t.verdict)))
	}
	if trial := a.call.GetTrialRegion(); trial != "" && trial == a.endpoint.region {
		attrs = append(attrs, span.BreakerTrial.String(trial))
	}
	if t.first > 0 {
		attrs = append(attrs, span.FirstEvent.Float64(t.first.Seconds()))
	}
	if !t.sampled {
		attrs = append(attrs, span.Kept.Bool(true))
	}
	finish(t.span, attrs, t.failure)
}

func unanswered(a *attempt) span.Failure {
	if limit := a.call.GetPerTryTimeout().AsDuration(); limit > 0 && time.Since(a.started) >= limit {
		return span.Timeout
	}
	return span.NoAnswer
}
