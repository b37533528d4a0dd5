package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DefaultConfig is one MCP server in two regions, with the tools of ShopMax's
// orders declared as the demo declares them. Its times are longer than anything takes on a
// machine that has much else to do: where nothing is broken, none of them is reached. Hasty
// is for tests in which something hangs, QuickChecks for those that wait for health checks.
const DefaultConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: primary-mumbai, address: "${primary-mumbai}"}]
    - name: asia-south2
      endpoints: [{name: standby-delhi, address: "${standby-delhi}"}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 31s
  retry: {attempts: 3, perTryTimeout: 10s}
  tools:
    - {match: {regex: "(get|list)_.*"}, safe: true, timeout: 31s, retry: {attempts: 3, perTryTimeout: 10s}}
    - {match: {name: track_order}, safe: true, timeout: 31s}
    - {match: {name: report}, safe: true, timeout: 21s, retry: {attempts: 2, perTryTimeout: 10s}}
    - {match: {name: create_order}, timeout: 20s}
`

// HastyTry is the per-try timeout of Hasty.
const HastyTry = 3 * time.Second

// Hasty gives up tries of DefaultConfig, or of one made from it, at an endpoint that hangs
// sooner. Those at the other one still have more time than they take.
func Hasty(config string) string {
	return strings.NewReplacer(
		"perTryTimeout: 10s", "perTryTimeout: "+HastyTry.String(), "timeout: 20s", "timeout: 5s",
	).Replace(config)
}

// Prompt has the times that an operator would write, for bounds in absolute time on a machine that
// has nothing else to do.
func Prompt(config string) string {
	return strings.NewReplacer(
		", processorTimeout: 8s", "", "healthCheck: {interval: 3s, timeout: 3s}", "healthCheck: {interval: 500ms, timeout: 400ms}",
		"  timeout: 31s\n  retry: {attempts: 3, perTryTimeout: 10s}", "  timeout: 5s\n  retry: {attempts: 3, perTryTimeout: 1s}",
		"timeout: 31s, retry: {attempts: 3, perTryTimeout: 10s}", "timeout: 3s, retry: {attempts: 3, perTryTimeout: 800ms}",
		"timeout: 21s, retry: {attempts: 2, perTryTimeout: 10s}", "timeout: 5s, retry: {attempts: 2, perTryTimeout: 2s}",
		"timeout: 31s", "timeout: 10s", "timeout: 20s", "timeout: 3s",
	).Replace(config)
}

// QuickChecks has Envoy ask for the health of DefaultConfig's endpoints more often. On a busy
// machine an answer may come too late, so where calls go is then no longer certain.
func QuickChecks(config string) string {
	return strings.Replace(config, "healthCheck: {interval: 3s, timeout: 3s}", "healthCheck: {interval: 500ms, timeout: 500ms}", 1)
}

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
