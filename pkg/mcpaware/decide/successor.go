package decide

import (
	"fmt"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
)

// SessionOwners finds the server that has a session.
type SessionOwners interface {
	// SessionOwner takes the id that the caller knows; "" where it says nothing of a server.
	SessionOwner(id string) (server string)
}

// sideOf picks between an action and that of its server's successor: by the session that the message belongs to, else by the
// caller, who is on one side with everything.
func (r *Route) sideOf(req *Request, inSession bool, a *policyv1.Action) *policyv1.Action {
	next := a.GetSuccessor()
	if next == nil {
		return a
	}
	if inSession && req.Sessions != nil {
		if ids := req.Header.Values(headerSession); len(ids) > 0 {
			switch req.Sessions.SessionOwner(ids[0]) {
			case next.GetAction().GetServer():
				return next.GetAction()
			case a.GetServer():
				return a
			}
		}
	}
	if r.successions[next].Over(r.principal(a.GetServer(), req.Header)) {
		return next.GetAction()
	}
	return a
}

// successor checks who takes over from the server of an action.
func (c *compiler) successor(field string, a *policyv1.Action) {
	next := a.GetSuccessor()
	if next == nil {
		return
	}
	field += ".successor"
	if next.GetShare() > maxPercent {
		c.problem(field+".share", "%d is above %d", next.GetShare(), maxPercent)
	}
	later := next.GetAction()
	switch {
	case later.GetServer() == a.GetServer():
		c.problem(field+".action.server", "%q is the server that it takes over from", later.GetServer())
	case later.GetSuccessor() != nil:
		c.problem(field+".action.successor", "must not be set: successors have none")
		return
	case later != nil && later.GetSafe() != a.GetSafe():
		c.problem(field+".action.safe", "is not that of the action that it takes the place of")
	}
	c.action(field+".action", later)
	if c.successions == nil {
		c.successions = map[*policyv1.Successor]share.Succession{}
	}
	c.successions[next] = share.Between(a.GetServer(), later.GetServer(), next.GetShare())
}

// explainSuccessor says who takes over from the server that the rule names; empty where nobody does.
func (d *Decision) explainSuccessor() string {
	if next := d.Action.GetSuccessor(); next != nil {
		return fmt.Sprintf("%s, which has %d%% of the callers, not this one", next.GetAction().GetServer(), next.GetShare())
	}
	for next := range d.Route.successions {
		if next.GetAction() == d.Action {
			return fmt.Sprintf("the server is one itself, with %d%% of the callers, this one among them", next.GetShare())
		}
	}
	return ""
}
