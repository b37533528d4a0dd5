package decide_test

import (
	"fmt"
	"strings"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

// succeeded is shopmax with orders-v3 behind everything of orders.
func succeeded(share uint32) *policyv1.RoutePolicy {
	p := shopmax()
	p.Servers = append(p.Servers, &policyv1.Server{Name: "orders-v3"})
	actions := []*policyv1.Action{p.GetUnmatchedTool(), p.GetSafeMethod(), p.GetSafeMethodOnce(), p.GetOtherMethod(), p.GetStream(), p.GetDelete()}
	for _, r := range p.GetRules() {
		actions = append(actions, r.GetAction(), r.GetOnce())
	}
	for _, a := range actions {
		if a.GetServer() == "orders" {
			a.Successor = &policyv1.Successor{Share: share, Action: action(a.GetRoute()+"-v3", "orders-v3", a.GetSafe())}
		}
	}
	return p
}

type sessions map[string]string

func (s sessions) SessionOwner(id string) string { return s[id] }

// decided sends a request through the table as the edge does.
func decided(t *testing.T, table *decide.Table, r *decide.Request) decide.Decision {
	t.Helper()
	first := table.Headers(r)
	d := first.Decision
	if first.NeedBody {
		d = table.Body(r)
	}
	if d.Answer != nil {
		t.Fatalf("refused: %s", d.Answer.Body)
	}
	return d
}

// TestSuccessorHasAShareOfCallers: a caller is on one side with all that it asks for, whatever the rule; the route is that of its
// side; other servers' calls go where they went.
func TestSuccessorHasAShareOfCallers(t *testing.T) {
	t.Parallel()
	half := table(t, succeeded(50))
	over := 0
	const callers = 400
	for i := range callers {
		who := fmt.Sprintf("authorization: Bearer caller-%d", i)
		with := func(r *decide.Request) *decide.Request {
			r.Header = append(r.Header.(headers), who)
			return r
		}
		sides := map[string]int{}
		for _, r := range []*decide.Request{
			with(toolCall("get_order", "{}")), with(toolCall("unknown", "{}")), with(post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)),
			with(post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`)),
			with(modern("tools/call", `"name":"get_order"`, "get_order")),
			{Verb: "GET", Path: "/mcp", Header: headers{who, "mcp-protocol-version: 2025-11-25"}},
			with(post(`[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]`)),
		} {
			d := decided(t, half, r)
			server := d.Action.GetServer()
			sides[server]++
			if d.Call != nil && d.Call.GetServer() != server {
				t.Errorf("the attempt point is told of %q, and the call goes to %q", d.Call.GetServer(), server)
			}
			if stamp := d.SetHeaders[0].Value; strings.HasSuffix(stamp, "-v3") != (server == "orders-v3") {
				t.Errorf("a call for %s has the stamp %q", server, stamp)
			}
		}
		if len(sides) != 1 {
			t.Fatalf("caller %d is on several sides: %v", i, sides)
		}
		if sides["orders-v3"] > 0 {
			over++
		}
		if d := decided(t, half, with(toolCall("stock_get", "{}"))); d.Action.GetServer() != "stock" {
			t.Errorf("a call for stock goes to %s", d.Action.GetServer())
		}
	}
	if over < callers*2/5 || over > callers*3/5 {
		t.Errorf("%d of %d callers are with the successor, which has half of them", over, callers)
	}
}

// TestSessionsStayWithTheirServer, whatever the share is now; so do tasks.
func TestSessionsStayWithTheirServer(t *testing.T) {
	t.Parallel()
	for _, share := range []uint32{0, 100} {
		compiled := table(t, succeeded(share))
		owners := sessions{"old": "orders", "new": "orders-v3", "foreign": "stock"}
		in := func(id string, r *decide.Request) *decide.Request {
			r.Header = append(r.Header.(headers), "mcp-session-id: "+id, "mcp-protocol-version: 2025-11-25", "authorization: Bearer a")
			r.Sessions = owners
			return r
		}
		byCaller := "orders"
		if share == 100 {
			byCaller = "orders-v3"
		}
		for id, want := range map[string]string{"old": "orders", "new": "orders-v3", "foreign": byCaller, "unknown": byCaller} {
			for _, r := range []*decide.Request{toolCall("get_order", "{}"), {Verb: "GET", Path: "/mcp", Header: headers{}}, {Verb: "DELETE", Path: "/mcp", Header: headers{}}} {
				if d := decided(t, compiled, in(id, r)); d.Action.GetServer() != want {
					t.Errorf("%s of session %q at %d %% goes to %s, want %s", r.Verb, id, share, d.Action.GetServer(), want)
				}
			}
		}
	}
}

func TestSuccessorsThatCannotBe(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*policyv1.Action){
		"above 100":                  func(a *policyv1.Action) { a.Successor.Share = 101 },
		"that it takes over from":    func(a *policyv1.Action) { a.Successor.Action.Server = "orders" },
		"successors have none":       func(a *policyv1.Action) { a.Successor.Action.Successor = &policyv1.Successor{} },
		"is not that of the action":  func(a *policyv1.Action) { a.Successor.Action.Safe = true },
		"not one of the policy's":    func(a *policyv1.Action) { a.Successor.Action.Server = "mars" },
		"successor.action: is missi": func(a *policyv1.Action) { a.Successor.Action = nil },
	} {
		p := succeeded(10)
		spoil(p.GetOtherMethod())
		if _, err := decide.Compile([]*policyv1.RoutePolicy{p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
