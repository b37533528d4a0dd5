package decide_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

// headers is a decide.Header over lines of "name: value".
type headers []string

func (h headers) each(visit func(name, value string)) {
	for _, line := range h {
		name, value, _ := strings.Cut(line, ":")
		visit(name, strings.TrimPrefix(value, " "))
	}
}

func (h headers) Values(name string) (values []string) {
	h.each(func(n, value string) {
		if n == name {
			values = append(values, value)
		}
	})
	return values
}

func (h headers) WithPrefix(prefix string) (names []string) {
	h.each(func(n, _ string) {
		if strings.HasPrefix(n, prefix) && !slices.Contains(names, n) {
			names = append(names, n)
		}
	})
	return names
}

func action(route, server string, safe bool) *policyv1.Action {
	return &policyv1.Action{
		Route: route, Server: server, Safe: safe, Attempts: 3,
		Timeout: durationpb.New(3 * time.Second), PerTryTimeout: durationpb.New(time.Second),
	}
}

// shopmax is a policy with every kind of rule.
func shopmax() *policyv1.RoutePolicy {
	rule := func(id, glob, regex, server string, safe bool, arguments ...*policyv1.ArgumentMatch) *policyv1.ToolRule {
		r := &policyv1.ToolRule{Id: id, Glob: glob, Regex: regex, Arguments: arguments, Action: action("r-"+id, server, safe)}
		if safe {
			r.Once = action("r-"+id+"-once", server, false)
		}
		return r
	}
	return &policyv1.RoutePolicy{
		Name: "shopmax", Path: "/mcp", MaxBodyBytes: 4096, Errors: policyv1.ErrorStyle_ERROR_STYLE_MCP,
		StaleListMaxAge: durationpb.New(24 * time.Hour),
		Servers: []*policyv1.Server{
			{Name: "orders", Endpoints: []*policyv1.Endpoint{{Name: "primary-mumbai", Address: "127.0.0.1:7101", Region: "asia-south1"}}},
			{Name: "orders-v2"},
			{Name: "stock"},
		},
		Rules: []*policyv1.ToolRule{
			rule("tools[0]", "list_orders", "", "orders-v2", true, &policyv1.ArgumentMatch{Pointer: "/channel", In: []string{`"web"`, `"app"`}}),
			rule("tools[1]", "get_*", "", "orders", true),
			rule("tools[2]", "list_orders", "", "orders", true),
			rule("tools[3]", "", "stock_(get|list)", "stock", true),
			rule("tools[4]", "", "", "stock", false, &policyv1.ArgumentMatch{Pointer: "/warehouse/0/name", Regex: "(?i)mum.*"}),
			rule("tools[5]", "get_order", "", "stock", false),
		},
		UnmatchedTool:  action("r-unmatched", "orders", false),
		SafeMethod:     action("r-safe", "orders", true),
		SafeMethodOnce: action("r-safe-once", "orders", false),
		OtherMethod:    action("r-other", "orders", false),
		Stream:         action("r-stream", "orders", false),
		Delete:         action("r-delete", "orders", false),
	}
}

func table(t testing.TB, policies ...*policyv1.RoutePolicy) *decide.Table {
	t.Helper()
	if len(policies) == 0 {
		policies = []*policyv1.RoutePolicy{shopmax()}
	}
	compiled, err := decide.Compile(policies)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func post(body string, lines ...string) *decide.Request {
	return &decide.Request{Verb: "POST", Path: "/mcp", Header: headers(append(lines, "content-type: application/json")), Body: []byte(body), RequestID: "req-1"}
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// modern is a modern request with all its headers right.
func modern(method, params, name string) *decide.Request {
	if params != "" {
		params = "," + params
	}
	lines := []string{"mcp-protocol-version: 2026-07-28", "mcp-method: " + method}
	if name != "" {
		lines = append(lines, "mcp-name: "+name)
	}
	return post(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+modernMeta+params+`}}`, lines...)
}

func toolCall(name, arguments string) *decide.Request {
	return post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":` + arguments + `}}`)
}
