package decide_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func rateLimit(id string, key uint64, by ...string) *policyv1.RateLimit {
	return &policyv1.RateLimit{Id: id, Key: key, Requests: 5, Per: durationpb.New(time.Second), By: by}
}

// limitedTable has one limit for the route and one for get_*.
func limitedTable(t testing.TB, route, rule []string, change ...func(*policyv1.RoutePolicy)) *decide.Table {
	t.Helper()
	p := shopmax()
	p.RateLimits = []*policyv1.RateLimit{rateLimit("shopmax rateLimits[0]", 1, route...)}
	p.Rules[1].RateLimits = []*policyv1.RateLimit{rateLimit("shopmax tools[1].rateLimits[0]", 2, rule...)}
	p.Rules[1].Action.Cost = 3
	p.Callers = &policyv1.Callers{Header: "authorization"}
	for _, f := range change {
		f(p)
	}
	return table(t, p)
}

func charges(t *testing.T, table *decide.Table, r *decide.Request) []limit.Charge {
	t.Helper()
	d := table.Body(r)
	if d.Answer != nil {
		t.Fatalf("refused: %s", d.Answer.Body)
	}
	return d.Charges(r)
}

func request(body string, lines ...string) *decide.Request { return post(body, lines...) }

// TestCharges: which limits a message counts for, and how much.
func TestCharges(t *testing.T) {
	table, unlimited := limitedTable(t, nil, nil), table(t)
	for _, c := range []struct {
		name, body string
		want       string
	}{
		{"rule and route", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}}`, "shopmax rateLimits[0] 3, shopmax tools[1].rateLimits[0] 3"},
		{"other rule", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"stock_get"}}`, "shopmax rateLimits[0] 1"},
		{"list", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "shopmax rateLimits[0] 1"},
		{"ping", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, ""},
		{"initialize", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`, ""},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, ""},
		{
			"batch", `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}},` +
				`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"get_stock"}},{"jsonrpc":"2.0","id":3,"method":"ping"},` +
				`{"jsonrpc":"2.0","method":"notifications/cancelled"},{"jsonrpc":"2.0","id":4,"method":"tools/list"}]`,
			"shopmax rateLimits[0] 7, shopmax tools[1].rateLimits[0] 6",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, one := range charges(t, table, request(c.body)) {
				got = append(got, one.Rule.ID+" "+string(rune('0'+one.Units)))
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
	if got := charges(t, limitedTable(t, []string{"tool"}, nil), request(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)); len(got) != 0 {
		t.Errorf("a limit by tool counts a list: %v", got)
	}
	if got := charges(t, unlimited, request(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)); got != nil {
		t.Errorf("without limits: %v", got)
	}
}

// TestKeys: what counts together has one key, and nothing else has.
func TestKeys(t *testing.T) {
	call := func(tool, arguments string, lines ...string) *decide.Request {
		return request(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`}}`, lines...)
	}
	from := func(address string) string { return "x-forwarded-for: " + address }
	const alice, bob = "authorization: Bearer alice", "authorization: Bearer bob"
	proxies := func(p *policyv1.RoutePolicy) { p.Callers.TrustedProxies = []string{"10.0.0.0/8", "fd00::/8"} }
	checked := func(p *policyv1.RoutePolicy) { p.Callers.Verified = true }
	const subject = names.HeaderSubject + ": alice"
	for _, c := range []struct {
		name    string
		by      []string
		a, b    *decide.Request
		same    bool
		changes []func(*policyv1.RoutePolicy)
	}{
		{name: "all together", a: call("get_a", `{}`, alice), b: call("get_b", `{}`, bob), same: true},
		{name: "one caller", by: []string{"principal"}, a: call("get_a", `{}`, alice), b: call("get_b", `{}`, alice, from("1.2.3.4")), same: true},
		{name: "two callers", by: []string{"principal"}, a: call("get_a", `{}`, alice), b: call("get_a", `{}`, bob)},
		{name: "two addresses", by: []string{"principal"}, a: call("get_a", `{}`, from("1.2.3.4")), b: call("get_a", `{}`, from("1.2.3.5"))},
		{name: "a client's word", by: []string{"principal"}, a: call("get_a", `{}`, from("9.9.9.9, 1.2.3.4")), b: call("get_a", `{}`, from("1.2.3.4")), same: true},
		{name: "a proxy nobody trusts", by: []string{"principal"}, a: call("get_a", `{}`, from("9.9.9.9, 10.1.1.1")), b: call("get_a", `{}`, from("8.8.8.8, 10.1.1.1")), same: true},
		{name: "behind proxies", by: []string{"principal"}, a: call("get_a", `{}`, from("6.6.6.6, 9.9.9.9, 10.1.1.1"), from("10.2.2.2")), b: call("get_a", `{}`, from("9.9.9.9,10.9.9.9")), same: true, changes: []func(*policyv1.RoutePolicy){proxies}},
		{name: "two behind proxies", by: []string{"principal"}, a: call("get_a", `{}`, from("9.9.9.9, 10.1.1.1")), b: call("get_a", `{}`, from("8.8.8.8, 10.1.1.1")), changes: []func(*policyv1.RoutePolicy){proxies}},
		{name: "one IPv6 network", by: []string{"principal"}, a: call("get_a", `{}`, from("2001:db8:1:2::1")), b: call("get_a", `{}`, from("2001:db8:1:2:ffff::2")), same: true},
		{name: "two IPv6 networks", by: []string{"principal"}, a: call("get_a", `{}`, from("2001:db8:1:2::1")), b: call("get_a", `{}`, from("2001:db8:1:3::1"))},
		{name: "one subject", by: []string{"principal"}, a: call("get_a", `{}`, subject, alice), b: call("get_a", `{}`, subject, bob, from("1.2.3.4")), same: true, changes: []func(*policyv1.RoutePolicy){checked}},
		{name: "two subjects", by: []string{"principal"}, a: call("get_a", `{}`, subject, alice), b: call("get_a", `{}`, names.HeaderSubject+": bob", alice), changes: []func(*policyv1.RoutePolicy){checked}},
		{name: "no subject", by: []string{"principal"}, a: call("get_a", `{}`, alice), b: call("get_a", `{}`, bob), changes: []func(*policyv1.RoutePolicy){checked}},
		{name: "a subject nobody checked", by: []string{"principal"}, a: call("get_a", `{}`, subject, alice), b: call("get_a", `{}`, subject, bob)},
		{name: "a subject like a header", by: []string{"principal"}, a: call("get_a", `{}`, names.HeaderSubject+": Bearer alice"), b: call("get_a", `{}`, alice), changes: []func(*policyv1.RoutePolicy){checked}},
		{name: "two tools", by: []string{"tool"}, a: call("get_a", `{}`), b: call("get_b", `{}`)},
		{name: "one server", by: []string{"server"}, a: call("get_a", `{}`), b: call("get_b", `{}`), same: true},
		{name: "two sessions", by: []string{"session"}, a: call("get_a", `{}`, "mcp-session-id: a"), b: call("get_a", `{}`, "mcp-session-id: b")},
		{name: "no session", by: []string{"session"}, a: call("get_a", `{}`, alice), b: call("get_a", `{}`, bob)},
		{name: "one value", by: []string{"/order/id"}, a: call("get_a", `{"order":{"id":10}}`), b: call("get_b", `{"x":1,"order":{"id":1e1}}`), same: true},
		{name: "one text", by: []string{"/id"}, a: call("get_a", `{"id":"a"}`), b: call("get_a", `{"id":"\u0061"}`), same: true},
		{name: "number and text", by: []string{"/id"}, a: call("get_a", `{"id":1}`), b: call("get_a", `{"id":"1"}`)},
		{name: "one object", by: []string{"/id"}, a: call("get_a", `{"id":{"a":1,"b":[2]}}`), b: call("get_a", `{"id":{ "b" : [ 2.0 ], "a":1}}`), same: true},
		{name: "nothing and null", by: []string{"/id"}, a: call("get_a", `{}`), b: call("get_a", `{"id":null}`)},
		{name: "values in two places", by: []string{"/a", "/b"}, a: call("get_a", `{"a":1,"b":2}`), b: call("get_a", `{"a":2,"b":1}`)},
		{name: "caller and tool", by: []string{"principal", "tool"}, a: call("get_a", `{}`, alice), b: call("get_b", `{}`, alice)},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := limitedTable(t, nil, c.by, c.changes...)
			a, b := charges(t, table, c.a)[1], charges(t, table, c.b)[1]
			if (a.Key == b.Key) != c.same {
				t.Errorf("keys %s and %s, want the same: %v", a.Key, b.Key, c.same)
			}
		})
	}
}

// TestHeaderNone: where no header names callers, addresses do.
func TestHeaderNone(t *testing.T) {
	table := limitedTable(t, nil, []string{"principal"}, func(p *policyv1.RoutePolicy) { p.Callers = nil })
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_a"}}`
	a := charges(t, table, request(body, "authorization: a", "x-forwarded-for: 1.1.1.1"))
	b := charges(t, table, request(body, "authorization: b", "x-forwarded-for: 1.1.1.1"))
	if a[1].Key != b[1].Key {
		t.Error("the header counted")
	}
}

// TestDiscoverCharge: only server/discover has one.
func TestDiscoverCharge(t *testing.T) {
	table := limitedTable(t, nil, nil, func(p *policyv1.RoutePolicy) { p.DiscoverLimit = rateLimit("shopmax discoverLimit", 3, "principal") })
	r := modern("server/discover", "", "")
	d := table.Body(r)
	if c, ok := d.DiscoverCharge(r); !ok || c.Rule.ID != "shopmax discoverLimit" {
		t.Errorf("%+v, %v", c, ok)
	}
	if len(d.Charges(r)) != 0 {
		t.Error("server/discover counts for call limits")
	}
	r = modern("tools/list", "", "")
	if d = table.Body(r); d.Answer != nil {
		t.Fatalf("%s", d.Answer.Body)
	}
	if _, ok := d.DiscoverCharge(r); ok {
		t.Error("tools/list has one")
	}
}

// TestBadLimits: the compiler refuses what no control plane should send.
func TestBadLimits(t *testing.T) {
	for want, change := range map[string]func(*policyv1.RateLimit){
		"id: is empty":              func(l *policyv1.RateLimit) { l.Id = "" },
		"requests: 0 is not within": func(l *policyv1.RateLimit) { l.Requests = 0 },
		"per: 0s is not within":     func(l *policyv1.RateLimit) { l.Per = nil },
		`"caller" is neither`:       func(l *policyv1.RateLimit) { l.By = []string{"caller"} },
		"~ stands only in":          func(l *policyv1.RateLimit) { l.By = []string{"/a~x"} },
	} {
		p := shopmax()
		p.RateLimits = []*policyv1.RateLimit{rateLimit("a", 1)}
		change(p.RateLimits[0])
		if _, err := decide.Compile([]*policyv1.RoutePolicy{p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestExplainRates: what people read of the limits of a message.
func TestExplainRates(t *testing.T) {
	table := limitedTable(t, []string{"principal"}, []string{"tool", "/id"})
	text := table.Explain(toolCall("get_order", `{"id":1}`)).String()
	for _, want := range []string{
		"5 in any 1s from each caller, this counts as 3 (shopmax rateLimits[0])",
		"5 in any 1s of each tool, for each value of /id, this counts as 3 (shopmax tools[1].rateLimits[0])",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}
