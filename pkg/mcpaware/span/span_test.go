package span

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func attributesOf(all []attribute.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range all {
		out[string(kv.Key)] = kv.Value.String()
	}
	return out
}

// TestConventions: names and attributes are those of OpenTelemetry's conventions for MCP, no more and no fewer.
func TestConventions(t *testing.T) {
	t.Parallel()
	const both = " network.transport=tcp network.protocol.name=http"
	for _, test := range []struct {
		body, verb, revision, session string
		name, attributes              string
	}{
		{
			body: `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_order"}}`, revision: "2026-07-28", name: "tools/call get_order",
			attributes: "mcp.method.name=tools/call gen_ai.tool.name=get_order gen_ai.operation.name=execute_tool jsonrpc.request.id=7 mcp.protocol.version=2026-07-28" + both,
		},
		{
			body: `{"jsonrpc":"2.0","id":"7","method":"prompts/get","params":{"name":"greet"}}`, name: "prompts/get greet",
			attributes: "mcp.method.name=prompts/get gen_ai.prompt.name=greet jsonrpc.request.id=7" + both,
		},
		{
			body: `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"file:///a"}}`, name: "resources/read",
			attributes: "mcp.method.name=resources/read mcp.resource.uri=file:///a jsonrpc.request.id=7" + both,
		},
		{
			body: `{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{"uri":"file:///a"}}`, name: "resources/subscribe",
			attributes: "mcp.method.name=resources/subscribe mcp.resource.uri=file:///a jsonrpc.request.id=7" + both,
		},
		{body: `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`, name: "tools/list", attributes: "mcp.method.name=tools/list jsonrpc.request.id=7" + both},
		{
			body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, session: "secret", name: "notifications/initialized",
			attributes: "mcp.method.name=notifications/initialized mcp.session.id=" + SessionHash("secret") + both,
		},
		{
			body: `{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"name":"x"}}`, name: "completion/complete",
			attributes: "mcp.method.name=completion/complete jsonrpc.request.id=7" + both,
		},
		{verb: "GET", name: "GET", attributes: "http.request.method=GET" + both},
		{verb: "DELETE", name: "DELETE", attributes: "http.request.method=DELETE" + both},
	} {
		var m wire.Message
		if test.body != "" {
			parsed, fault := wire.ParseRequest([]byte(test.body))
			if fault != nil {
				t.Fatal(fault)
			}
			m = parsed
		}
		o := OperationOf(test.verb, &m, test.revision)
		o.Session = test.session
		if got := o.Name(); got != test.name {
			t.Errorf("%s: the name is %q, want %q", test.body, got, test.name)
		}
		got, want := attributesOf(o.Attributes(nil)), map[string]string{}
		for _, pair := range strings.Fields(test.attributes) {
			key, value, _ := strings.Cut(pair, "=")
			want[key] = value
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %q, want %q", test.name, key, got[key], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: attributes %v, want %v", test.name, got, want)
		}
		if test.session != "" && strings.Contains(got["mcp.session.id"], test.session) {
			t.Error("the session's id is given away")
		}
	}
}

// TestFailures: which answers are errors, and by what type.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer             string
		status             int
		errorType, rpcCode string
	}{
		{answer: `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`},
		{answer: `{"jsonrpc":"2.0","id":1,"result":{"isError":false,"content":[]}}`},
		{answer: `{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[]}}`, errorType: "tool_error"},
		{answer: `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}`, errorType: "-32603", rpcCode: "-32603"},
		{answer: `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}`, errorType: "-32602", rpcCode: "-32602"},
		{answer: `{"jsonrpc":"2.0","id":1,"error":{"code":42901,"message":"x"}}`, errorType: "42901", rpcCode: "42901"},
		{status: 200},
		{status: 202},
		{status: 399},
		{status: 400, errorType: "400"},
		{status: 404, errorType: "404"},
		{status: 503, errorType: "503"},
	} {
		failure := FailureOfStatus(test.status)
		if test.answer != "" {
			parsed, fault := wire.ParseAnswer([]byte(test.answer))
			if fault != nil {
				t.Fatal(fault)
			}
			failure = FailureOf(&parsed)
		}
		got := attributesOf(failure.Attributes(nil))
		if got["error.type"] != test.errorType || got["rpc.response.status_code"] != test.rpcCode || len(got) != len(strings.Fields(test.errorType+" "+test.rpcCode)) {
			t.Errorf("%s %d: %v", test.answer, test.status, got)
		}
	}
}

func TestPeer(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]string{
		"127.0.0.1:7101": {"127.0.0.1", "7101"}, "[::1]:7101": {"::1", "7101"}, "nowhere": {}, "": {}, "host:http": {"host", ""},
	} {
		got := attributesOf(Peer(nil, address))
		if got["server.address"] != want[0] || got["server.port"] != want[1] {
			t.Errorf("%q: %v", address, got)
		}
	}
}
