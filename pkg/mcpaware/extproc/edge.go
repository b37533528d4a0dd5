package extproc

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// edge is one request. One goroutine runs it.
type edge struct {
	service *Service
	table   *decide.Table
	request decide.Request
	// awaitsBody: the headers are accepted, the body decides.
	awaitsBody bool
	// decided: decision says what became of the request.
	decided  bool
	decision decide.Decision
	steering steering
	// ticket is the call's slot; nil where it needs none.
	ticket  *admit.Ticket
	session edgeSession
	// task is the one that the message is about, rewritten the body with the server's own
	// id of it. Both are nil for other messages.
	task      *policyv1.CallTask
	rewritten []byte
	// unreadHeader is the header of a request whose body goes unread; nil for all others.
	unreadHeader headers
	// again restores a request that Envoy began again; nil for all others.
	again []*corev3.HeaderValueOption
	tally tally
	// quota of the nearest rate limit; nil where none is for the message.
	quota *quota
	// length of the body as the request announces it; -1 where it does not.
	length int64
	// trace is nil where the request is not traced.
	trace *edgeTrace
}

func (e *edge) run(stream extprocv3.ExternalProcessor_ProcessServer) error {
	defer e.trace.end(e)
	defer e.steering.end()
	defer e.leave()
	defer e.left()
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		decided := e.decided
		reply, over, err := e.handle(req)
		if err != nil {
			return err
		}
		if e.decided && !decided && !over {
			answer, err := e.admit(stream)
			switch {
			case err != nil:
				return err
			case answer != nil:
				e.decision.Answer = answer
				reply, over = e.refuseWithID()
			case e.ticket != nil && e.ticket.Waited() > 0:
				reply.DynamicMetadata = e.metadata()
			}
		}
		if err := stream.Send(reply); err != nil || over {
			return err
		}
	}
}

// handle gives the reply to one message; over says that it is the last one.
func (e *edge) handle(req *extprocv3.ProcessingRequest) (reply *extprocv3.ProcessingResponse, over bool, err error) {
	switch m := req.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		reply, over = e.onHeaders(m.RequestHeaders)
	case *extprocv3.ProcessingRequest_RequestBody:
		if !e.awaitsBody {
			return nil, true, unexpected(names.PointEdge, req)
		}
		if body := m.RequestBody; !body.GetEndOfStream() && int64(len(body.GetBody())) != e.length {
			// The mode is BUFFERED: what is not the whole body must not be decided on. Where
			// trailers follow, it is whole without being the end.
			return nil, true, status.Error(codes.FailedPrecondition, "edge point: a part of a body, want it whole")
		}
		reply, over = e.onBody(m.RequestBody.GetBody())
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		reply = e.onResponse(req, m.ResponseHeaders)
		// A call with a slot keeps it to the end of its answer, and so the stream.
		return reply, e.ticket == nil || reply.GetImmediateResponse() != nil, nil
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		return responseTrailersReply(), true, nil
	default:
		return nil, true, unexpected(names.PointEdge, req)
	}
	return reply, over, nil
}

func (e *edge) onHeaders(m *extprocv3.HttpHeaders) (*extprocv3.ProcessingResponse, bool) {
	e.begin()
	h := headers(m.GetHeaders().GetHeaders())
	e.request = decide.Request{
		Verb: h.first(":method"), Path: h.first(":path"), Header: h, RequestID: h.first("x-request-id"),
		Continues: !m.GetEndOfStream(),
	}
	if e.session.keyring != nil {
		e.request.Sessions = e
	}
	e.comesAgain(h)
	if e.again == nil {
		e.request.Verified = e.service.opts.Verified
	}
	decision := e.table.Headers(&e.request)
	e.decision = decision.Decision
	switch {
	case decision.Answer != nil:
		return e.refuse()
	case decision.Unread:
		e.decided, e.unreadHeader = true, h
		return e.settle(requestHeadersReply)
	case !decision.NeedBody:
		e.decided = true
		if !e.joinSession() {
			return e.refuse()
		}
		e.trace.open(e)
		reply := requestHeadersReply(e.mutation())
		reply.ModeOverride = edgeMode(false)
		reply.DynamicMetadata = e.metadata()
		e.forgetRequest()
		return reply, false
	case m.GetEndOfStream():
		// No body comes, so the headers' reply is the last word.
		return e.onBodyAs(nil, requestHeadersReply)
	}
	if e.again == nil {
		e.length = h.contentLength()
	}
	if e.length < 0 {
		// Envoy holds the whole body before it can be decided on; one of unknown length
		// would be held without a bound.
		answer := degrade.Refuse(degrade.Refusal{
			Status: http.StatusLengthRequired, Number: wire.CodeInvalidRequest, Code: degrade.InvalidInput,
			Message: "the request must announce the length of its body (content-length)", RequestID: e.request.RequestID,
		})
		e.decision.Answer = &answer
		return e.refuse()
	}
	return e.awaitBody(), false
}

// awaitBody asks for the whole body.
func (e *edge) awaitBody() *extprocv3.ProcessingResponse {
	e.awaitsBody = true
	reply := requestHeadersReply(&extprocv3.CommonResponse{})
	reply.ModeOverride = edgeMode(true)
	if e.decision.Route.Limited() {
		// Envoy ends the stream with its last message, and the answer has to end before the
		// slot is free.
		reply.ModeOverride.ResponseTrailerMode = filterv3.ProcessingMode_SEND
	}
	return reply
}

func (e *edge) onBody(body []byte) (*extprocv3.ProcessingResponse, bool) {
	return e.onBodyAs(body, requestBodyReply)
}

func (e *edge) onBodyAs(body []byte, as func(*extprocv3.CommonResponse) *extprocv3.ProcessingResponse) (*extprocv3.ProcessingResponse, bool) {
	e.awaitsBody, e.decided = false, true
	e.request.Body = body
	if e.request.Body == nil {
		e.request.Body = []byte{}
	}
	if e.session.keyring != nil {
		e.request.Tasks = e
	}
	e.decision = e.table.Body(&e.request)
	e.findSlot()
	e.offer()
	return e.settle(as)
}

// settle sees to everything that does not depend on the message alone, and replies.
func (e *edge) settle(as func(*extprocv3.CommonResponse) *extprocv3.ProcessingResponse) (*extprocv3.ProcessingResponse, bool) {
	if e.decision.Answer == nil && e.joinSession() {
		e.joinTask()
		e.listenToTasks()
		if e.meter(); e.decision.Answer == nil {
			e.answerForAbsent()
		}
		if e.decision.Answer == nil {
			e.steer()
		}
	}
	if e.decision.Answer == nil {
		e.ration()
		e.limit()
	}
	e.trace.open(e)
	if e.decision.Answer != nil {
		return e.refuseWithID()
	}
	reply := as(e.mutation())
	e.rewrite(reply)
	e.trace.rewrite(e, reply)
	if reply.GetRequestHeaders() != nil {
		reply.ModeOverride = edgeMode(false)
		if e.decision.Unread && e.decision.Route.Limited() {
			reply.ModeOverride.ResponseTrailerMode = filterv3.ProcessingMode_SEND
		}
	}
	reply.DynamicMetadata = e.metadata()
	e.forgetRequest()
	return reply, false
}

// metadata tells the attempt point about the call; of a request without a body, just where it goes.
func (e *edge) metadata() *structpb.Struct {
	call := e.decision.Call
	if call == nil {
		call = &policyv1.CallContext{
			Policy: e.decision.Route.Policy().GetName(), Server: e.decision.Action.GetServer(),
		}
	}
	call.Session = e.session.call
	call.Traceparent = e.trace.context()
	return metadataOf(decide.EncodeCall(call), e.steering.subset)
}

// forgetRequest lets go of the body and all that aliases it: an answer may be long in coming.
func (e *edge) forgetRequest() {
	e.request.Body, e.request.Header = nil, nil
	e.decision.Message = wire.Message{}
	e.decision.SetHeaders, e.decision.RemoveHeaders = nil, nil
	if call := e.decision.Call; call != nil {
		call.Id = bytes.Clone(call.GetId())
	}
	e.forgetBatch()
}

func (e *edge) refuse() (*extprocv3.ProcessingResponse, bool) {
	e.trace.open(e)
	e.debug("refused", "status", e.decision.Answer.Status, "code", e.decision.Answer.Code)
	e.answered(e.decision.Answer, "")
	return immediate(e.decision.Answer), true
}

// mutation carries the decision to Envoy's router, which looks for a route again.
func (e *edge) mutation() *extprocv3.CommonResponse {
	e.debug("decided", "rule", e.decision.Rule, "server", e.decision.Action.GetServer(), "route", e.decision.Action.GetRoute())
	return &extprocv3.CommonResponse{
		ClearRouteCache: true,
		HeaderMutation: &extprocv3.HeaderMutation{
			SetHeaders:    append(setHeaders(e.decision.SetHeaders), e.again...),
			RemoveHeaders: e.decision.RemoveHeaders,
		},
	}
}

// onResponse looks at what the caller is about to get: a server's answer goes on,
// with its own status restored; where there is none to go on, a degraded
// answer takes its place.
func (e *edge) onResponse(req *extprocv3.ProcessingRequest, m *extprocv3.HttpHeaders) *extprocv3.ProcessingResponse {
	h := headers(m.GetHeaders().GetHeaders())
	attrs := attributesOf(req)
	local := degrade.Local{
		Status: h.status(), Flags: degrade.FlagNames(attrs.number("response.flags")),
		CodeDetails: attrs.text("response.code_details"), Attempts: int(attrs.number("upstream.request_attempt_count")), //nolint:gosec // below 2^53
	}
	report, judged := outcome.ParseReport(h.first(names.HeaderVerdict))
	if !e.decided {
		// Envoy gave up before the request was whole. What it says then has an id of
		// null by its own rules, and no id is known here either.
		return responseHeadersReply(&extprocv3.HeaderMutation{})
	}
	e.noteAbsence(local)
	e.learn(h, local, report, judged)
	e.endSession(local)
	e.trace.passed(h, local, report, judged)
	if e.sessionLost(h, local) {
		e.debug("session lost", "flags", local.Flags, "details", local.CodeDetails)
		return e.replaced(noSession(), h)
	}
	if e.streamGone(h, local, attrs.text("upstream.address")) {
		return e.replaced(endedStream(), h)
	}
	if e.waits(local) {
		return e.replaced(waitingStream(e.session.last, waitMs), h)
	}
	if e.waitsInVain(local) {
		return e.replaced(waitingStream(e.session.last, neverMs), h)
	}
	if answer := e.inWords(h, report, judged); answer != nil {
		return e.replaced(answer, h)
	}
	cause, broken := e.broken(e.call(), h, local, report, judged)
	if broken && len(e.decision.Batch) > 0 {
		return e.replaced(e.insteadOfBatch(h, local, report, judged), h)
	}
	if answer := e.instead(cause, broken, judged && failing(report.Verdict)); answer != nil {
		e.debug("degraded", "source", answer.Source, "code", cause.Code, "flags", local.Flags, "details", local.CodeDetails, "attempts", local.Attempts, "region", h.first(names.HeaderRegion))
		return e.replaced(answer, h)
	}
	e.passed(h, cause)
	mutation := &extprocv3.HeaderMutation{RemoveHeaders: []string{names.HeaderVerdict}}
	if e.trace != nil {
		mutation.RemoveHeaders = append(mutation.RemoveHeaders, names.HeaderError)
	}
	if len(h.Values(names.HeaderRetryAfter)) > 0 {
		mutation.RemoveHeaders = append(mutation.RemoveHeaders, names.HeaderRetryAfter)
	}
	if local.Attempts > 0 {
		mutation.SetHeaders = append(mutation.SetHeaders, setHeader(names.HeaderAttempts, strconv.Itoa(local.Attempts)))
	}
	if judged && report.Status != local.Status {
		mutation.SetHeaders = append(mutation.SetHeaders, setHeader(":status", strconv.Itoa(report.Status)))
	}
	mutation.SetHeaders = append(mutation.SetHeaders, setHeaders(e.quota.headers())...)
	e.giveSession(h, attrs, mutation)
	return responseHeadersReply(mutation)
}

func failing(v outcome.Verdict) bool {
	return v == outcome.ToolFailed || v == outcome.EndpointFailed || v == outcome.Timeout
}

// Values of Envoy's response.code_details.
const (
	// viaUpstream: the server's own answer.
	viaUpstream = "via_upstream"
	// directResponse: the last route, which takes what has no stamp that Envoy knows.
	directResponse = "direct_response"
)

// call is what was called; GET and DELETE have no id to answer with.
func (e *edge) call() *policyv1.CallContext {
	if e.decision.Call != nil {
		return e.decision.Call
	}
	return &policyv1.CallContext{Server: e.decision.Action.GetServer(), Safe: true}
}

// broken says whether the answer cannot reach the caller as it is, and why.
func (e *edge) broken(call *policyv1.CallContext, h headers, local degrade.Local, report outcome.Report, judged bool) (degrade.Cause, bool) {
	id := e.request.RequestID
	switch {
	case local.CodeDetails == directResponse:
		// Envoy has no route of that stamp (any more): no server was asked.
		return degrade.New(degrade.ServiceUnavailable, degrade.NotExecuted, call, id), true
	case local.CodeDetails != viaUpstream && local.CodeDetails != "":
		return e.resident(degrade.FromEnvoy(local, call, id), local.Unreachable()), true
	case judged && report.Verdict == outcome.TooBusy:
		return busy(call, id, h), true
	case judged && report.Verdict == outcome.Timeout:
		return degrade.New(degrade.Timeout, degrade.Unknown, call, id), true
	case judged && failing(report.Verdict) && !report.Usable:
		return degrade.New(e.code(report), degrade.Unknown, call, id), true
	case judged && failing(report.Verdict):
		return degrade.New(degrade.DependencyFailed, degrade.Unknown, call, id), false
	case local.Status >= 500 && !judged && awaited(call):
		// No attempt point has seen this answer; clients drop the body of a 5xx.
		return degrade.New(degrade.ServiceUnavailable, degrade.Unknown, call, id), true
	}
	return degrade.Cause{}, false
}

func (e *edge) code(report outcome.Report) degrade.Code {
	if report.Verdict == outcome.EndpointFailed {
		return degrade.ServiceUnavailable
	}
	return degrade.DependencyFailed
}

func (e *edge) stale(cause degrade.Cause) *degrade.Answer {
	maxAge := e.decision.Route.RememberFor(e.decision.Call.GetMethod())
	if e.decision.CatalogKey == "" || maxAge <= 0 || e.service.opts.Catalog == nil {
		return nil
	}
	entry, age, ok := e.service.opts.Catalog.Get(e.decision.CatalogKey, maxAge)
	if !ok {
		return nil
	}
	entry, withheld := e.reduceStale(entry)
	answer, err := degrade.Stale(e.decision.Call, entry, age, cause.Code, withheld...)
	if err != nil {
		e.service.log.Warn("a remembered list cannot be served", "key", entry.GetKey(), "error", err)
		return nil
	}
	return &answer
}

func (e *edge) debug(msg string, args ...any) {
	if !e.service.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	e.service.log.Debug(msg, append([]any{ //nolint:sloglint // the callers' literals
		"request_id", e.request.RequestID, "verb", e.request.Verb, "method", e.decision.Call.GetMethod(), "tool", e.decision.Call.GetTool(),
	}, args...)...)
}
