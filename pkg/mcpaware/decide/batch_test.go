package decide_test

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func batchOf(messages ...string) string { return "[" + strings.Join(messages, ",") + "]" }

func TestBatch(t *testing.T) {
	call := func(id, tool string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":{}}}`
	}
	const (
		ping   = `{"jsonrpc":"2.0","id":"p","method":"ping"}`
		note   = `{"jsonrpc":"2.0","method":"notifications/progress"}`
		answer = `{"jsonrpc":"2.0","id":1,"result":{}}`
	)
	for name, test := range map[string]struct {
		body    string
		headers []string
		route   string
		safe    bool
		ids     string
		refused string
	}{
		"all safe":            {body: batchOf(call("1", "get_a"), ping), route: "r-tools[1]", safe: true, ids: `1 "p"`},
		"one unsafe":          {body: batchOf(call("1", "get_a"), call("2", "delete")), route: "r-unmatched", ids: "1 2"},
		"with a notification": {body: batchOf(ping, note), route: "r-other", ids: `"p"`},
		"responses":           {body: batchOf(answer, `{"jsonrpc":"2.0","id":2,"error":{}}`), route: "r-other"},
		"in a session":        {body: batchOf(call("1", "get_a"), ping), headers: []string{"mcp-session-id: s"}, route: "r-tools[1]-once", ids: `1 "p"`},
		"its own version":     {body: batchOf(ping), headers: []string{"mcp-protocol-version: 2025-03-26"}, route: "r-safe", safe: true, ids: `"p"`},
		"continues a message": {body: batchOf(ping, `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"u","requestState":"s"}}`), route: "r-safe-once", ids: `"p" 1`},

		"another version":     {body: batchOf(ping), headers: []string{"mcp-protocol-version: 2025-06-18"}, refused: "-32600"},
		"two servers":         {body: batchOf(call("1", "get_a"), call("2", "stock_get")), refused: "-32600"},
		"initialize":          {body: batchOf(`{"jsonrpc":"2.0","id":1,"method":"initialize"}`), refused: "-32600"},
		"a modern message":    {body: batchOf(echoCall), refused: "-32600"},
		"a call without name": {body: batchOf(ping, `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`), refused: "-32602"},
		"a call without id":   {body: batchOf(ping, `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}`), refused: "-32600"},
	} {
		t.Run(name, func(t *testing.T) {
			got := table(t).Body(post(test.body, test.headers...))
			if test.refused != "" {
				if got.Answer == nil || got.Answer.Status != 400 || !strings.Contains(string(got.Answer.Body), `"id":null,"error":{"code":`+test.refused) {
					t.Fatalf("answer %+v", got.Answer)
				}
				return
			}
			if got.Answer != nil {
				t.Fatalf("refused: %s", got.Answer.Body)
			}
			var ids []string
			for _, id := range got.Call.GetBatchIds() {
				ids = append(ids, string(id))
			}
			if got.Rule != decide.RuleBatch || got.Action.GetRoute() != test.route || got.Call.GetSafe() != test.safe ||
				strings.Join(ids, " ") != test.ids || len(got.Batch) != len(ids) || len(got.Call.GetId()) > 0 {
				t.Errorf("rule %q, route %q, ids %q, call %v", got.Rule, got.Action.GetRoute(), ids, got.Call)
			}
			if header(got.SetHeaders, names.HeaderRoute) != test.route {
				t.Errorf("set %v", got.SetHeaders)
			}
		})
	}
}

// TestExplainBatch: what the messages of a batch would get when all is down has their ids.
func TestExplainBatch(t *testing.T) {
	got := table(t).Explain(post(batchOf(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":"b","method":"tools/list"}`)))
	if got.Kind != "batch" || got.Server != "orders" || got.Degraded == nil ||
		!strings.HasPrefix(string(got.Degraded.Body), `[{"jsonrpc":"2.0","id":1,`) || !strings.Contains(string(got.Degraded.Body), `},{"jsonrpc":"2.0","id":"b",`) {
		t.Errorf("%+v", got)
	}
}
