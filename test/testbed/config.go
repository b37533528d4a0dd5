package testbed

import (
	"os"
	"path/filepath"
	"strings"
)

// DefaultConfig is one MCP server in two regions, with the tools of ShopMax's
// orders declared as the demo declares them.
const DefaultConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}"}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: primary-mumbai, address: "${primary-mumbai}"}]
    - name: asia-south2
      endpoints: [{name: standby-delhi, address: "${standby-delhi}"}]
  healthCheck: {interval: 500ms, timeout: 400ms}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 5s
  retry: {attempts: 3, perTryTimeout: 1s}
  tools:
    - {match: {regex: "(get|list)_.*"}, safe: true, timeout: 3s, retry: {attempts: 3, perTryTimeout: 800ms}}
    - {match: {name: track_order}, safe: true, timeout: 10s}
    - {match: {name: report}, safe: true, timeout: 5s, retry: {attempts: 2, perTryTimeout: 2s}}
    - {match: {name: create_order}, timeout: 3s}
`

// ConfigDir is the directory that the control plane watches.
func (b *Bed) ConfigDir() string { return filepath.Join(b.Dir, "config") }

// WriteConfig replaces the watched configuration in one rename.
func (b *Bed) WriteConfig(text string) {
	b.t.Helper()
	pairs := []string{"${gateway}", b.Gateway, "${traces}", b.traces}
	for name, address := range b.addresses {
		pairs = append(pairs, "${"+name+"}", address)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	if err := os.MkdirAll(b.ConfigDir(), 0o700); err != nil {
		b.t.Fatal(err)
	}
	temp := filepath.Join(b.Dir, "holdfast.yaml.new")
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(b.ConfigDir(), "holdfast.yaml")); err != nil {
		b.t.Fatal(err)
	}
}
