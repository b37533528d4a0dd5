package wire_test

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// TestEditTaskIDs: every place where a result names a task changes, and nothing else.
func TestEditTaskIDs(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"2026-07-28":   {`{"jsonrpc":"2.0","id":1, "result":{"resultType":"task","taskId":"a" ,"n":1.50}}`, `{"jsonrpc":"2.0","id":1, "result":{"resultType":"task","taskId":"<a>" ,"n":1.50}}`},
		"2025-11-25":   {`{"result":{"task":{"taskId":"a","status":"working"}},"id":1}`, `{"result":{"task":{"taskId":"<a>","status":"working"}},"id":1}`},
		"list":         {`{"result":{"tasks":[{"taskId":"a"},{},{"taskId":"b"}]}}`, `{"result":{"tasks":[{"taskId":"<a>"},{},{"taskId":"<b>"}]}}`},
		"related":      {`{"result":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}},"content":[]}}`, `{"result":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"<a>"}},"content":[]}}`},
		"all at once":  {`{"result":{"taskId":"a","task":{"taskId":"b"},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"c"}}}}`, `{"result":{"taskId":"<a>","task":{"taskId":"<b>"},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"<c>"}}}}`},
		"escaped":      {`{"result":{"taskId":"\u0061\n"}}`, `{"result":{"taskId":"<a\n>"}}`},
		"last counts":  {`{"result":{"taskId":"a","taskId":"b"}}`, `{"result":{"taskId":"a","taskId":"<b>"}}`},
		"elsewhere":    {`{"result":{"content":[{"taskId":"a"}],"structuredContent":{"taskId":"a"}}}`, `{"result":{"content":[{"taskId":"a"}],"structuredContent":{"taskId":"a"}}}`},
		"no string":    {`{"result":{"taskId":7,"task":"a","tasks":{},"_meta":[]}}`, `{"result":{"taskId":7,"task":"a","tasks":{},"_meta":[]}}`},
		"no object":    {`{"result":"taskId"}`, `{"result":"taskId"}`},
		"error":        {`{"error":{"code":1,"message":"x","data":{"taskId":"a"}}}`, `{"error":{"code":1,"message":"x","data":{"taskId":"a"}}}`},
		"no answer":    {`[]`, `[]`},
		"with a mark":  {"\ufeff" + `{"result":{"taskId":"a"}}`, "\ufeff" + `{"result":{"taskId":"<a>"}}`},
		"empty result": {`{"result":{}}`, `{"result":{}}`},
		"notified":     {`{"method":"notifications/tasks","params":{"taskId":"a","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"b"}}}}`, `{"method":"notifications/tasks","params":{"taskId":"<a>","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"<b>"}}}}`},
		"acknowledged": {`{"params":{"notifications":{"taskIds":[ "a",7,"b"],"toolsListChanged":true}}}`, `{"params":{"notifications":{"taskIds":[ "<a>",7,"<b>"],"toolsListChanged":true}}}`},
		"odd params":   {`{"params":{"notifications":{"taskIds":{"a":"b"}}}}`, `{"params":{"notifications":{"taskIds":{"a":"b"}}}}`},
		"odder params": {`{"params":{"notifications":["taskIds"]}}`, `{"params":{"notifications":["taskIds"]}}`},
		"no params":    {`{"params":["taskId"]}`, `{"params":["taskId"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wire.EditTaskIDs([]byte(c.in), func(id string) string { return "<" + id + ">" })
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %v, want %s", got, err, c.want)
			}
		})
	}
	if _, err := wire.EditTaskIDs([]byte(`{"result":`), strings.ToUpper); err == nil {
		t.Error("half an answer is edited")
	}
}

// TestEditListenedTasks: the ids in a request to listen change or go, and nothing else.
func TestEditListenedTasks(t *testing.T) {
	edit := func(id string) (string, bool) {
		if id == "keep" {
			return id, true
		}
		return "<" + id + ">", id != "drop"
	}
	for name, c := range map[string]struct{ in, want string }{
		"one":        {`{"id":1.0,"params":{"notifications":{ "taskIds":["a"] }}}`, `{"id":1.0,"params":{"notifications":{ "taskIds":["<a>"] }}}`},
		"left out":   {`{"params":{"notifications":{"taskIds":["drop", "a" ,"keep", 7]}}}`, `{"params":{"notifications":{"taskIds":["<a>","keep",7]}}}`},
		"all out":    {`{"params":{"notifications":{"taskIds":["drop"]}}}`, `{"params":{"notifications":{"taskIds":[]}}}`},
		"the same":   {`{"params":{"notifications":{"taskIds":[ "keep", null ]}}}`, `{"params":{"notifications":{"taskIds":[ "keep", null ]}}}`},
		"escaped":    {`{"params":{"notifications":{"task\u0049ds":["\u0061\""]}}}`, `{"params":{"notifications":{"task\u0049ds":["<a\">"]}}}`},
		"none":       {`{"params":{"notifications":{"toolsListChanged":true}}}`, `{"params":{"notifications":{"toolsListChanged":true}}}`},
		"no list":    {`{"params":{"notifications":{"taskIds":"a"}}}`, `{"params":{"notifications":{"taskIds":"a"}}}`},
		"no object":  {`{"params":{"notifications":["taskIds"]}}`, `{"params":{"notifications":["taskIds"]}}`},
		"no params":  {`[]`, `[]`},
		"elsewhere":  {`{"params":{"taskIds":["a"]},"taskIds":["a"]}`, `{"params":{"taskIds":["a"]},"taskIds":["a"]}`},
		"an odd one": {`{"params":{"notifications":{"taskIds":[["a"],"a"]}}}`, `{"params":{"notifications":{"taskIds":[["a"],"<a>"]}}}`},
	} {
		if got, err := wire.EditListenedTasks([]byte(c.in), edit); err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
	for _, in := range []string{``, `{"params":{"notifications":{"taskIds":["a"]}}`, `{"params":{},"params":{}}`} {
		if got, err := wire.EditListenedTasks([]byte(in), edit); err == nil {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}

func TestSetTaskID(t *testing.T) {
	got, err := wire.SetTaskID([]byte(`{"id":1,"params":{"x":1.0,"task\u0049d":"old" },"method":"tasks/get"}`), `n"ew`)
	if want := `{"id":1,"params":{"x":1.0,"task\u0049d":"n\"ew" },"method":"tasks/get"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	for _, in := range []string{``, `[]`, `{}`, `{"params":[]}`, `{"params":{}}`, `{"params":{"taskId":1}}`, `{"params":{"taskId":"a","taskId":"b"}}`} {
		if got, err := wire.SetTaskID([]byte(in), "new"); err == nil {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}

// FuzzEditTaskIDs: what was an answer is one afterwards, and editing back gives the same.
func FuzzEditTaskIDs(f *testing.F) {
	f.Add([]byte(`{"result":{"taskId":"a","tasks":[{"taskId":"b"}],"task":{"taskId":"c"}}}`))
	f.Add([]byte(`{"params":{"taskId":"a","notifications":{"taskIds":["b"]}}}`))
	f.Add([]byte(`{"result":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"\ud83d\ude00"}}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		longer, err := wire.EditTaskIDs(in, func(id string) string { return "sealed " + id })
		if err != nil {
			return
		}
		if _, before := wire.ParseAnswer(in); before == nil {
			if _, after := wire.ParseAnswer(longer); after != nil {
				t.Fatalf("%q becomes %q: %v", in, longer, after)
			}
		}
		back, err := wire.EditTaskIDs(longer, func(id string) string { return strings.TrimPrefix(id, "sealed ") })
		if err != nil {
			t.Fatalf("%q becomes %q: %v", in, longer, err)
		}
		again, err := wire.EditTaskIDs(back, func(id string) string { return "sealed " + id })
		if err != nil || string(again) != string(longer) {
			t.Fatalf("%q becomes %q, and then %q, %v", in, longer, again, err)
		}
	})
}
