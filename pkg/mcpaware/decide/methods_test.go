package decide_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

// timed is shopmax with rules for methods, a back-off and a budget.
func timed() *policyv1.RoutePolicy {
	p := shopmax()
	method := func(id, glob string) *policyv1.MethodRule {
		return &policyv1.MethodRule{Id: id, Glob: glob, Safe: action("m-safe-"+id, "orders", true), Once: action("m-once-"+id, "orders", false)}
	}
	p.Methods = []*policyv1.MethodRule{method("methods[0]", "tools/list"), method("methods[1]", "resources/*"), method("methods[2]", "*")}
	get := p.GetRules()[1].GetAction()
	get.Unretried, get.IdleTimeout = "r-get-unretried", durationpb.New(time.Minute)
	get.BackOff = &policyv1.BackOff{Base: durationpb.New(20 * time.Millisecond), Max: durationpb.New(100 * time.Millisecond)}
	p.GetServers()[0].RetryBudget = &policyv1.RetryBudget{Percent: 20, Floor: 100}
	return p
}

// TestMethodRules: the first rule that matches a method decides; what may not be sent
// twice takes its other action; tool calls and event streams have none.
func TestMethodRules(t *testing.T) {
	rules := table(t, timed())
	for _, c := range []struct {
		request     *decide.Request
		rule, route string
	}{
		{modern("tools/list", "", ""), "methods[0]", "m-safe-methods[0]"},
		{modern("resources/list", "", ""), "methods[1]", "m-safe-methods[1]"},
		{modern("resources/read", `"uri":"x:y","requestState":"s"`, "x:y"), "methods[1]", "m-once-methods[1]"},
		{post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x:y"}}`), "methods[1]", "m-once-methods[1]"},
		{modern("x/y", "", ""), "methods[2]", "m-once-methods[2]"},
		{modern("prompts/list", "", ""), "methods[2]", "m-safe-methods[2]"},
		{toolCall("get_order", `{}`), "tools[1]", "r-tools[1]"},
		{modern("subscriptions/listen", "", ""), decide.RuleStream, "r-stream"},
		{post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`), decide.RuleOtherMethod, "r-other"},
	} {
		got := rules.Body(c.request)
		if got.Rule != c.rule || got.Action.GetRoute() != c.route {
			t.Errorf("%s: rule %q, route %q, want %q, %q", c.request.Body, got.Rule, got.Action.GetRoute(), c.rule, c.route)
		}
	}
}

// TestExplainTries: what bounds the tries of a message is told, and nothing where nothing does.
func TestExplainTries(t *testing.T) {
	rules := table(t, timed())
	text := rules.Explain(toolCall("get_order", `{}`)).String()
	for _, want := range []string{
		"at most 3 tries; safe",
		"a random wait below 20ms, twice as long each time, up to 100ms",
		"at most 20% of these calls and 100 more of the server's",
		"(Envoy route r-get-unretried)",
		"3s, per try 1s, between events 1m0s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if text := rules.Explain(modern("tools/list", "", "")).String(); !strings.Contains(text, `the first rule that matches: method "tools/list"`) ||
		strings.Contains(text, "random wait") || strings.Contains(text, "in any 10 s") {
		t.Errorf("a method with a rule and no budget:\n%s", text)
	}
}

func TestCompileRefusesTries(t *testing.T) {
	for want, spoil := range map[string]func(*policyv1.RoutePolicy){
		"methods[0].glob":                  func(p *policyv1.RoutePolicy) { p.Methods[0].Glob = "" },
		"methods[0].id":                    func(p *policyv1.RoutePolicy) { p.Methods[0].Id = "" },
		"methods[1].once: is missing":      func(p *policyv1.RoutePolicy) { p.Methods[1].Once = nil },
		"methods[1].once.safe":             func(p *policyv1.RoutePolicy) { p.Methods[1].Once.Safe = true },
		"rules[1].action.unretried":        func(p *policyv1.RoutePolicy) { p.Rules[1].Action.Unretried = p.Rules[1].Action.Route },
		"rules[1].action.back_off.base":    func(p *policyv1.RoutePolicy) { p.Rules[1].Action.BackOff.Base = durationpb.New(-1) },
		"rules[1].action.idle_timeout":     func(p *policyv1.RoutePolicy) { p.Rules[1].Action.IdleTimeout = durationpb.New(-1) },
		"servers[0].retry_budget.percent:": func(p *policyv1.RoutePolicy) { p.Servers[0].RetryBudget.Percent = 101 },
	} {
		p := timed()
		spoil(p)
		if table, err := decide.Compile([]*policyv1.RoutePolicy{p}); err == nil || table != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
