package decide

import (
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// RuleBatch says that all messages of a batch chose the action together.
const RuleBatch = "batch"

// batch decides an array of messages, which only the revision 2025-03-26 has. Every
// message is checked and finds its rule as it would by itself; all must lead to one
// server, to which the array goes as it is. It may be sent again only where each of
// its messages may.
func (t *Table) batch(r *Request, route *Route) Decision {
	turnDown := func(why *degrade.Refusal) Decision {
		why.ID = nil
		decision := refuse(r, route, why)
		decision.Message = wire.Message{Kind: wire.Batch}
		return decision
	}
	if version, refused := sole(r.Header, headerVersion); refused != nil || (version != "" && version != revision20250326) {
		return turnDown(invalid("batches belong to revision " + revision20250326 + "; send one message a request"))
	}
	messages, fault := wire.ParseBatch(r.Body)
	if fault != nil {
		return turnDown(&degrade.Refusal{
			Status: fault.HTTPStatus, Number: fault.Code, Code: degrade.InvalidInput, Message: fault.Message,
		})
	}
	d := Decision{
		Route: route, Rule: RuleBatch, Message: wire.Message{Kind: wire.Batch}, Revision: revision20250326,
		once: len(r.Header.Values(headerSession)) > 0,
	}
	actions := make([]*policyv1.Action, 0, len(messages))
	for i := range messages {
		action, refused := d.element(r, &messages[i])
		if refused != nil {
			return turnDown(refused)
		}
		actions = append(actions, action)
	}
	if refused := d.agree(actions); refused != nil {
		return turnDown(refused)
	}
	d.describeBatch(r)
	return d
}

// element checks one message and chooses its action, the twin of it where the batch
// may not be sent twice.
func (d *Decision) element(r *Request, m *wire.Message) (*policyv1.Action, *degrade.Refusal) {
	if m.HasMetaVersion || m.Method == method.Initialize {
		return nil, invalid("a batch must not open a session, nor hold a message of another revision")
	}
	info, _ := method.Lookup(m.Method)
	if _, refused := check(r.Header, m, info); refused != nil {
		return nil, refused
	}
	info = info.In(method.Legacy)
	rule, action := d.Route.choose(m, info, d.once || unrepeatable(m))
	action = d.Route.sideOf(r, true, action)
	if m.Kind == wire.Request {
		call := &policyv1.CallContext{
			Server: action.GetServer(), Method: m.Method, Id: m.ID, Safe: action.GetSafe(), Revision: d.Revision,
		}
		if m.Method == method.ToolsCall {
			call.Tool = m.Name
		}
		d.Batch = append(d.Batch, call)
		if d.Route.Metered() && ranked(call) {
			d.elements = append(d.elements, metered{message: m, rule: rule, action: action})
		}
	}
	return action, nil
}

// agree picks the action of the whole batch: of one that is safe for all, or of those
// that are not, the one that waits longest.
func (d *Decision) agree(actions []*policyv1.Action) *degrade.Refusal {
	safe := true
	for _, a := range actions {
		if a.GetServer() != actions[0].GetServer() {
			return invalid("the messages of a batch lead to different servers; send one message a request")
		}
		safe = safe && a.GetSafe()
	}
	for _, a := range actions {
		if a.GetSafe() != safe {
			continue
		}
		if d.Action == nil || a.GetPerTryTimeout().AsDuration() > d.Action.GetPerTryTimeout().AsDuration() {
			d.Action = a
		}
	}
	return nil
}

func (d *Decision) describeBatch(r *Request) {
	d.Call = &policyv1.CallContext{
		Policy: d.Route.policy.GetName(), Server: d.Action.GetServer(), Safe: d.Action.GetSafe(),
		PerTryTimeout: d.Action.GetPerTryTimeout(), IdleTimeout: d.Action.GetIdleTimeout(), Revision: d.Revision,
	}
	if len(d.Batch) > 0 {
		d.Call.Principal = d.Route.principal(d.Action.GetServer(), r.Header)
	}
	for _, call := range d.Batch {
		// Whether the whole may be sent again is what its messages' outcomes depend on.
		call.Safe = d.Call.GetSafe()
		d.Call.BatchIds = append(d.Call.BatchIds, call.GetId())
	}
	d.SetHeaders = []HeaderValue{{Name: names.HeaderRoute, Value: d.Action.GetRoute()}}
	d.cleanHeaders(r.Header, method.Info{})
}
