package decide

import (
	"net/http"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// openTask finds the server that has the task which a message is about; "" where nothing
// says which. Such a message is tried once: no other endpoint knows the task, and its
// answer would say that there is none.
func (d *Decision) openTask(r *Request, info method.Info) (string, *degrade.Refusal) {
	m := &d.Message
	if d.InSession || r.Tasks == nil || m.Kind != wire.Request || info.Target != method.TaskID {
		return "", nil
	}
	server, known := r.Tasks.TaskOwner(m.TaskID)
	switch {
	case known && server == "":
		return "", nil
	case known && d.Route.once[server] != nil:
		d.once = true
		return server, nil
	}
	status := http.StatusOK
	if d.Revision == revision20260728 {
		status = http.StatusBadRequest
	}
	return "", &degrade.Refusal{
		Status: status, Number: wire.CodeInvalidParams, Code: degrade.InvalidInput, Message: "Task not found",
	}
}

// ListenToTasks has the attempt point read the stream that answers a request to listen. The
// policy has a route for that.
func (d *Decision) ListenToTasks() {
	listen := d.Route.policy.GetListenTasks()
	if next := listen.GetSuccessor().GetAction(); next != nil && next.GetServer() == d.Action.GetServer() {
		listen = next
	}
	d.Action = listen
	d.stampRoute(d.Action.GetRoute())
}

// onceByServer finds an action for each server that tries a message once.
func onceByServer(p *policyv1.RoutePolicy, rules []rule) map[string]*policyv1.Action {
	out := map[string]*policyv1.Action{}
	add := func(action *policyv1.Action) {
		for ; action != nil; action = action.GetSuccessor().GetAction() {
			if !action.GetSafe() && out[action.GetServer()] == nil {
				out[action.GetServer()] = action
			}
		}
	}
	for _, action := range []*policyv1.Action{p.GetSafeMethodOnce(), p.GetOtherMethod(), p.GetUnmatchedToolOnce(), p.GetUnmatchedTool()} {
		add(action)
	}
	for i := range rules {
		add(rules[i].once)
		add(rules[i].action)
	}
	return out
}
