package decide_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

// remembering is a policy whose get_* tools have their results remembered.
func remembering(change func(*policyv1.RoutePolicy, *policyv1.CachedResult)) *policyv1.RoutePolicy {
	p := shopmax()
	cached := &policyv1.CachedResult{MaxAge: durationpb.New(time.Hour)}
	if change != nil {
		change(p, cached)
	}
	p.Rules[1].Degrade = &policyv1.Degrade{CachedResult: cached}
	return p
}

func keyOf(t *testing.T, table *decide.Table, r *decide.Request) string {
	t.Helper()
	d := table.Body(r)
	if d.Answer != nil {
		t.Fatalf("refused: %s", d.Answer.Body)
	}
	if (d.Call.GetCache() == nil) != (d.Cached() == nil) {
		t.Errorf("slot %v, settings %v", d.Call.GetCache(), d.Cached())
	}
	return hex.EncodeToString(d.Call.GetCache().GetKey())
}

func call(arguments, more string, lines ...string) *decide.Request {
	return post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":`+arguments+more+`}}`, lines...)
}

// What a result depends on is in the key of it, and what it does not is not.
func TestCacheKeys(t *testing.T) {
	p := remembering(nil)
	own := table(t, p)
	base := keyOf(t, own, call(`{"id":1,"name":"a"}`, ""))
	if len(base) != 64 {
		t.Fatalf("key %q", base)
	}
	same := map[string]*decide.Request{
		"white space":           call(" { \"id\" : 1 ,\n\"name\":\"a\" }", ""),
		"order of members":      call(`{"name":"a","id":1}`, ""),
		"escapes":               call(`{"n\u0061me":"\u0061","id":1}`, ""),
		"another id":            post(`{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"get_order","arguments":{"id":1,"name":"a"}}}`),
		"progress and tracing":  call(`{"id":1,"name":"a"}`, `,"_meta":{"progressToken":7,"traceparent":"x","baggage":"y","holdfast/timeoutMs":5,"io.modelcontextprotocol/logLevel":"info"}`),
		"a header of no matter": call(`{"id":1,"name":"a"}`, "", "x-tenant: b", "user-agent: x"),
		"a session":             call(`{"id":1,"name":"a"}`, "", "mcp-session-id: s-1"),
	}
	for name, r := range same {
		if got := keyOf(t, own, r); got != base {
			t.Errorf("%s makes another key", name)
		}
	}
	different := map[string]*decide.Request{
		"a value":           call(`{"id":2,"name":"a"}`, ""),
		"a type":            call(`{"id":"1","name":"a"}`, ""),
		"a missing member":  call(`{"id":1}`, ""),
		"null":              call(`{"id":1,"name":null}`, ""),
		"no arguments":      post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}}`),
		"a large number":    call(`{"id":9007199254740993,"name":"a"}`, ""),
		"the next number":   call(`{"id":9007199254740992,"name":"a"}`, ""),
		"the tool":          toolCall("get_orders", `{"id":1,"name":"a"}`),
		"the revision":      modern("tools/call", `"name":"get_order","arguments":{"id":1,"name":"a"}`, "get_order"),
		"a token":           call(`{"id":1,"name":"a"}`, "", "authorization: Bearer a"),
		"another token":     call(`{"id":1,"name":"a"}`, "", "authorization: Bearer b"),
		"two tokens":        call(`{"id":1,"name":"a"}`, "", "authorization: Bearer a", "authorization: Bearer b"),
		"a cookie":          call(`{"id":1,"name":"a"}`, "", "cookie: Bearer a"),
		"a key":             call(`{"id":1,"name":"a"}`, "", "x-api-key: Bearer a"),
		"a token and a key": call(`{"id":1,"name":"a"}`, "", "authorization: Bearer a", "x-api-key: Bearer a"),
		"an address":        call(`{"id":1,"name":"a"}`, "", "x-forwarded-for: 10.0.0.1"),
		"another address":   call(`{"id":1,"name":"a"}`, "", "x-forwarded-for: 10.0.0.2"),
		"nested":            call(`{"id":1,"name":{"a":[1,2]}}`, ""),
		"nested otherwise":  call(`{"id":1,"name":{"a":[2,1]}}`, ""),
		"text like another": call(`{"id":"1,\"name\":\"a\""}`, ""),
	}
	seen := map[string]string{base: "the first call"}
	for name, r := range different {
		got := keyOf(t, own, r)
		if other, taken := seen[got]; taken || got == "" {
			t.Errorf("%s has the key %q of %s", name, got, other)
		}
		seen[got] = name
	}
}

// Calls that nobody else may be given the result of, and no later call either.
func TestNeverRemembered(t *testing.T) {
	own := table(t, remembering(func(p *policyv1.RoutePolicy, _ *policyv1.CachedResult) { p.MaxBodyBytes = 4 << 20 }))
	for name, r := range map[string]*decide.Request{
		"input responses":       modern("tools/call", `"name":"get_order","arguments":{},"inputResponses":{}`, "get_order"),
		"request state":         modern("tools/call", `"name":"get_order","arguments":{},"requestState":"s"`, "get_order"),
		"a task":                call(`{}`, `,"task":{"ttl":1}`),
		"an unknown member":     call(`{}`, `,"tenant":"a"`),
		"an unknown _meta":      call(`{}`, `,"_meta":{"com.example/tenant":"a"}`),
		"large arguments":       call(`{"x":"`+strings.Repeat("x", 64<<10)+`"}`, ""),
		"half a character":      call(`{"x":"\ud800"}`, ""),
		"another tool":          toolCall("stock_get", `{}`),
		"another method":        modern("tools/list", "", ""),
		"a notification":        post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`),
		"a call without a rule": toolCall("create_order", `{}`),
	} {
		if got := keyOf(t, own, r); got != "" {
			t.Errorf("%s has the key %s", name, got)
		}
	}
	batch := own.Body(post(`[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{}}}]`))
	if batch.Answer != nil || batch.Call.GetCache() != nil || batch.Static() != nil {
		t.Errorf("a batch: %v", batch.Call)
	}
}

func TestSharedAndVaryingKeys(t *testing.T) {
	token := func(name string, lines ...string) *decide.Request {
		return call(`{"id":1}`, "", append(lines, "authorization: Bearer "+name, "x-forwarded-for: 10.0.0."+fmt.Sprint(len(name)))...)
	}
	shared := table(t, remembering(func(_ *policyv1.RoutePolicy, c *policyv1.CachedResult) { c.Shared = true }))
	if keyOf(t, shared, token("a")) != keyOf(t, shared, token("bb")) {
		t.Error("callers that share have keys of their own")
	}
	varying := table(t, remembering(func(_ *policyv1.RoutePolicy, c *policyv1.CachedResult) {
		c.Shared, c.Vary = true, []string{"x-tenant", "x-plan"}
	}))
	keys := map[string]bool{}
	for _, lines := range [][]string{nil, {"x-tenant: a"}, {"x-tenant: b"}, {"x-plan: a"}, {"x-tenant: a", "x-tenant: b"}, {"x-tenant: a", "x-plan: b"}, {"x-tenant: "}} {
		keys[keyOf(t, varying, token("a", lines...))] = true
	}
	if len(keys) != 7 {
		t.Errorf("%d keys for 7 sets of headers", len(keys))
	}
	// The subject of a token that was checked stays when the token is renewed, and is nobody else's.
	verified := table(t, remembering(func(p *policyv1.RoutePolicy, _ *policyv1.CachedResult) {
		p.Callers = &policyv1.Callers{Header: "x-agent", Verified: true}
	}))
	asha := keyOf(t, verified, call(`{"id":1}`, "", "x-holdfast-subject: asha", "x-forwarded-for: 10.0.0.1"))
	if asha != keyOf(t, verified, call(`{"id":1}`, "", "x-holdfast-subject: asha", "x-forwarded-for: 10.0.0.2")) {
		t.Error("a subject at another address is another caller")
	}
	for name, lines := range map[string][]string{
		"another subject": {"x-holdfast-subject: akhil"}, "a header that tells callers apart": {"x-holdfast-subject: asha", "x-agent: b"},
		"that header alone": {"x-agent: asha"}, "a forwarded token": {"x-holdfast-subject: asha", "authorization: Bearer x"},
	} {
		if keyOf(t, verified, call(`{"id":1}`, "", lines...)) == asha {
			t.Errorf("%s has the key of asha", name)
		}
	}
}

func TestDegradeCompiles(t *testing.T) {
	cached := func(age time.Duration, vary ...string) *policyv1.Degrade {
		return &policyv1.Degrade{CachedResult: &policyv1.CachedResult{MaxAge: durationpb.New(age), Vary: vary}}
	}
	static := func(text, content string) *policyv1.Degrade {
		return &policyv1.Degrade{StaticAnswer: &policyv1.StaticAnswer{Text: text, StructuredContent: []byte(content)}}
	}
	for name, c := range map[string]struct {
		rule int
		d    *policyv1.Degrade
		want string
	}{
		"unsafe":          {5, cached(time.Hour), "rules[5].degrade.cached_result: the action of the rule is not safe"},
		"no age":          {1, cached(0), "rules[1].degrade.cached_result.max_age: 0s is not within"},
		"a header's name": {1, cached(time.Hour, "X-Tenant"), "rules[1].degrade.cached_result.vary[0]"},
		"many headers":    {1, cached(time.Hour, make([]string, 17)...), "has 17 entries"},
		"nothing":         {1, static("", ""), "rules[1].degrade.static_answer: says nothing"},
		"no object":       {1, static("", "[]"), "rules[1].degrade.static_answer.structured_content: is not a JSON object"},
		"not JSON":        {1, static("", `{}},"id":1`), "is not a JSON object"},
		"large":           {1, static(strings.Repeat("x", 64<<10+1), ""), "is larger than"},
	} {
		p := shopmax()
		p.Rules[c.rule].Degrade = c.d
		if _, err := decide.Compile([]*policyv1.RoutePolicy{p}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
