package decide_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

func TestToolRules(t *testing.T) {
	tests := map[string]struct{ tool, arguments, rule string }{
		"exact with argument":         {"list_orders", `{"channel":"web"}`, "tools[0]"},
		"second of the values":        {"list_orders", `{"channel":"\u0061pp"}`, "tools[0]"},
		"argument differs":            {"list_orders", `{"channel":"WEB"}`, "tools[2]"},
		"argument of another type":    {"list_orders", `{"channel":["web"]}`, "tools[2]"},
		"argument missing":            {"list_orders", `{}`, "tools[2]"},
		"name in another case":        {"List_orders", `{"channel":"web"}`, decide.RuleUnmatchedTool},
		"glob before exact":           {"get_order", `{}`, "tools[1]"},
		"regex":                       {"stock_get", `{}`, "tools[3]"},
		"regex must match all":        {"stock_gets", `{}`, decide.RuleUnmatchedTool},
		"regex, second branch, whole": {"my_stock_list", `{}`, decide.RuleUnmatchedTool},
		"any name with an argument":   {"x", `{"warehouse":[{"name":"Mumbai"}]}`, "tools[4]"},
		"the argument elsewhere":      {"x", `{"warehouse":[{},{"name":"Mumbai"}]}`, decide.RuleUnmatchedTool},
		"the regex not all of it":     {"x", `{"warehouse":[{"name":"Navi Mumbai"}]}`, decide.RuleUnmatchedTool},
		"no text":                     {"x", `{"warehouse":[{"name":5}]}`, decide.RuleUnmatchedTool},
		"nothing":                     {"x", `null`, decide.RuleUnmatchedTool},
	}
	rules := table(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := rules.Body(toolCall(test.tool, test.arguments))
			if got.Answer != nil || got.Rule != test.rule {
				t.Errorf("rule %q, want %q", got.Rule, test.rule)
			}
		})
	}
}

func TestUnrepeatableCallsUseTheTwin(t *testing.T) {
	rules := table(t)
	for _, member := range []string{`"inputResponses":{"a":1}`, `"requestState":"x"`, `"requestState":null`, `"inputResponse\u0073":[]`} {
		got := rules.Body(post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order",` + member + `}}`))
		if got.Action.GetRoute() != "r-tools[1]-once" || got.Action.GetSafe() || got.Call.GetSafe() {
			t.Errorf("%s: route %q, safe %v", member, got.Action.GetRoute(), got.Call.GetSafe())
		}
	}
}

func TestArguments(t *testing.T) {
	tests := []struct {
		pointer   string
		in        string
		arguments string
		want      bool
	}{
		{"/n", `1`, `{"n":1}`, true},
		{"/n", `1`, `{"n":1.0}`, true},
		{"/n", `100`, `{"n":1e2}`, true},
		{"/n", `1`, `{"n":"1"}`, false},
		{"/n", `"1"`, `{"n":1}`, false},
		{"/n", `9007199254740993`, `{"n":9007199254740992}`, false},
		{"/n", `1`, `{"n":1e999999999999}`, false},
		{"/n", `true`, `{"n":true}`, true},
		{"/n", `"true"`, `{"n":true}`, false},
		{"/n", `null`, `{"n":null}`, true},
		{"/n", `null`, `{}`, false},
		{"/n", `""`, `{"n":""}`, true},
		{"/n", `"a\"b"`, `{"n":"a\u0022b"}`, true},
		{"/n", `"\ufffd"`, `{"n":"\ud800"}`, false},
		{"/a~1b/~0", `1`, `{"a/b":{"~":1}}`, true},
		{"/a/1", `1`, `{"a":[0,1]}`, true},
		{"/a/1", `1`, `{"a":{"1":1}}`, true},
		{"/a/01", `1`, `{"a":[0,1]}`, false},
		{"/", `1`, `{"":1}`, true},
		{"", `1`, `1`, true},
		{"", `1`, `{"":1}`, false},
		{"/n/x", `1`, `{"n":1}`, false},
	}
	for _, test := range tests {
		policy := shopmax()
		policy.Rules = []*policyv1.ToolRule{{
			Id: "r", Action: policy.GetUnmatchedTool(), Arguments: []*policyv1.ArgumentMatch{{Pointer: test.pointer, In: []string{test.in}}},
		}}
		got := table(t, policy).Body(toolCall("x", test.arguments))
		if got.Answer != nil || (got.Rule == "r") != test.want {
			t.Errorf("%q in [%s] of %s: rule %q", test.pointer, test.in, test.arguments, got.Rule)
		}
	}
}

func TestGlobs(t *testing.T) {
	tests := []struct {
		glob, name string
		want       bool
	}{
		{"*", "x", true},
		{"get_*", "get_", true},
		{"get_*", "xget_a", false},
		{"*_order", "get_order", true},
		{"*_order", "get_orders", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a**c", "ac", true},
		{"?", "é", true},
		{"?", "éé", false},
		{"?", "ab", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*é", "caféé", true},
		{"[a]*", "a", false},
		{"[a]*", "[a]", true},
		{"a.c*", "abc", false},
		{strings.Repeat("a*", 100) + "b", strings.Repeat("a", 1000), false},
	}
	for _, test := range tests {
		policy := shopmax()
		policy.Rules = []*policyv1.ToolRule{{Id: "r", Glob: test.glob, Action: policy.GetUnmatchedTool()}}
		if got := table(t, policy).Body(toolCall(test.name, `{}`)); (got.Rule == "r") != test.want {
			t.Errorf("glob %q on %q: rule %q", test.glob, test.name, got.Rule)
		}
	}
}

// The index of exact names must not change which rule is first.
func TestFirstMatchWins(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		policy := shopmax()
		policy.Rules = nil
		for i := range random.IntN(12) {
			r := &policyv1.ToolRule{Id: fmt.Sprintf("tools[%d]", i), Action: policy.GetUnmatchedTool()}
			letters := strings.Repeat("a", random.IntN(2)) + strings.Repeat("b", random.IntN(2))
			switch random.IntN(4) {
			case 0:
				r.Glob = letters + "*"
			case 1:
				r.Regex = letters + ".?"
			default:
				r.Glob = letters
			}
			if random.IntN(3) == 0 {
				r.Arguments = []*policyv1.ArgumentMatch{{Pointer: "/x", In: []string{fmt.Sprint(random.IntN(2))}}}
			}
			policy.Rules = append(policy.Rules, r)
		}
		rules := table(t, policy)
		for _, name := range []string{"a", "b", "ab", "abc", "ba"} {
			x := fmt.Sprint(random.IntN(2))
			want := naive(policy.GetRules(), name, x)
			if got := rules.Body(toolCall(name, `{"x":`+x+`}`)); got.Rule != want {
				t.Fatalf("%q with x=%s: rule %q, want %q of %v", name, x, got.Rule, want, policy.GetRules())
			}
		}
	}
}

func naive(rules []*policyv1.ToolRule, name, x string) string {
	for _, r := range rules {
		pattern := r.GetRegex()
		if pattern == "" && r.GetGlob() != "" {
			pattern = strings.ReplaceAll(regexp.QuoteMeta(r.GetGlob()), `\*`, ".*")
		}
		if pattern != "" && !regexp.MustCompile("^("+pattern+")$").MatchString(name) {
			continue
		}
		if len(r.GetArguments()) > 0 && r.GetArguments()[0].GetIn()[0] != x {
			continue
		}
		return r.GetId()
	}
	return decide.RuleUnmatchedTool
}

func TestCompileRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*policyv1.RoutePolicy)
		want   string
	}{
		"no name":             {func(p *policyv1.RoutePolicy) { p.Name = "" }, `policy 0: name: is empty`},
		"relative path":       {func(p *policyv1.RoutePolicy) { p.Path = "mcp" }, `path: "mcp" is not an absolute path`},
		"path with a query":   {func(p *policyv1.RoutePolicy) { p.Path = "/mcp?x" }, `path: "/mcp?x" is not an absolute path`},
		"no servers":          {func(p *policyv1.RoutePolicy) { p.Servers = nil }, `servers: is empty`},
		"nameless server":     {func(p *policyv1.RoutePolicy) { p.Servers[1].Name = "" }, `servers[1].name: is empty`},
		"server twice":        {func(p *policyv1.RoutePolicy) { p.Servers[1].Name = "orders" }, `servers[1].name: "orders" is there twice`},
		"endpoint of no port": {func(p *policyv1.RoutePolicy) { p.Servers[0].Endpoints[0].Address = "mumbai" }, `servers[0].endpoints[0].address: "mumbai" is not host:port`},
		"nameless endpoint":   {func(p *policyv1.RoutePolicy) { p.Servers[0].Endpoints[0].Name = "" }, `servers[0].endpoints[0].name: is empty`},
		"endpoint twice": {func(p *policyv1.RoutePolicy) {
			p.Servers[0].Endpoints = append(p.Servers[0].Endpoints, p.Servers[0].Endpoints[0])
		}, `servers[0].endpoints[1].address: "127.0.0.1:7101" is there twice`},
		"no style":             {func(p *policyv1.RoutePolicy) { p.Errors = 0 }, `errors: ERROR_STYLE_UNSPECIFIED is not a known style`},
		"no body":              {func(p *policyv1.RoutePolicy) { p.MaxBodyBytes = 0 }, `max_body_bytes: 0 is not within 1 to 67108864`},
		"negative age":         {func(p *policyv1.RoutePolicy) { p.StaleListMaxAge.Seconds = -1 }, `stale_list_max_age: is not a duration`},
		"no action":            {func(p *policyv1.RoutePolicy) { p.Stream = nil }, `stream: is missing`},
		"no route":             {func(p *policyv1.RoutePolicy) { p.OtherMethod.Route = "" }, `other_method.route: "" cannot be a header value`},
		"a route of two lines": {func(p *policyv1.RoutePolicy) { p.OtherMethod.Route = "a\nb" }, `other_method.route: "a\nb" cannot be a header value`},
		"unknown server":       {func(p *policyv1.RoutePolicy) { p.Delete.Server = "x" }, `delete.server: "x" is not one of the policy's servers`},
		"no attempts":          {func(p *policyv1.RoutePolicy) { p.UnmatchedTool.Attempts = 0 }, `unmatched_tool.attempts: 0 is not within 1 to 10`},
		"many attempts":        {func(p *policyv1.RoutePolicy) { p.UnmatchedTool.Attempts = 11 }, `unmatched_tool.attempts: 11 is not within 1 to 10`},
		"tries longer":         {func(p *policyv1.RoutePolicy) { p.UnmatchedTool.Timeout.Seconds = 0; p.UnmatchedTool.Timeout.Nanos = 1 }, `unmatched_tool.per_try_timeout: 1s is longer than the timeout of 1ns`},
		"safe other methods":   {func(p *policyv1.RoutePolicy) { p.OtherMethod.Safe = true }, `other_method.safe: must not be set`},
		"safe delete":          {func(p *policyv1.RoutePolicy) { p.Delete.Safe = true }, `delete.safe: must not be set`},
		"safe without a twin":  {func(p *policyv1.RoutePolicy) { p.SafeMethodOnce = nil }, `safe_method_once: is missing`},
		"safe tools, no twin":  {func(p *policyv1.RoutePolicy) { p.UnmatchedTool.Safe = true }, `unmatched_tool_once: is missing`},
		"safe twin":            {func(p *policyv1.RoutePolicy) { p.Rules[1].Once.Safe = true }, `rules[1].once.safe: must not be set`},
		"twin elsewhere":       {func(p *policyv1.RoutePolicy) { p.Rules[1].Once.Server = "stock" }, `rules[1].once.server: "stock" is not "orders"`},
		"nameless rule":        {func(p *policyv1.RoutePolicy) { p.Rules[0].Id = "" }, `rules[0].id: is empty`},
		"rule twice":           {func(p *policyv1.RoutePolicy) { p.Rules[1].Id = "tools[0]" }, `rules[1].id: "tools[0]" is there twice`},
		"rule of no action":    {func(p *policyv1.RoutePolicy) { p.Rules[0].Action = nil }, `rules[0].action: is missing`},
		"glob and regex":       {func(p *policyv1.RoutePolicy) { p.Rules[0].Regex = "x" }, `rules[0]: has both a glob and a regex`},
		"long glob":            {func(p *policyv1.RoutePolicy) { p.Rules[0].Glob = strings.Repeat("x", 5000) }, `rules[0].glob: has more than 4096 bytes`},
		"bad regex":            {func(p *policyv1.RoutePolicy) { p.Rules[3].Regex = "(" }, `rules[3].regex: error parsing regexp`},
		"regex out of bounds":  {func(p *policyv1.RoutePolicy) { p.Rules[3].Regex = "a)|(?:b" }, `rules[3].regex: error parsing regexp`},
		"regex left open":      {func(p *policyv1.RoutePolicy) { p.Rules[3].Regex = `\Qa` }, `rules[3].regex: cannot be anchored`},
		"bad pointer":          {func(p *policyv1.RoutePolicy) { p.Rules[0].Arguments[0].Pointer = "channel" }, `rules[0].arguments[0].pointer: "channel" is not a JSON pointer`},
		"bad escape":           {func(p *policyv1.RoutePolicy) { p.Rules[0].Arguments[0].Pointer = "/a~2" }, `rules[0].arguments[0].pointer: "/a~2" is not a JSON pointer`},
		"bad value":            {func(p *policyv1.RoutePolicy) { p.Rules[0].Arguments[0].In[1] = "web" }, `rules[0].arguments[0].in: "web" is not a JSON scalar`},
		"an object as value":   {func(p *policyv1.RoutePolicy) { p.Rules[0].Arguments[0].In[1] = "{}" }, `rules[0].arguments[0].in: "{}" is not a JSON scalar`},
		"nothing to test":      {func(p *policyv1.RoutePolicy) { p.Rules[0].Arguments[0].In = nil }, `rules[0].arguments[0]: needs either in or regex`},
		"two tests":            {func(p *policyv1.RoutePolicy) { p.Rules[0].Arguments[0].Regex = "x" }, `rules[0].arguments[0]: needs either in or regex`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			policy := shopmax()
			test.change(policy)
			compiled, err := decide.Compile([]*policyv1.RoutePolicy{policy})
			if err == nil || compiled != nil {
				t.Fatal("compiled")
			}
			// A server that is not there is missed by the actions too.
			if first, _, _ := strings.Cut(err.Error(), "\n"); !strings.Contains(first, test.want) {
				t.Errorf("error %q, want one that begins with %q", err, test.want)
			}
		})
	}
}

func TestCompileSeveral(t *testing.T) {
	other := shopmax()
	other.Name, other.Path = "other", "/other/mcp"
	rules := table(t, shopmax(), other)
	if route, ok := rules.Policy("other"); !ok || route.Policy().GetPath() != "/other/mcp" || rules.Len() != 2 {
		t.Errorf("policy other: %v, %v of %d", route, ok, rules.Len())
	}
	if _, ok := rules.Route("/mcp?x"); ok {
		t.Error("a path with a query has a route")
	}
	clash := proto.CloneOf(other)
	clash.Path = "/mcp"
	_, err := decide.Compile([]*policyv1.RoutePolicy{shopmax(), clash, shopmax()})
	if err == nil || !strings.Contains(err.Error(), `policy "other": path: "/mcp" is that of policy "shopmax" too`) ||
		!strings.Contains(err.Error(), `policy "shopmax": name: is that of two policies`) {
		t.Errorf("error %v", err)
	}
	if empty, err := decide.Compile(nil); err != nil || empty.Len() != 0 {
		t.Errorf("no policies: %v, %v", empty, err)
	}
}
