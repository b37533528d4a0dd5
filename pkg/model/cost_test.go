package model

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// TestCheapestFirst: regions are tried by cost, those without a label last, in written order among equals; one that is not resident
// is not there however cheap, and an Envoy's own region stays first with mode nearest.
func TestCheapestFirst(t *testing.T) {
	const servers = `
kind: MCPServer
metadata: {name: orders}
spec:
  failover: {prefer: cost%s}
  slo: {p95: 200ms}
  residency: [in]
  regions:
    - {name: unknown, labels: {jurisdiction: in}, endpoints: [{address: "127.0.0.1:7101"}]}
    - {name: dear, labels: {jurisdiction: in, cost: 30}, endpoints: [{address: "127.0.0.1:7102"}]}
    - {name: cheap, labels: {jurisdiction: in, cost: 10}, endpoints: [{address: "127.0.0.1:7103"}]}
    - {name: abroad, labels: {jurisdiction: eu, cost: 1}, endpoints: [{address: "127.0.0.1:7104"}]}
    - {name: equal, labels: {jurisdiction: in, cost: 10}, endpoints: [{address: "127.0.0.1:7105"}]}
---
kind: MCPRoute
metadata: {name: shop}
spec: {servers: [{name: orders}]}
`
	for mode, want := range map[string][]string{
		"":                {"cheap", "equal", "dear", "unknown"},
		", mode: nearest": {"dear", "cheap", "equal", "unknown"},
	} {
		cfg, err := config.Parse([]config.File{{Name: "x.yaml", Data: []byte(fmt.Sprintf(servers, mode))}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := Build(cfg, Options{Region: "dear", Processors: []string{"unix:///run/a.sock"}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range m.Servers[0].Priorities {
			for _, l := range p {
				got = append(got, l.Region)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", mode, got, want)
		}
		watched, err := Watch(cfg, nil)
		if err != nil || watched[0].Shift.Target != 200*time.Millisecond || watched[0].Localities[0].Region != "cheap" {
			t.Errorf("%q: watched %+v, %v", mode, watched, err)
		}
	}
}
