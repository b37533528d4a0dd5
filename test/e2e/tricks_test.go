package e2e

import (
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
		{name: "NaN", body: trick(`"name":"get_echo","arguments":{"a":NaN}`)},
		{name: "batch, modern", body: "[" + trick(echo) + "]"},
		{name: "batch, no version header", body: `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, header: legacy},
		{name: "method and result in one object", body: strings.Replace(trick(echo), `"method"`, `"result":{},"method"`, 1)},
		{name: "id null", body: strings.Replace(trick(echo), `"id":1`, `"id":null`, 1)},
		{name: "id true", body: strings.Replace(trick(echo), `"id":1`, `"id":true`, 1)},
		{name: "id object", body: strings.Replace(trick(echo), `"id":1`, `"id":{}`, 1)},
		{name: "id 1e400", body: strings.Replace(trick(echo), `"id":1`, `"id":1e400`, 1)},
		{name: "id 1.5", body: strings.Replace(trick(echo), `"id":1`, `"id":1.5`, 1)},
		{name: "id above 2^53", body: strings.Replace(trick(echo), `"id":1`, `"id":9007199254740993`, 1)},
		{name: "long string id", body: strings.Replace(trick(echo), `"id":1`, `"id":"`+strings.Repeat("x", 2000)+`"`, 1)},
		{name: "depth 2000", body: trick(`"name":"get_echo","arguments":{"a":` + depth(2000) + `}`)},
		{name: "depth 100000", body: trick(`"name":"get_echo","arguments":{"a":` + depth(100_000) + `}`)},
		{name: "repeated Mcp-Name", body: trick(echo), header: name("get_echo", "get_echo")},
		{name: "repeated version header", body: trick(echo), header: func(h http.Header) { h["Mcp-Protocol-Version"] = []string{testbed.Modern, testbed.Modern} }},
		{name: "repeated Mcp-Method", body: trick(echo), header: func(h http.Header) { h["Mcp-Method"] = []string{"tools/call", "tools/list"} }},
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

// TestLegacyHeadersDoNotRoute: servers of older revisions do not compare the
// modern headers with the body, so they must not see them.
func TestLegacyHeadersDoNotRoute(t *testing.T) {
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
