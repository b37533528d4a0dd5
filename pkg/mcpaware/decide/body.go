package decide

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/protobuf/proto"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Body decides a POST whose whole body is there and whose headers Headers let through.
// Either Answer is set, or Action, Call and the header changes are. Message is set
// wherever the body could be read.
func (t *Table) Body(r *Request) Decision {
	route, refused := t.open(r)
	if refused != nil {
		return refuse(r, nil, refused)
	}
	if len(r.Body) > int(route.policy.GetMaxBodyBytes()) {
		return refuse(r, route, tooLarge(route))
	}
	message, fault := wire.ParseRequest(r.Body)
	if fault != nil {
		return refuse(r, route, &degrade.Refusal{
			Status: fault.HTTPStatus, Number: fault.Code, Code: degrade.InvalidInput,
			Message: fault.Message, ID: fault.ID,
		})
	}
	if message.Kind == wire.Batch {
		return t.batch(r, route)
	}
	info, _ := method.Lookup(message.Method)
	revision, refused := check(r.Header, &message, info)
	if refused != nil {
		refused.ID = message.ID
		if message.Kind == wire.Response {
			// The id is that of a server's request, not of one that awaits an answer.
			refused.ID = nil
		}
		decision := refuse(r, route, refused)
		decision.Message, decision.Revision = message, revision
		return decision
	}
	info = info.In(eraOf(revision))
	decision := Decision{Route: route, Message: message, Revision: revision}
	decision.InSession = revision != revision20260728 && len(r.Header.Values(headerSession)) > 0
	decision.once = unrepeatable(&message) || decision.InSession
	server, refused := decision.openTask(r, info)
	if refused != nil {
		refused.ID = message.ID
		refusal := refuse(r, route, refused)
		refusal.Message, refusal.Revision = message, revision
		return refusal
	}
	decision.Rule, decision.Action = route.choose(&message, info, decision.once)
	decision.Action = route.sideOf(r, decision.InSession, decision.Action)
	if server != "" && server != decision.Action.GetServer() {
		decision.Action = route.once[server]
	}
	decision.describe(r, info)
	return decision
}

// check refuses messages that no server should see, and finds the revision.
func check(h Header, m *wire.Message, info method.Info) (string, *degrade.Refusal) {
	revision, refused := classify(h, m)
	if refused != nil {
		return revision, refused
	}
	switch {
	case m.Kind == wire.Response:
		if revision == revision20260728 {
			return revision, invalid("responses are not accepted in this protocol version")
		}
		return revision, nil
	case m.Kind == wire.Notification && !strings.HasPrefix(m.Method, method.NotificationPrefix):
		// Without an id it would still run on some servers, past every tool rule.
		return revision, invalid("a request needs an id")
	}
	info = info.In(eraOf(revision))
	if refused = hasTarget(m, info); refused != nil {
		return revision, refused
	}
	if revision == revision20260728 {
		return revision, checkModern(h, m, info)
	}
	return revision, nil
}

func invalid(message string) *degrade.Refusal {
	return &degrade.Refusal{
		Status: http.StatusBadRequest, Number: wire.CodeInvalidRequest, Code: degrade.InvalidInput, Message: message,
	}
}

// choose picks the action and says what chose it.
func (r *Route) choose(m *wire.Message, info method.Info, once bool) (string, *policyv1.Action) {
	p := r.policy
	switch {
	case m.Kind != wire.Request:
		return RuleOtherMethod, p.GetOtherMethod()
	case m.Method == method.ToolsCall:
		if found := r.rules.first(m); found != nil {
			return found.id, orOnce(once, found.action, found.once)
		}
		return RuleUnmatchedTool, orOnce(once, p.GetUnmatchedTool(), p.GetUnmatchedToolOnce())
	case info.Stream:
		return RuleStream, p.GetStream()
	}
	if found := r.methods.first(m.Method); found != nil {
		return found.id, found.action(info.Safe && !once)
	}
	if info.Safe {
		return RuleSafeMethod, orOnce(once, p.GetSafeMethod(), p.GetSafeMethodOnce())
	}
	return RuleOtherMethod, p.GetOtherMethod()
}

// orOnce picks the twin of an action for a message that may not be sent twice whatever
// its method or the operator says: it continues an earlier one, or belongs to a
// session, which no other endpoint knows. Sent there, it would be answered with 404,
// which clients take for the end of their session.
func orOnce(once bool, action, twin *policyv1.Action) *policyv1.Action {
	if once && twin != nil {
		return twin
	}
	return action
}

func unrepeatable(m *wire.Message) bool { return m.HasInputResponses || m.HasRequestState }

// describe fills in what Envoy and the attempt point are told.
func (d *Decision) describe(r *Request, info method.Info) {
	m := &d.Message
	d.Call = &policyv1.CallContext{
		Policy:        d.Route.policy.GetName(),
		Server:        d.Action.GetServer(),
		Method:        m.Method,
		Safe:          d.Action.GetSafe() && m.Kind == wire.Request && !d.once,
		Progress:      m.ProgressToken,
		PerTryTimeout: d.Action.GetPerTryTimeout(),
		IdleTimeout:   d.Action.GetIdleTimeout(),
		Revision:      d.Revision,
	}
	d.Wait = waits(r.Header, m)
	if m.Kind == wire.Request {
		d.Call.Id = m.ID
		d.Call.Principal = d.Route.principal(d.Action.GetServer(), r.Header)
	}
	if m.Method == method.ToolsCall {
		d.Call.Tool = m.Name
		if d.Route.answers[d.Rule] != nil {
			d.Call.Rule = d.Rule
		}
	}
	if info.List != "" && m.Kind == wire.Request && !unrepeatable(m) && d.Route.RememberFor(m.Method) > 0 {
		d.CatalogKey, d.Call.Shareable = catalog.Key(catalog.Request{
			Server: d.Action.GetServer(), Method: m.Method, Revision: d.Revision,
			Cursor: m.Cursor, HasCursor: m.HasCursor,
		}, r.Header.Values)
		d.Call.CatalogKey = d.CatalogKey
	}
	d.SetHeaders = []HeaderValue{
		{Name: names.HeaderRoute, Value: d.Action.GetRoute()},
	}
	d.rememberResult(r)
	d.offerFallback(r.Body)
	d.cleanHeaders(r.Header, info)
}

// cleanHeaders drops what servers must not see or would understand in two ways.
func (d *Decision) cleanHeaders(h Header, info method.Info) {
	// Answers are read on the way back, so they must come uncompressed; an event id on
	// a POST is refused by some servers.
	d.RemoveHeaders = present(h, "accept-encoding", headerLastEvent)
	if d.Revision != revision20260728 {
		// Servers of these revisions do not check the headers against the body.
		d.RemoveHeaders = append(d.RemoveHeaders, present(h, headerMethod, headerName)...)
		d.RemoveHeaders = append(d.RemoveHeaders, h.WithPrefix(headerParamPrefix)...)
		return
	}
	d.RemoveHeaders = append(d.RemoveHeaders, present(h, headerSession)...)
	if info.Target == method.NoTarget && info.Eras != 0 {
		d.RemoveHeaders = append(d.RemoveHeaders, present(h, headerName)...)
	}
	if d.Message.Kind == wire.Notification && len(h.Values(headerMethod)) == 0 {
		// Some servers ask for it on notifications, some clients do not send it.
		d.SetHeaders = append(d.SetHeaders, HeaderValue{Name: headerMethod, Value: d.Message.Method})
	}
}

// EncodeCall writes a CallContext for the metadata names.MetadataCall.
func EncodeCall(call *policyv1.CallContext) string {
	raw, err := proto.Marshal(call)
	if err != nil {
		// Only a string that is not UTF-8 can fail, and none comes out of the parser or
		// a compiled policy. Without the context the attempt point passes answers on
		// unread.
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// DecodeCall reads what EncodeCall wrote.
func DecodeCall(value string) (*policyv1.CallContext, error) {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("decoding the call context: %w", err)
	}
	call := &policyv1.CallContext{}
	if err := proto.Unmarshal(raw, call); err != nil {
		return nil, fmt.Errorf("decoding the call context: %w", err)
	}
	return call, nil
}
