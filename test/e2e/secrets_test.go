package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace/tracetest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// secret stands in everything that a caller sends and that nobody else is to see.
const secret = "hunter2-5ecret"

// secretCalls are messages that are good, refused, limited, malformed, and for a session that nobody has.
func secretCalls(t *testing.T, bed *testbed.Bed) {
	t.Helper()
	post := func(method, name, body string, more ...string) {
		header := testbed.ModernHeaders(method, name)
		header.Set("Authorization", "Bearer "+secret)
		header.Set("X-Api-Key", secret)
		header.Set("Cookie", "id="+secret)
		header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		for i := 0; i+1 < len(more); i += 2 {
			header.Set(more[i], more[i+1])
		}
		if _, err := bed.Post("/mcp", header, body); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		post("tools/call", "create_order", testbed.CallTool("1", "create_order", fmt.Sprintf(`{"customer_id":%q,"total_rs":100}`, secret)))
	}
	post("tools/call", "get_order", testbed.CallTool("1", "get_order", fmt.Sprintf(`{"order_id":%q}`, secret)))
	post("tools/call", "get_order", testbed.CallTool("1", "get_order", fmt.Sprintf(`{"order_id":%q,"order_id":1}`, secret)))
	post("tools/call", "get_order", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"`+secret+`"}`)
	post("tools/call", "get_order", `{"jsonrpc":"2.0","id":1,`+secret)
	post("ping", "", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Mcp-Protocol-Version", "2025-11-25", "Mcp-Session-Id", secret)
	// Another tool than the header says, in arguments too.
	post("tools/call", "get_order", testbed.CallTool("1", "list_orders", fmt.Sprintf(`{"channel":%q}`, secret)))
}

// shown is all that Holdfast and its Envoy show or write down, by where it is.
func shown(t *testing.T, bed *testbed.Bed, collector *tracetest.Collector) map[string]string {
	t.Helper()
	out := map[string]string{"spans": tracetest.Describe(collector.Spans("")), "status": string(bed.StatusJSON())}
	for _, address := range []string{bed.Addr(testbed.Extproc1), bed.Addr(testbed.Extproc2), bed.XDSAdmin} {
		text, err := bed.Metrics(address)
		if err != nil {
			t.Fatal(err)
		}
		out["metrics of "+address] = text
	}
	for _, processor := range []string{testbed.Extproc1, testbed.Extproc2} {
		page, err := json.Marshal(limitPage(t, bed.Addr(processor)))
		if err != nil {
			t.Fatal(err)
		}
		out[limit.PagePath+" of "+processor] = string(page)
	}
	for _, path := range []string{"/stats/prometheus", "/clusters", "/config_dump"} {
		out["Envoy's "+path] = bed.AdminOf(bed.Admin, path)
	}
	err := filepath.WalkDir(filepath.Join(bed.Dir, "logs"), func(path string, d fs.DirEntry, err error) error {
		// What a demo server writes of the calls that it gets is its own.
		if err != nil || d.IsDir() || strings.Contains(path, "mumbai.") || strings.Contains(path, "delhi.") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // of this test
		out[filepath.Base(path)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSecretsStayWithTheirCaller: what a caller sends in arguments, tokens, headers and session ids stands in no log at any
// level, no metric, no span and no page; and the lines about calls that did not go well say which they were.
func TestSecretsStayWithTheirCaller(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	bed := testbed.Start(t, testbed.Options{Config: testbed.QuickChecks(limitedConfig("ratio: 100%")), Traces: collector.GRPC, ExtprocArgs: []string{"--log-level", "debug"}})
	// Without each other's word each of them would keep the whole limit.
	processorsSay(bed, "holdfast_fleet_processors 2")
	secretCalls(t, bed)
	bed.Until(testbed.Patience, "spans have come, and the log has lines", func() bool {
		return len(collector.Spans("")) > 5 && strings.Contains(logsOf(t, bed), `"rate_limited"`)
	})
	all := shown(t, bed, collector)
	if len(all) < 14 {
		t.Errorf("only %d places were looked at", len(all))
	}
	for where, text := range all {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s: …%s…", where, text[max(0, at-200):min(len(text), at+100)])
		}
	}
	lines := failureLines(t, logsOf(t, bed))
	for code, want := range map[string]map[string]string{
		"rate_limited":  {"status": "limited", "tool": "create_order", "server": "orders", "method": "tools/call"},
		"invalid_input": {"status": "refused"},
	} {
		line := lines[code]
		if line == nil || line["request_id"] == "" || (code == "rate_limited" && line["trace_id"] != "0af7651916cd43dd8448eb211c80319c") {
			t.Errorf("%s: %v", code, line)
		}
		for key, value := range want {
			if line[key] != value {
				t.Errorf("%s: %s is %v, want %s", code, key, line[key], value)
			}
		}
	}
	// With every server gone.
	bed.Kill("primary-mumbai")
	bed.Kill("standby-delhi")
	bed.Until(testbed.Patience, "a call that no server answers is in the log", func() bool {
		header := testbed.ModernHeaders("tools/call", "get_order")
		if _, err := bed.Post("/mcp", header, testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`)); err != nil {
			t.Fatal(err)
		}
		line := failureLines(t, logsOf(t, bed))["service_unavailable"]
		return line != nil && line["tool"] == "get_order" && line["server"] == "orders" && line["level"] == "WARN" && line["request_id"] != ""
	})
}

func logsOf(t *testing.T, bed *testbed.Bed) string {
	t.Helper()
	return strings.Join(append(bed.Child(testbed.Extproc1).Tail(2000), bed.Child(testbed.Extproc2).Tail(2000)...), "\n")
}

// failureLines are the lines about calls that did not go well, the last one of each code.
func failureLines(t *testing.T, log string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"call not answered well"`) {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if code, ok := fields["code"].(string); ok {
			out[code] = fields
		}
	}
	return out
}
