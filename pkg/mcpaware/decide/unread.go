package decide

import (
	"slices"
	"strconv"
	"strings"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// LargeBody is the size above which a body may go unread.
const LargeBody = 64 << 10

// unread decides a large tools/call of the modern revision by its headers, where the server
// itself compares those with the body: a message that says otherwise is refused there. Whatever
// only the body tells is taken at its most careful: the message may continue another one, so it is not
// sent twice. ok is false where the body has to be read.
func (t *Table) unread(r *Request, route *Route) (d Decision, ok bool) {
	length, known := bodyLength(r.Header)
	if r.Verified == nil || !known || length <= LargeBody {
		return d, false
	}
	version, badVersion := sole(r.Header, headerVersion)
	called, badMethod := sole(r.Header, headerMethod)
	encoded, badName := sole(r.Header, headerName)
	if badVersion != nil || badMethod != nil || badName != nil || version != revision20260728 || called != method.ToolsCall {
		return d, false
	}
	name, ok := decodeHeader(encoded)
	if !ok || name == "" {
		return d, false
	}
	message := wire.Message{Kind: wire.Request, Method: called, Name: name, WelcomesTask: true}
	d = Decision{Route: route, Message: message, Revision: version, once: true, Unread: true}
	d.Rule, d.Action = route.choose(&message, method.Info{}, true)
	d.Action = route.sideOf(r, false, d.Action)
	if !d.mayGoUnread() || !r.Verified(route.servers[d.Action.GetServer()]) {
		return Decision{}, false
	}
	info, _ := method.Lookup(called)
	d.describe(r, info.In(method.Modern))
	// Whether it asks for progress is not known: then it does.
	d.Call.Progress = true
	return d, true
}

// mayGoUnread says whether headers are enough to decide on a call: its server is said to compare
// them with the body, and no rule or limit is for arguments.
func (d *Decision) mayGoUnread() bool {
	return d.Revision == revision20260728 && d.Message.Method == method.ToolsCall && d.Route.servers[d.Action.GetServer()].GetVerifiedPath() != "" &&
		d.Action.GetFallback() == nil && !d.Route.rules.readsArguments(d.Message.Name) && !d.Route.meters.readArguments(d.Rule)
}

// readsArguments says whether the first rule for a tool depends on arguments.
func (s *ruleSet) readsArguments(name string) bool {
	for i := range s.rules {
		if s.rules[i].name.matches(name) {
			return len(s.rules[i].arguments) > 0
		}
	}
	return false
}

// readArguments says whether a rate limit for calls of a rule depends on arguments.
func (m *meters) readArguments(rule string) bool {
	depends := func(one *meter) bool { return len(one.pointers) > 0 }
	return slices.ContainsFunc(m.all, depends) || slices.ContainsFunc(m.byRule[rule], depends)
}

// bodyLength is the announced length of a body; known is false where there is none, or two.
func bodyLength(h Header) (length uint64, known bool) {
	values := h.Values("content-length")
	if len(values) != 1 {
		return 0, false
	}
	length, err := strconv.ParseUint(strings.TrimSpace(values[0]), 10, 64)
	return length, err == nil
}

// Verifiable are the servers of all policies of which the operator says that they compare
// headers with bodies; a server may be there more than once.
func (t *Table) Verifiable() []*policyv1.Server {
	var out []*policyv1.Server
	for _, route := range t.byName {
		for _, server := range route.servers {
			if server.GetVerifiedPath() != "" {
				out = append(out, server)
			}
		}
	}
	return out
}

// Verifier says whether a server was found to compare headers with bodies.
type Verifier func(*policyv1.Server) bool
