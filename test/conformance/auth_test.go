package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
	"github.com/holdfast-mcp/holdfast/test/thirdparty"
)

// authConfig stands before one mock server under that server's own name and path: a token
// is for one resource, so the Gateway has to be that resource. All that the mock serves
// beside MCP passes, its metadata and, in 2025-03-26, its authorization server.
const authConfig = `
---
kind: MCPServer
metadata: {name: NAME}
spec:
  path: /mcp
  regions: [{name: local, endpoints: [{name: NAME, address: "ADDRESS"}]}]
  healthCheck: {disabled: true}
---
kind: MCPRoute
metadata: {name: NAME}
spec:
  path: /mcp
  servers: [{name: NAME}]
  pages:
    - /.well-known/oauth-protected-resource/mcp
    - /.well-known/oauth-protected-resource
    - /custom/metadata/location.json
    - /.well-known/oauth-authorization-server
    - /.well-known/openid-configuration
    - /authorize
    - /token
    - /register
    - /oauth/authorize
    - /oauth/token
    - /oauth/register
`

const authGateway = `
kind: Gateway
metadata: {name: conformance}
spec: {address: "${gateway}", processorTimeout: 8s}
`

// authIdle is a route until the first mock is there.
const authIdle = authGateway + `
---
kind: MCPServer
metadata: {name: none}
spec:
  path: /mcp
  regions: [{name: local, endpoints: [{name: none, address: "${orders}"}]}]
---
kind: MCPRoute
metadata: {name: none}
spec: {path: /none, servers: [{name: none}]}
`

// dialled builds the SDK's client for the suite with package dial in it.
func dialled(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	command := func(args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = stacktest.Root(t)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
		return bytes.TrimSpace(out)
	}
	source, err := os.ReadFile(filepath.Join(string(command("list", "-f", "{{.Dir}}", thirdparty.GoConformance+"everything-client")), "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{
		"main.go": string(source),
		"dial.go": "package main\n\nimport _ \"github.com/holdfast-mcp/holdfast/test/conformance/dial\"\n",
	}
	args := []string{"build", "-o", filepath.Join(dir, "client")}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	command(args...)
	return filepath.Join(dir, "client")
}

// TestAuthorization: a client gets its token with a Gateway at the address of a server
// that asks for one, as it does from the server itself: every scenario that the suite has
// for the protocol's own authorization.
func TestAuthorization(t *testing.T) {
	bed := testbed.Start(t, testbed.Options{Config: authIdle, Servers: []demo.Place{{Name: "orders", Server: "orders", Region: testbed.Mumbai}}, Reachable: func(b *testbed.Bed) error {
		return b.Ping("/none")
	}})
	client := dialled(t)
	control := serveFront(t, &front{t: t, bed: bed, base: authGateway, each: authConfig, path: "/mcp"})
	between := strings.Join([]string{thirdparty.Program(t, "./test/conformance/front"), "-same", control, client}, " ")
	all := clientRuns(t, clientScenarios(t, true), client, between)
	for _, p := range all {
		if p.through.failed > p.direct.failed || p.through.passed < p.direct.passed {
			t.Errorf("%s in %s: %d checks passed and %d failed without Holdfast, %d and %d through it", p.through.scenario, p.revision,
				p.direct.passed, p.direct.failed, p.through.passed, p.through.failed)
		}
	}
	if len(all) == 0 {
		t.Fatal("the suite has no scenario of authorization")
	}
	if !t.Failed() {
		settle(t, authHead, authTable(all))
	}
}

func authTable(all []pairOfResults) string {
	var b strings.Builder
	b.WriteString(authHead + authNote)
	for _, p := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.through.scenario, p.revision, counts(p.through), counts(p.direct))
	}
	return b.String()
}
