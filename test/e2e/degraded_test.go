package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// reply is what matters of a JSON-RPC answer.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Result *struct {
		IsError bool `json:"isError"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Meta struct {
			Degraded map[string]string `json:"holdfast/degraded"`
			Error    failure           `json:"holdfast/error"`
		} `json:"_meta"`
	} `json:"result"`
	Error *struct {
		Code int     `json:"code"`
		Data failure `json:"data"`
	} `json:"error"`
}

type failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	Outcome   string `json:"outcome"`
	RequestID string `json:"requestId"`
	Server    string `json:"server"`
	Tool      string `json:"tool"`
}

func parse(t *testing.T, a testbed.Answer) reply {
	t.Helper()
	var r reply
	if err := json.Unmarshal(a.Body, &r); err != nil {
		t.Fatalf("status %d, not JSON: %q", a.Status, a.Body)
	}
	return r
}

// TestDegradedAnswers: what Envoy itself answers when things break reaches the
// caller as an MCP answer with the caller's own id and the right cause.
func TestDegradedAnswers(t *testing.T) {
	t.Parallel()
	p := startPairWith(t, strings.Replace(pairConfig, "  tools:\n", `  methods:
    - {match: {name: "prompts/*"}, timeout: 7s, retry: {attempts: 2, perTryTimeout: 3s}}
  tools:
`, 1))
	reset := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	page := statusAnswer(500, "text/html", "<h1>oops</h1>")
	for _, c := range []struct {
		name, tool      string
		mumbai, delhi   http.HandlerFunc
		code, outcome   string
		mumbaiN, delhiN int
	}{
		{name: "both hang, safe", tool: "hung_get", mumbai: hang, delhi: hang, code: "timeout", mumbaiN: 1, delhiN: 1},
		{name: "hangs, unsafe", tool: "create_hung", mumbai: hang, code: "timeout", outcome: "unknown", mumbaiN: 1},
		{name: "both reset, safe", tool: "get_order", mumbai: reset, delhi: reset, code: "service_unavailable", mumbaiN: 1, delhiN: 1},
		{name: "resets, unsafe", tool: "create_order", mumbai: reset, code: "service_unavailable", outcome: "unknown", mumbaiN: 1},
		{name: "an error page, unsafe", tool: "create_order", mumbai: page, code: "service_unavailable", outcome: "unknown", mumbaiN: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.set(c.mumbai, c.delhi)
			got, err := p.Post("/mcp", testbed.ModernHeaders("tools/call", c.tool), testbed.CallTool(`"id-7"`, c.tool, "{}"))
			if err != nil {
				t.Fatal(err)
			}
			r := parse(t, got)
			if got.Status != 200 || string(r.ID) != `"id-7"` || r.Result == nil || !r.Result.IsError || len(r.Result.Content) == 0 || got.Header.Get("x-holdfast-degraded") != "error" {
				t.Fatalf("status %d %v: %s", got.Status, got.Header, got.Body)
			}
			e := r.Result.Meta.Error
			if e.Code != c.code || e.Outcome != c.outcome || e.RequestID == "" || e.Server != "orders" || e.Tool != c.tool || r.Result.Meta.Degraded["source"] != "error" {
				t.Errorf("error %+v, want code %q, outcome %q", e, c.code, c.outcome)
			}
			if m, d := len(p.mumbai.requests()), len(p.delhi.requests()); m != c.mumbaiN || d != c.delhiN {
				t.Errorf("Mumbai saw the call %d times, Delhi %d; want %d and %d", m, d, c.mumbaiN, c.delhiN)
			}
		})
	}
	t.Run("another method", func(t *testing.T) {
		p.set(hang, hang)
		header := testbed.ModernHeaders("prompts/get", "greeting")
		body := strings.Replace(strings.Replace(testbed.CallTool("3", "greeting", "{}"), "tools/call", "prompts/get", 1), `"arguments":{},`, "", 1)
		got, err := p.Post("/mcp", header, body)
		if err != nil {
			t.Fatal(err)
		}
		r := parse(t, got)
		if got.Status != 200 || string(r.ID) != "3" || r.Error == nil || (r.Error.Code >= -32768 && r.Error.Code <= -32000) || r.Error.Data.Code != "timeout" {
			t.Errorf("status %d: %s", got.Status, got.Body)
		}
	})
}

// TestErrorsHTTP: a route may ask for statuses instead.
func TestErrorsHTTP(t *testing.T) {
	t.Parallel()
	config := strings.Replace(testbed.QuickChecks(testbed.DefaultConfig), "  servers: [{name: orders}]\n", "  servers: [{name: orders}]\n  errors: http\n", 1)
	b := testbed.Start(t, testbed.Options{Config: config})
	b.Kill("primary-mumbai")
	b.Kill("standby-delhi")
	var got testbed.Answer
	b.Eventually(testbed.Patience, "Envoy knows that both are down", func() (err error) {
		if got, err = b.Post("/mcp", testbed.ModernHeaders("tools/call", "get_order"), testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`)); err != nil {
			return err
		}
		if r := parse(t, got); r.Error == nil || !strings.Contains(r.Error.Data.Message, "all orders endpoints are down") {
			return errBody(got.Body)
		}
		return nil
	})
	if r := parse(t, got); got.Status != 503 || string(r.ID) != "1" || got.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q: %s", got.Status, got.Header.Get("Retry-After"), got.Body)
	}
}

type errBody []byte

func (e errBody) Error() string { return string(e) }

// TestPassOnProcessorFailure: where the operator prefers unchecked traffic to none,
// calls go on without a processor, and still not twice.
func TestPassOnProcessorFailure(t *testing.T) {
	t.Parallel()
	config := strings.Replace(testbed.DefaultConfig, "  servers: [{name: orders}]\n", "  servers: [{name: orders}]\n  onProcessorFailure: pass\n", 1)
	b := testbed.Start(t, testbed.Options{Config: config})
	b.Kill(testbed.Extproc1)
	b.Kill(testbed.Extproc2)
	session := b.Connect("/mcp")
	name, arguments := testbed.GetOrder(0)
	if call := testbed.Do(session, "passed", name, arguments); call.Err != nil || call.IsError {
		t.Errorf("%v", call)
	}
	b.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultHTTP500, After: true})
	_ = testbed.Do(session, "once", "create_order", map[string]any{"customer_id": "C-1201", "total_rs": 5})
	if n := b.RunsByCall()["once"]; n > 1 {
		t.Errorf("an unchecked call ran %d times", n)
	}
}
