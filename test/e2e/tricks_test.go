package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const trickMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// call with the given members of params in place of name and arguments.
func trick(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + params + `,` + trickMeta + `}}`
}

// TestParserDifferentials sends every trick on which MCP servers' parsers are
// known to differ through Envoy and shows that no server saw it, or that it saw
// exactly the bytes that were decided on.
func TestParserDifferentials(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	echo := `"name":"get_echo","arguments":{}`
	depth := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	legacy := func(h http.Header) {
		h.Del("Mcp-Protocol-Version")
		h.Del("Mcp-Method")
		h.Del("Mcp-Name")
	}
	name := func(v ...string) func(http.Header) { return func(h http.Header) { h["Mcp-Name"] = v } }
	for _, c := range []struct {
		name   string
		body   string
		header func(http.Header)
		passes bool
	}{
		{name: "duplicate name", body: trick(`"name":"get_echo","name":"other","arguments":{}`)},
		{name: "duplicate method", body: strings.Replace(trick(echo), `"method":"tools/call"`, `"method":"tools/call","method":"tools/list"`, 1)},
		{name: "duplicate params", body: strings.Replace(trick(echo), `"params"`, `"params":{},"params"`, 1)},
		{name: "duplicate id", body: strings.Replace(trick(echo), `"id":1`, `"id":1,"id":2`, 1)},
		{name: "duplicate key in arguments", body: trick(`"name":"get_echo","arguments":{"a":1,"a":2}`)},
		{name: "duplicate key in _meta", body: strings.Replace(trick(echo), trickMeta, `"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25",`+strings.TrimPrefix(trickMeta, `"_meta":{`), 1)},
		{name: "duplicate key in two spellings", body: trick(`"name":"get_echo","n\u0061me":"other","arguments":{}`)},
		{name: "case variant Params", body: strings.Replace(trick(echo), `"params"`, `"Params":{},"params"`, 1)},
		{name: "case variant beyond ASCII", body: trick(`"argument\u017f":{},` + echo)},
		{name: "case variant Name", body: trick(`"Name":"other",` + echo)},
		{name: "case variant METHOD", body: strings.Replace(trick(echo), `"method"`, `"METHOD"`, 1)},
		{name: "escaped name is decoded", body: trick(`"name":"get_\u0065cho","arguments":{}`), passes: true},
		{name: "escaped method key is decoded", body: strings.Replace(trick(echo), `"method"`, `"m\u0065thod"`, 1), passes: true},
		{name: "escaped slash is decoded", body: strings.Replace(trick(echo), `tools/call`, `tools\/call`, 1), passes: true},
		{name: "BOM", body: "\ufeff" + trick(echo)},
		{name: "trailing second object", body: trick(echo) + trick(`"name":"other","arguments":{}`)},
		{name: "trailing garbage", body: trick(echo) + "x"},
		{name: "trailing NUL", body: trick(echo) + "\x00"},
		{name: "invalid UTF-8", body: trick("\"name\":\"get_echo\",\"arguments\":{\"a\":\"\xff\"}")},
		{name: "lone surrogate in a name", body: trick(`"name":"get_\ud800","arguments":{}`), header: name("get_")},
		{name: "lone surrogate in an argument", body: trick(`"name":"get_echo","arguments":{"a":"\ud800"}`), passes: true},
		{name: "NaN", body: trick(`"name":"get_echo","arguments":{"a":NaN}`)},
		{name: "batch, modern", body: "[" + trick(echo) + "]"},
		{name: "batch, no version header", body: `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, header: legacy, passes: true},
		{name: "batch of 2025-06-18", body: `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, header: func(h http.Header) {
			legacy(h)
			h.Set("Mcp-Protocol-Version", "2025-06-18")
		}},
		{name: "batch that hides a modern call", body: "[" + trick(echo) + "]", header: legacy},
		{name: "batch that hides a batch", body: `[[{"jsonrpc":"2.0","id":1,"method":"ping"}]]`, header: legacy},
		{name: "batch that hides an initialize", body: `[{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}]`, header: legacy},
		{name: "batch with one id twice", body: `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1,"method":"tools/list"}]`, header: legacy},
		{name: "batch with a call without an id", body: `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}]`, header: legacy},
		{name: "method and result in one object", body: strings.Replace(trick(echo), `"method"`, `"result":{},"method"`, 1)},
		{name: "id null", body: strings.Replace(trick(echo), `"id":1`, `"id":null`, 1)},
		{name: "id true", body: strings.Replace(trick(echo), `"id":1`, `"id":true`, 1)},
		{name: "id object", body: strings.Replace(trick(echo), `"id":1`, `"id":{}`, 1)},
		{name: "id array", body: strings.Replace(trick(echo), `"id":1`, `"id":[1]`, 1)},
		{name: "id minus zero", body: strings.Replace(trick(echo), `"id":1`, `"id":-0`, 1)},
		{name: "id 1e400", body: strings.Replace(trick(echo), `"id":1`, `"id":1e400`, 1)},
		{name: "id 1.5", body: strings.Replace(trick(echo), `"id":1`, `"id":1.5`, 1)},
		{name: "id above 2^53", body: strings.Replace(trick(echo), `"id":1`, `"id":9007199254740993`, 1)},
		{name: "long string id", body: strings.Replace(trick(echo), `"id":1`, `"id":"`+strings.Repeat("x", 2000)+`"`, 1)},
		{name: "depth 2000", body: trick(`"name":"get_echo","arguments":{"a":` + depth(2000) + `}`)},
		{name: "depth 100000", body: trick(`"name":"get_echo","arguments":{"a":` + depth(100_000) + `}`)},
		{name: "repeated Mcp-Name", body: trick(echo), header: name("get_echo", "get_echo")},
		{name: "repeated version header", body: trick(echo), header: func(h http.Header) { h["Mcp-Protocol-Version"] = []string{testbed.Modern, testbed.Modern} }},
		{name: "repeated Mcp-Method", body: trick(echo), header: func(h http.Header) { h["Mcp-Method"] = []string{"tools/call", "tools/list"} }},
		{name: "repeated Mcp-Param", body: trick(echo), header: func(h http.Header) { h["Mcp-Param-Region"] = []string{"a", "b"} }},
		{name: "joined Mcp-Name", body: trick(echo), header: name("get_echo, get_echo")},
		{name: "Mcp-Name in base64", body: trick(echo), header: name("=?base64?Z2V0X2VjaG8=?="), passes: true},
		{name: "Mcp-Name in base64 that is not canonical", body: trick(echo), header: name("=?base64?Z2V0X2VjaG9=?=")},
		{name: "Mcp-Name in raw UTF-8", body: trick(`"name":"get_écho","arguments":{}`), header: name("get_écho")},
		{name: "Mcp-Name of another tool", body: trick(echo), header: name("other")},
		{name: "Mcp-Method of another method", body: trick(echo), header: func(h http.Header) { h.Set("Mcp-Method", "tools/list") }},
		{name: "missing Mcp-Name", body: trick(echo), header: func(h http.Header) { h.Del("Mcp-Name") }},
		{name: "posted response, modern", body: `{"jsonrpc":"2.0","id":1,"result":{}}`},
		{name: "modern header on a legacy body", body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other"}}`},
		{name: "legacy header on a modern body", body: trick(echo), header: func(h http.Header) { h.Set("Mcp-Protocol-Version", "2025-11-25") }},
		{name: "unknown revision", body: trick(echo), header: func(h http.Header) { h.Set("Mcp-Protocol-Version", "zzz") }},
		{name: "not JSON at all", body: "hello"},
		{name: "empty body", body: " "},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.set(nil, nil)
			header := testbed.ModernHeaders("tools/call", "get_echo")
			if c.header != nil {
				c.header(header)
			}
			got, err := p.Post("/mcp", header, c.body)
			if err != nil {
				t.Fatal(err)
			}
			reached := append(p.mumbai.requests(), p.delhi.requests()...)
			if !c.passes {
				if len(reached) != 0 || got.Status != 400 || !strings.Contains(string(got.Body), `"error"`) {
					t.Errorf("status %d, %d requests reached a server: %.300s", got.Status, len(reached), got.Body)
				}
				return
			}
			if got.Status != 200 || len(reached) != 1 || reached[0].Body != c.body {
				t.Fatalf("status %d, %d requests reached a server: %.300s", got.Status, len(reached), got.Body)
			}
		})
	}
}

// TestIDs: every id that a client may choose reaches the server and comes back as the
// bytes that it was.
func TestIDs(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	echoID := func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			ID json.RawMessage `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			panic(http.ErrAbortHandler)
		}
		jsonAnswer(strings.Replace(goodBody, `"id":1`, `"id":`+string(message.ID), 1))(w, r)
	}
	for _, id := range []string{"0", "-1", "9007199254740991", "-9007199254740991", `"0"`, `""`, `"a\u0062c"`, `"\"x\\"`, `"` + strings.Repeat("y", 1024) + `"`} {
		p.set(echoID, echoID)
		got, err := p.Post("/mcp", testbed.ModernHeaders("tools/call", "get_echo"), testbed.CallTool(id, "get_echo", "{}"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != 200 || string(parse(t, got).ID) != id || got.Header.Get("x-holdfast-degraded") != "" || len(p.mumbai.requests()) != 1 {
			t.Errorf("id %.40s: status %d, %d requests: %.200s", id, got.Status, len(p.mumbai.requests()), got.Body)
		}
		// The same when nobody answers.
		p.set(statusAnswer(500, "text/html", "x"), statusAnswer(500, "text/html", "x"))
		if got, err = p.Post("/mcp", testbed.ModernHeaders("tools/call", "get_echo"), testbed.CallTool(id, "get_echo", "{}")); err != nil {
			t.Fatal(err)
		}
		if got.Status != 200 || string(parse(t, got).ID) != id || got.Header.Get("x-holdfast-degraded") == "" {
			t.Errorf("id %.40s, degraded: status %d: %.200s", id, got.Status, got.Body)
		}
	}
}

// TestBatches: an array of 2025-03-26 goes to one server whole, and when no server can
// answer, every request in it is answered.
func TestBatches(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	const (
		list   = `{"jsonrpc":"2.0","id":"l","method":"tools/list"}`
		get    = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{}}}`
		create = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"create_order","arguments":{}}}`
	)
	broken := statusAnswer(500, "text/html", "oops")
	answers := jsonAnswer(`[{"jsonrpc":"2.0","id":"l","result":{"tools":[]}},{"jsonrpc":"2.0","id":1,"result":{"content":[]}}]`)
	for _, c := range []struct {
		name          string
		body          string
		mumbai, delhi http.HandlerFunc
		tries         [2]int
		want          []string
	}{
		{"answered", "[" + list + "," + get + "]", answers, broken, [2]int{1, 0}, []string{`[{"jsonrpc":"2.0","id":"l","result":{"tools":[]}}`}},
		{"all safe: tried again elsewhere", "[" + list + "," + get + "]", broken, answers, [2]int{1, 1}, []string{`[{"jsonrpc":"2.0","id":"l","result":{"tools":[]}}`}},
		{"one unsafe: tried once", "[" + list + "," + create + "]", broken, answers, [2]int{1, 0}, []string{
			`[{"jsonrpc":"2.0","id":"l","error":{`, `{"jsonrpc":"2.0","id":2,"result":{"content"`, `"isError":true`, `"outcome":"unknown"`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.set(c.mumbai, c.delhi)
			got, err := p.Post("/mcp", header, c.body)
			if err != nil {
				t.Fatal(err)
			}
			if m, d := len(p.mumbai.requests()), len(p.delhi.requests()); got.Status != 200 || m != c.tries[0] || d != c.tries[1] {
				t.Errorf("status %d, Mumbai saw %d, Delhi %d, want %v", got.Status, m, d, c.tries)
			}
			for _, want := range c.want {
				if !strings.Contains(string(got.Body), want) {
					t.Errorf("the answer lacks %s: %s", want, got.Body)
				}
			}
		})
	}
}

// TestLegacyHeadersDoNotRoute: servers of older revisions do not compare the
// modern headers with the body, so they must not see them.
func TestLegacyHeadersDoNotRoute(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(nil, nil)
	header := testbed.ModernHeaders("tools/call", "get_echo")
	header.Set("Mcp-Protocol-Version", "2025-11-25")
	header.Set("Mcp-Param-Region", "spoofed")
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_other","arguments":{}}}`
	if _, err := p.Post("/mcp", header, body); err != nil {
		t.Fatal(err)
	}
	reached := p.mumbai.requests()
	if len(reached) != 1 {
		t.Fatalf("%d requests reached Mumbai", len(reached))
	}
	for _, name := range []string{"Mcp-Method", "Mcp-Name", "Mcp-Param-Region"} {
		if v := reached[0].Header.Get(name); v != "" {
			t.Errorf("the server saw %s: %s", name, v)
		}
	}
}
