package extproc

import (
	"context"
	"strconv"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// headerTraceparent carries trace context (W3C Trace Context), in HTTP headers, in the metadata of
// Envoy's streams, and in _meta.
const headerTraceparent = "traceparent"

// maxAttributes of a span, for the first allocation.
const maxAttributes = 24

// envoySpan is the context of Envoy's span around a stream, which Envoy gives with
// each stream that it opens; invalid where it traces nothing.
func envoySpan(ctx context.Context) oteltrace.SpanContext {
	values := metadata.ValueFromIncomingContext(ctx, headerTraceparent)
	if len(values) != 1 {
		return oteltrace.SpanContext{}
	}
	parsed, _ := trace.ParseParent(values[0])
	return parsed
}

// edgeTrace is the span of one request. A nil one, of a request that is not traced,
// does nothing.
type edgeTrace struct {
	pipeline *trace.Pipeline
	settings *policyv1.Traces
	started  time.Time
	envoy    oteltrace.SpanContext

	// span is nil until the message is known, and where it is not traced after all.
	span   oteltrace.Span
	opened bool
	// sampled: the trace is recorded. Otherwise the span is only sent if the call does not go well.
	sampled bool
	// rewrites: params._meta has a trace context, in whose place the span's goes.
	rewrites bool

	attrs    []attribute.KeyValue
	answered bool
	retried  bool
	degraded bool
	failure  span.Failure
}

// traceEdge begins to trace a request; nil where nothing is traced.
func (s *Service) traceEdge(ctx context.Context, table *decide.Table) *edgeTrace {
	settings := table.Traces()
	if settings == nil || s.opts.Traces == nil {
		return nil
	}
	pipeline := s.opts.Traces()
	if pipeline == nil {
		return nil
	}
	envoy := envoySpan(ctx)
	if !envoy.IsSampled() && !settings.GetKeepFailures() && !settings.GetFollowParent() {
		return nil
	}
	return &edgeTrace{pipeline: pipeline, settings: settings, started: time.Now(), envoy: envoy, attrs: make([]attribute.KeyValue, 0, maxAttributes)}
}

// open starts the span, once the message is known as far as it ever will be.
func (t *edgeTrace) open(e *edge) {
	if t == nil || t.opened {
		return
	}
	t.opened = true
	ctx, links := t.parents(e)
	if !t.sampled && !t.settings.GetKeepFailures() {
		return
	}
	operation := span.OperationOf(e.request.Verb, &e.decision.Message, e.decision.Revision)
	operation.Session = e.session.token
	if call := e.decision.Call; operation.Method == "" && call != nil {
		// The body goes on unread.
		operation.Method, operation.Target = call.GetMethod(), call.GetTool()
	}
	t.attrs = operation.Attributes(t.attrs)
	t.span = t.pipeline.Start(ctx, operation.Name(), oteltrace.WithTimestamp(t.started),
		oteltrace.WithSpanKind(oteltrace.SpanKindServer), oteltrace.WithLinks(links...))
}

// parents finds out what the span belongs to. A trace context in _meta is its parent, and Envoy's span
// around the request a link (MCP conventions), unless the caller's HTTP request has the same context: then, and
// without one in _meta, Envoy's span is the parent. A parent that is not recorded leaves
// the span the first of its trace.
func (t *edgeTrace) parents(e *edge) (context.Context, []oteltrace.Link) {
	ctx := context.Background()
	t.sampled = t.envoy.IsSampled()
	text, there := wire.MetaText(e.decision.Message.Params, headerTraceparent)
	t.rewrites = there
	meta, ok := trace.ParseParent(text)
	if ok && t.settings.GetFollowParent() {
		t.sampled = meta.IsSampled()
	}
	var links []oteltrace.Link
	parent := t.envoy
	if ok && !sameContext(e.request.Header, text) {
		parent = meta
		if t.envoy.IsSampled() && t.sampled {
			links = []oteltrace.Link{{SpanContext: t.envoy}}
		}
	}
	switch {
	case !parent.IsValid():
	case parent.IsSampled() && t.sampled:
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, parent)
	default:
		ctx = trace.WithRoot(ctx, parent.TraceID())
	}
	return ctx, links
}

// sameContext says that the caller's HTTP request has the trace context of its message. Envoy's own
// is not in these headers yet.
func sameContext(h decide.Header, text string) bool {
	values := h.Values(headerTraceparent)
	return len(values) == 1 && values[0] == text
}

// context of the span for the tries, "" where there is none.
func (t *edgeTrace) context() string {
	if t == nil || t.span == nil {
		return ""
	}
	return trace.Parent(t.span.SpanContext(), t.sampled)
}

// rewrite puts the span into params._meta where a trace context is there already, so that the server's span
// belongs to it. The body is held anyway; one above the bound keeps the caller's.
func (t *edgeTrace) rewrite(e *edge, reply *extprocv3.ProcessingResponse) {
	body := reply.GetRequestBody().GetResponse()
	if t == nil || t.span == nil || !t.rewrites || !t.sampled || body == nil || len(e.request.Body) > maxHeldBytes {
		return
	}
	whole := e.request.Body
	if edited := body.GetBodyMutation().GetBody(); edited != nil {
		whole = edited
	}
	changed, err := wire.SpliceRequestMeta(whole, headerTraceparent, strconv.AppendQuote(nil, t.context()))
	if err != nil {
		e.debug("trace context not handed on", "error", err)
		return
	}
	body.BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: changed}}
	body.HeaderMutation.SetHeaders = append(body.HeaderMutation.SetHeaders, setHeader("content-length", strconv.Itoa(len(changed))))
}

// note adds an attribute, before or after the span is open.
func (t *edgeTrace) note(kv ...attribute.KeyValue) {
	if t != nil {
		t.attrs = append(t.attrs, kv...)
	}
}

// passed notes what Envoy and the attempt point said of the answer.
func (t *edgeTrace) passed(h headers, local degrade.Local, report outcome.Report, judged bool) {
	if t == nil || t.span == nil {
		return
	}
	t.answered, t.retried = true, local.Attempts > 1
	t.note(span.Attempts.Int(local.Attempts))
	for _, one := range []struct {
		key    attribute.Key
		header string
	}{{span.Region, names.HeaderRegion}, {span.Endpoint, names.HeaderVia}} {
		if value := h.first(one.header); value != "" {
			t.note(one.key.String(value))
		}
	}
	if source := h.first(names.HeaderDegraded); source != "" {
		t.degraded = true
		t.note(span.Degraded.String(source))
	}
	status := local.Status
	if judged {
		status = report.Status
		t.note(span.Verdict.String(string(report.Verdict)))
	}
	t.note(semconv.HTTPResponseStatusCode(status))
	switch told := h.first(names.HeaderError); {
	case told != "":
		t.failure = span.Failure(told)
	case judged && report.Verdict != outcome.CallerFault:
		t.failure = span.Failure(report.Verdict)
	default:
		t.failure = span.FailureOfStatus(status)
	}
}

// replaced notes an answer of Holdfast's own.
func (t *edgeTrace) replaced(a *degrade.Answer) {
	if t == nil || t.span == nil {
		return
	}
	t.answered = true
	if a.Source != "" {
		t.degraded = true
		t.note(span.Degraded.String(a.Source))
	}
	if a.Code != "" {
		t.note(span.Reason.String(string(a.Code)))
	}
	parsed, fault := wire.ParseAnswer(a.Body)
	if t.failure = span.FailureOfStatus(a.Status); fault == nil {
		t.failure = span.FailureOf(&parsed)
	}
}

// end sends the span, unless it is of a trace that is not recorded and the call went well.
func (t *edgeTrace) end(e *edge) {
	if t == nil || t.span == nil {
		return
	}
	if !t.answered {
		t.failure = span.NoAnswer
	}
	if !t.sampled {
		if t.failure == "" && !t.retried && !t.degraded {
			return
		}
		t.note(span.Kept.Bool(true))
	}
	d := &e.decision
	t.note(span.Rule.String(d.Rule))
	if e.service.opts.Revision != nil {
		t.note(span.Revision.String(e.service.opts.Revision()))
	}
	if d.Route != nil {
		t.note(span.Policy.String(d.Route.Policy().GetName()))
	}
	if d.Action != nil {
		t.note(span.Server.String(d.Action.GetServer()), span.Route.String(d.Action.GetRoute()))
	}
	if e.ticket != nil && e.ticket.Waited() > 0 {
		t.note(span.Waited.Float64(e.ticket.Waited().Seconds()))
	}
	finish(t.span, t.attrs, t.failure)
}

func finish(s oteltrace.Span, attrs []attribute.KeyValue, failure span.Failure) {
	s.SetAttributes(failure.Attributes(attrs)...)
	if failure != "" {
		s.SetStatus(codes.Error, "")
	}
	s.End()
}
