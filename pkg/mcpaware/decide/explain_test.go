package decide_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestExplainGolden(t *testing.T) {
	cases := map[string]*decide.Request{
		"first-rule":      toolCall("list_orders", `{"channel":"web"}`),
		"later-rule":      toolCall("stock_list", `{"channel":"web"}`),
		"argument-rule":   toolCall("audit", `{"warehouse":[{"name":"Mumbai"}]}`),
		"unmatched":       toolCall("create_order", `{"warehouse":[{"name":"`+strings.Repeat("n", 200)+`"}]}`),
		"next-leg":        modern("tools/call", `"name":"get_order","requestState":"s"`, "get_order"),
		"list":            modern("tools/list", "", ""),
		"listen":          modern("subscriptions/listen", "", ""),
		"unknown-method":  modern("x/y", "", ""),
		"initialize":      post(`{"jsonrpc":"2.0","id":1,"method":"initialize"}`),
		"initialize-old":  post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}`),
		"notification":    post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`),
		"stream":          {Verb: "GET", Path: "/mcp", Header: headers{}},
		"delete":          {Verb: "DELETE", Path: "/mcp", Header: headers{}},
		"refused-header":  {Verb: "PUT", Path: "/mcp", Header: headers{}},
		"refused-path":    {Verb: "GET", Path: "/x", Header: headers{}},
		"refused-message": post(`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`),
	}
	limited := shopmax()
	limited.Processors = 2
	limited.Servers[1].Concurrency = &policyv1.Concurrency{Limit: 64, Queue: 128, MaxWait: durationpb.New(time.Second)}
	limited.Rules[0].Action.Concurrency = &policyv1.Concurrency{Limit: 8}
	limited.Rules[0].Action.Priority, limited.Rules[0].Action.Cost = 7, 10
	limited.Rules[0].Action.Fallback = &policyv1.Fallback{
		Server: "stock", Tool: "find", Path: "/mcp", FirstPath: "/mcp", Route: "r-on", Direct: "r-direct", Unretried: "r-sparing",
	}
	cases["limited"] = toolCall("list_orders", `{"channel":"web"}`)
	sessions := shopmax()
	for _, s := range sessions.Servers {
		s.Endpoints = []*policyv1.Endpoint{{Name: "a", Address: "127.0.0.1:1"}, {Name: "b", Address: "127.0.0.1:2"}}
		s.ReinitializeSessions, s.SessionPrincipalHeader, s.SessionMaxAge = true, "authorization", durationpb.New(24*time.Hour)
	}
	sessions.Callers = &policyv1.Callers{Header: "authorization", Verified: true}
	cases["session"] = post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	degraded := shopmax()
	degraded.Rules[1].Action.Fallback = limited.Rules[0].Action.GetFallback()
	degraded.Rules[1].Degrade = &policyv1.Degrade{
		CachedResult: &policyv1.CachedResult{MaxAge: durationpb.New(time.Hour), Vary: []string{"x-tenant"}, BeforeFallback: true, Warn: true},
		StaticAnswer: &policyv1.StaticAnswer{StructuredContent: []byte(`{"status":"UNKNOWN"}`)},
	}
	degraded.Rules[4].Arguments = nil
	degraded.Rules[4].Degrade = &policyv1.Degrade{StaticAnswer: &policyv1.StaticAnswer{Text: "Come back at nine.", IsError: true}}
	cases["stand-ins"] = toolCall("get_order", `{"id":1}`)
	cases["stand-ins-next-leg"] = modern("tools/call", `"name":"get_order","requestState":"s"`, "get_order")
	cases["stand-ins-unsafe"] = toolCall("create_order", `{}`)
	plain, withLimits, withSessions, withStandIns := table(t), table(t, limited), table(t, sessions), table(t, degraded)
	for name, request := range cases {
		t.Run(name, func(t *testing.T) {
			rules := plain
			switch name {
			case "limited":
				rules = withLimits
			case "stand-ins", "stand-ins-next-leg", "stand-ins-unsafe":
				rules = withStandIns
			case "session":
				rules = withSessions
			}
			explanation := rules.Explain(request)
			file := filepath.Join("testdata", "explain", name+".golden")
			got := explanation.String()
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v (write it with: go test -update)", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("explanation (-want +got):\n%s", diff)
			}
			// The explanation must be of the decision that is really made.
			decision := rules.Headers(request).Decision
			if request.Verb == "POST" {
				decision = rules.Body(request)
			}
			if explanation.Rule != decision.Rule || explanation.Route != decision.Action.GetRoute() || (explanation.Refused == nil) != (decision.Answer == nil) {
				t.Errorf("explained rule %q, route %q; decided %q, %q", explanation.Rule, explanation.Route, decision.Rule, decision.Action.GetRoute())
			}
		})
	}
	found, err := filepath.Glob("testdata/explain/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if _, used := cases[strings.TrimSuffix(filepath.Base(file), ".golden")]; !used {
			t.Errorf("%s belongs to no case", file)
		}
	}
}

func TestExplainManyRules(t *testing.T) {
	policy := shopmax()
	policy.Rules = nil
	for i := range 250 {
		policy.Rules = append(policy.Rules, &policyv1.ToolRule{Id: fmt.Sprint(i), Glob: fmt.Sprintf("t%d", i), Action: policy.GetUnmatchedTool()})
	}
	got := table(t, policy).Explain(toolCall("t220", `{}`))
	if got.Rule != "220" || len(got.Misses) != 100 || got.MoreMisses != 120 || !strings.Contains(got.String(), "120 more rules") {
		t.Errorf("rule %q, %d misses and %d more", got.Rule, len(got.Misses), got.MoreMisses)
	}
}
