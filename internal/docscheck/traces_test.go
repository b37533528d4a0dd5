package docscheck

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
)

const tracesIntro = "# Traces\n\n" +
	"<!-- Written by the tests of internal/docscheck from the attributes themselves; `make golden` writes it anew. -->\n\n" +
	"`spec.telemetry.traces` of a Gateway turns traces on, see the [configuration](configuration.md); `holdfast up` does so by itself. `holdfast trace` shows one.\n\n" +
	"## Spans\n\n" +
	"| span | service | kind | one for | parent |\n| --- | --- | --- | --- | --- |\n" +
	"| Envoy's `ingress` | holdfast-envoy | server | each request | the caller's HTTP context |\n" +
	"| call: `{method} {tool or prompt}` | holdfast-extproc | server | each request, decided at the edge | the context in `_meta`, Envoy's span being a link; else Envoy's span |\n" +
	"| Envoy's `router … egress` | holdfast-envoy | client | each try | `ingress` |\n" +
	"| try: `{method} {tool}` | holdfast-extproc | client | each try that a processor has seen | Envoy's span of the same trace; else the call, Envoy's span being a link |\n" +
	"| server's own | the server's | server | each try that reached a server with instrumentation | Envoy's try, or the call where `_meta` has context |\n\n" +
	"Envoy's streams to the processors (`async envoy.service.ext_proc…`) stand between its spans and the processors'. A refused connection may leave Envoy's span of the try alone.\n\n" +
	"Calls and tries have the attributes of OpenTelemetry's semantic conventions for MCP: `mcp.method.name`, `gen_ai.tool.name` and `gen_ai.operation.name` (tools/call), `gen_ai.prompt.name` (prompts/get), `mcp.resource.uri`,\n" +
	"`jsonrpc.request.id`, `mcp.protocol.version`, `mcp.session.id` (a hash of it: who has the id has the session), `network.transport`, `network.protocol.name`, `server.address` and `server.port` (tries). An answer is an error where\n" +
	"it is a JSON-RPC error (`error.type` and `rpc.response.status_code` are its code), a tool result with `isError` (`tool_error`), or an HTTP status from 400; and where there is none (`timeout`, `no_answer`, `unreadable_answer`, or a verdict).\n" +
	"Arguments, results and credentials are in no span.\n\n" +
	"## Attributes of Holdfast's own\n\n"

// TestTracesReference: docs/reference/traces.md has every attribute.
func TestTracesReference(t *testing.T) {
	var out strings.Builder
	out.WriteString(tracesIntro + "| attribute | on | meaning |\n| --- | --- | --- |\n")
	for _, d := range span.Reference() {
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", d.Key, d.On, d.Means)
	}
	path := filepath.Join("..", "..", "docs", "reference", "traces.md")
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != out.String() {
		t.Errorf("%s is not what the code says: make golden writes it anew", path)
	}
}
