package decide_test

import (
	"strings"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

// large is a tools/call of which only the headers are there.
func large(tool string, change func(headers) headers) *decide.Request {
	h := headers{
		"content-type: application/json", "content-length: 70000", "mcp-protocol-version: 2026-07-28",
		"mcp-method: tools/call", "mcp-name: " + tool,
	}
	if change != nil {
		h = change(h)
	}
	return &decide.Request{
		Verb: "POST", Path: "/mcp", Header: h, RequestID: "r",
		Verified: func(s *policyv1.Server) bool { return s.GetVerifiedPath() == "/mcp" },
	}
}

func replaced(from, to string) func(headers) headers {
	return func(h headers) headers {
		return strings.Split(strings.Replace(strings.Join(h, "\n"), from, to, 1), "\n")
	}
}

// TestExplainLargeBodies: people are told where bodies go unread.
func TestExplainLargeBodies(t *testing.T) {
	for path, want := range map[string]bool{"/mcp": true, "": false} {
		p := shopmax()
		p.Servers[0].VerifiedPath = path
		request := modern("tools/call", `"name":"get_order","arguments":{}`, "get_order")
		text := table(t, p).Explain(request).String()
		if got := strings.Contains(text, "above 64 KiB they go on unread"); got != want {
			t.Errorf("verified path %q: told %v, want %v:\n%s", path, got, want, text)
		}
	}
}

// TestLargeBodiesGoUnread where the server compares headers with them, and nothing that is
// decided depends on more than those.
func TestLargeBodiesGoUnread(t *testing.T) {
	verified := func(change func(*policyv1.RoutePolicy)) *policyv1.RoutePolicy {
		p := shopmax()
		p.MaxBodyBytes = 1 << 20
		for _, s := range p.GetServers() {
			s.VerifiedPath = "/mcp"
		}
		if change != nil {
			change(p)
		}
		return p
	}
	for name, c := range map[string]struct {
		policy  *policyv1.RoutePolicy
		request *decide.Request
		route   string
	}{
		"unmatched":            {verified(nil), large("get_order", replaced("get_order", "other")), ""},
		"a safe rule":          {verified(nil), large("get_order", nil), "r-tools[1]-once"},
		"64 KiB":               {verified(nil), large("get_order", replaced("70000", "65536")), ""},
		"no length":            {verified(nil), large("get_order", replaced("content-length: 70000", "x-y: z")), ""},
		"two lengths":          {verified(nil), large("get_order", func(h headers) headers { return append(h, "content-length: 70000") }), ""},
		"an older revision":    {verified(nil), large("get_order", replaced("2026-07-28", "2025-11-25")), ""},
		"another method":       {verified(nil), large("get_order", replaced("tools/call", "tools/list")), ""},
		"no name":              {verified(nil), large("get_order", replaced("mcp-name: get_order", "x-y: z")), ""},
		"a name not encoded":   {verified(nil), large("get_order", replaced("get_order", "é")), ""},
		"a rule for arguments": {verified(nil), large("list_orders", nil), ""},
		"not verified":         {verified(func(p *policyv1.RoutePolicy) { p.Servers[0].VerifiedPath = "" }), large("get_order", nil), ""},
		"nobody verified": {verified(nil), func() *decide.Request {
			r := large("get_order", nil)
			r.Verified = nil
			return r
		}(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := table(t, c.policy).Headers(c.request)
			if got.Answer != nil || got.Unread == got.NeedBody || got.Unread != (c.route != "") {
				t.Fatalf("unread %v, body needed %v, answer %v", got.Unread, got.NeedBody, got.Answer)
			}
			if got.Unread && (got.Action.GetRoute() != c.route || got.Call.GetSafe() || len(got.Call.GetId()) > 0 || got.Call.GetTool() != "get_order" || !got.Call.GetProgress()) {
				t.Errorf("route %q, call %v", got.Action.GetRoute(), got.Call)
			}
			if got.Unread && !got.Ranked() {
				t.Error("an unread call is outside of all limits")
			}
		})
	}
}
