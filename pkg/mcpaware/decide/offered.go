package decide

import (
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Broken says why no call of a tool can be answered by a server just now; empty: some may.
type Broken func(server, tool string) string

// Withheld says why a tool is not to be offered: whatever a call's arguments, no server can answer it, nor
// does anything stand in for the answer. It gives the server that the tool is missed of; an empty why means
// that the tool is to be offered.
func (r *Route) Withheld(tool string, broken Broken) (server, why string) {
	m := &wire.Message{Name: tool}
	for i := range r.rules.rules {
		rule := &r.rules.rules[i]
		if !rule.name.matches(m.Name) {
			continue
		}
		if server, why = r.unanswered(rule.action, rule.id, tool, broken); why == "" || len(rule.arguments) == 0 {
			return server, why
		}
	}
	return r.unanswered(r.policy.GetUnmatchedTool(), RuleUnmatchedTool, tool, broken)
}

func (r *Route) unanswered(a *policyv1.Action, rule, tool string, broken Broken) (server, why string) {
	if r.degrades[rule] != nil {
		return "", ""
	}
	if why = broken(a.GetServer(), tool); why == "" {
		return "", ""
	}
	if f := a.GetFallback(); f != nil && broken(f.GetServer(), f.GetTool()) == "" {
		return "", ""
	}
	return a.GetServer(), why
}

// ListServer is the server that lists come from.
func (r *Route) ListServer() string { return r.policy.GetSafeMethod().GetServer() }

// Behind are the servers that tools lead to besides those that lists come from; a server may be there more
// than once.
func (t *Table) Behind() []*policyv1.Server {
	var out []*policyv1.Server
	for _, route := range t.byName {
		for name, server := range route.servers {
			if name != route.ListServer() {
				out = append(out, server)
			}
		}
	}
	return out
}
