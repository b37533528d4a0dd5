package config

import (
	"slices"
	"testing"
)

// TestStandIns: a static answer is for the tools of its rule's server that no rule before it takes whatever their arguments.
func TestStandIns(t *testing.T) {
	cfg, err := Parse([]File{{Name: "x.yaml", Data: []byte(`
kind: MCPServer
metadata: {name: orders}
spec: {regions: [{name: a, endpoints: [{name: a1, address: "127.0.0.1:1"}]}]}
---
kind: MCPServer
metadata: {name: stock}
spec: {regions: [{name: a, endpoints: [{name: a2, address: "127.0.0.1:2"}]}]}
---
kind: MCPRoute
metadata: {name: shop}
spec:
  servers: [{name: orders}, {name: stock}]
  tools:
    - {match: {name: get_order}, safe: true}
    - {match: {name: get_price, arguments: [{pointer: /id, equals: 1}]}, safe: true}
    - {match: {name: "get_*"}, safe: true, degrade: {staticAnswer: {text: none}}}
    - {match: {regex: "coun[tT]"}, to: {server: stock}, safe: true, degrade: {staticAnswer: {structuredContent: {n: 0}}}}
    - {match: {}, degrade: {staticAnswer: {text: sorry, isError: true}}}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	tools := []string{"get_order", "get_price", "get_", "count", "counts", "other"}
	want := []struct {
		place, server string
		tools         []string
	}{
		{"MCPRoute shop, spec.tools[2]", "orders", []string{"get_price", "get_"}},
		{"MCPRoute shop, spec.tools[3]", "stock", []string{"count"}},
		{"MCPRoute shop, spec.tools[4]", "orders", []string{"counts", "other"}},
	}
	got := cfg.StandIns()
	if len(got) != len(want) {
		t.Fatalf("%d stand-ins: %+v", len(got), got)
	}
	for i, w := range want {
		var of []string
		for _, tool := range tools {
			if got[i].For(tool) {
				of = append(of, tool)
			}
		}
		if got[i].Place != w.place || got[i].Server != w.server || !slices.Equal(of, w.tools) {
			t.Errorf("%s of %s is for %q, want %+v", got[i].Place, got[i].Server, of, w)
		}
	}
}
