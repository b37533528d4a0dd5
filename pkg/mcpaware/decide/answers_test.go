package decide_test

import (
	"strings"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func withAnswers(fail, ok []*policyv1.AnswerMatch) *policyv1.RoutePolicy {
	p := shopmax()
	p.Rules[0].FailWhen, p.Rules[0].OkWhen = fail, ok
	return p
}

// TestAnswersCompile: what cannot be tested is refused with its place.
func TestAnswersCompile(t *testing.T) {
	t.Parallel()
	for want, match := range map[string]*policyv1.AnswerMatch{
		"rules[0].fail_when[0]: tests nothing":               {},
		"rules[0].fail_when[0]: needs either in or regex":    {Pointer: "/result/x"},
		"rules[0].fail_when[0].message: error parsing":       {Message: "("},
		"rules[0].fail_when[0].pointer: \"x\" is not a JSON": {Pointer: "x", In: []string{"1"}},
	} {
		_, err := decide.Compile([]*policyv1.RoutePolicy{withAnswers([]*policyv1.AnswerMatch{match}, nil)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", match, err, want)
		}
	}
}

// TestAnswersOrder: failWhen wins, and what neither names is left to MCP's rules.
func TestAnswersOrder(t *testing.T) {
	t.Parallel()
	table, err := decide.Compile([]*policyv1.RoutePolicy{withAnswers(
		[]*policyv1.AnswerMatch{{Message: "gone"}}, []*policyv1.AnswerMatch{{Pointer: "/error/code", In: []string{"1"}}})})
	if err != nil {
		t.Fatal(err)
	}
	route, _ := table.Policy("shopmax")
	tests := route.AnswerTests(route.Policy().GetRules()[0].GetId())
	if tests == nil || route.AnswerTests("tools[99]") != nil {
		t.Fatal("the tests are not those of their rule")
	}
	for body, want := range map[string][2]bool{
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"gone"}}`:                  {true, true},
		`{"jsonrpc":"2.0","id":1,"error":{"code":1.0,"message":"well"}}`:                {false, true},
		`{"jsonrpc":"2.0","id":1,"error":{"code":2,"message":"well"}}`:                  {false, false},
		`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"gone"}]}}`: {true, true},
	} {
		answer, fault := wire.ParseAnswer([]byte(body))
		if fault != nil {
			t.Fatal(fault)
		}
		failed, known := tests.Judge(200, []byte(body), &answer)
		if got := [2]bool{failed, known}; got != want {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
}

// TestAnswersExplained: explain tells what a rule says of answers.
func TestAnswersExplained(t *testing.T) {
	t.Parallel()
	policy := withAnswers(
		[]*policyv1.AnswerMatch{{Status: []uint32{404, 410}, Message: "no such table"}},
		[]*policyv1.AnswerMatch{{Pointer: "/error/code", In: []string{"-32001"}}})
	table, err := decide.Compile([]*policyv1.RoutePolicy{policy})
	if err != nil {
		t.Fatal(err)
	}
	request := post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_orders","arguments":{"channel":"web"}}}`)
	got := table.Explain(request).String()
	for _, want := range []string{"a failure: status in [404, 410], text with no such table", "an answer: /error/code in [-32001]"} {
		if !strings.Contains(got, want) {
			t.Errorf("explain says\n%s\nwithout %q", got, want)
		}
	}
}

// TestPrincipals: callers are told apart by credentials, else by address; what a client
// writes in front of its address does not matter, nor does the processor that asks.
func TestPrincipals(t *testing.T) {
	t.Parallel()
	rules := table(t)
	of := func(headers ...string) uint64 {
		return rules.Body(post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, headers...)).Call.GetPrincipal()
	}
	ann, bob := of("authorization: Bearer ann"), of("authorization: Bearer bob")
	here, there := of("x-forwarded-for: 10.0.0.1"), of("x-forwarded-for: 10.0.0.2")
	if ann == bob || here == there || ann == here || ann == 0 || here == 0 {
		t.Errorf("callers are taken for each other: %d %d %d %d", ann, bob, here, there)
	}
	if again := of("x-forwarded-for: 10.0.0.2, 10.0.0.1"); again != here {
		t.Error("a client chooses its own address")
	}
	if with := of("authorization: Bearer ann", "x-forwarded-for: 10.0.0.1"); with != ann {
		t.Error("a caller with credentials is told by its address")
	}
	if of() != 0 || max(ann, bob, here, there) > 1<<16 {
		t.Error("a hash of more than 16 bits")
	}
}
