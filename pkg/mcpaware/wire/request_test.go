package wire_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func TestParseRequestReads(t *testing.T) {
	tests := map[string]struct {
		body string
		want wire.Message
	}{
		"tool call": {
			body: `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"a":1.0}}}`,
			want: wire.Message{
				Kind: wire.Request, ID: []byte("7"), Method: "tools/call",
				Name: "echo", HasName: true, Arguments: []byte(`{"a":1.0}`),
			},
		},
		"modern meta, any order, white space": {
			body: " {\n\"params\" : { \"_meta\" : {\"progressToken\":\"p\", \"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\t\"io.modelcontextprotocol/clientCapabilities\":{}} , \"cursor\":\"\" } , \"id\" : \"a\\u0062\", \"method\":\"tools/list\",\"jsonrpc\":\"2.0\"}\r\n",
			want: wire.Message{
				Kind: wire.Request, ID: []byte(`"a\u0062"`), Method: "tools/list", HasCursor: true,
				HasMeta: true, MetaVersion: "2026-07-28", HasMetaVersion: true, HasCapabilities: true, ProgressToken: true,
			},
		},
		"escapes are decoded": {
			body: `{"jsonrpc":"2.\u0030","id":1,"m\u0065thod":"tools\/call","params":{"name":"\u0065cho"}}`,
			want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "tools/call", Name: "echo", HasName: true},
		},
		"uri, task, state": {
			body: `{"jsonrpc":"2.0","id":0,"method":"x/y","params":{"uri":"file:///a","taskId":"t","inputResponses":null,"requestState":"s"}}`,
			want: wire.Message{
				Kind: wire.Request, ID: []byte("0"), Method: "x/y", URI: "file:///a", HasURI: true,
				TaskID: "t", HasTaskID: true, HasInputResponses: true, HasRequestState: true,
			},
		},
		"initialize": {
			body: `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`,
			want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "initialize", InitVersion: "2025-11-25"},
		},
		"notification": {
			body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			want: wire.Message{Kind: wire.Notification, Method: "notifications/initialized"},
		},
		"posted result": {
			body: `{"jsonrpc":"2.0","id":-3,"result":{}}`,
			want: wire.Message{Kind: wire.Response, ID: []byte("-3")},
		},
		"posted error": {
			body: `{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":""}}`,
			want: wire.Message{Kind: wire.Response, ID: []byte(`"x"`)},
		},
		"batch":          {body: ` [{"jsonrpc":"2.0","id":1,"method":"ping"}]`, want: wire.Message{Kind: wire.Batch}},
		"largest id":     {body: `{"jsonrpc":"2.0","id":9007199254740991,"method":"ping"}`, want: wire.Message{Kind: wire.Request, ID: []byte("9007199254740991"), Method: "ping"}},
		"smallest id":    {body: `{"jsonrpc":"2.0","id":-9007199254740991,"method":"ping"}`, want: wire.Message{Kind: wire.Request, ID: []byte("-9007199254740991"), Method: "ping"}},
		"empty text id":  {body: `{"jsonrpc":"2.0","id":"","method":"ping"}`, want: wire.Message{Kind: wire.Request, ID: []byte(`""`), Method: "ping"}},
		"name no string": {body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}`, want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "tools/call"}},
		"lone surrogate in an argument passes": {
			body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"n","arguments":{"a":"\ud800"}}}`,
			want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "tools/call", Name: "n", HasName: true, Arguments: []byte(`{"a":"\ud800"}`)},
		},
		"huge numbers in arguments pass": {
			body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"n","arguments":[1e400,-0]}}`,
			want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "tools/call", Name: "n", HasName: true, Arguments: []byte(`[1e400,-0]`)},
		},
		"case variants inside arguments pass": {
			body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"n","arguments":{"Name":"x","ID":2}}}`,
			want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "tools/call", Name: "n", HasName: true, Arguments: []byte(`{"Name":"x","ID":2}`)},
		},
		"deepest nesting": {
			body: `{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":` + strings.Repeat("[", 126) + strings.Repeat("]", 126) + `}}`,
			want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "m"},
		},
		"brackets in strings do not nest": {
			body: `{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"` + strings.Repeat(`[\"{`, 200) + `"}}`,
			want: wire.Message{Kind: wire.Request, ID: []byte("1"), Method: "m"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, fault := wire.ParseRequest([]byte(test.body))
			if fault != nil {
				t.Fatalf("fault: %+v", fault)
			}
			// Params are the body's own bytes; what they say stands in the other fields.
			if p := string(got.Params); strings.HasPrefix(p, "{") != strings.Contains(test.body, `"params"`) || !strings.Contains(test.body, p) {
				t.Errorf("params %q are not those of the body", p)
			}
			got.Params = nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// The rows are the ways in which a body can be read differently by two servers.
func TestParseRequestRefuses(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`
	tests := map[string]struct {
		body string
		code int
		id   string
	}{
		"empty":                        {"", wire.CodeParse, ""},
		"white space":                  {" \r\n", wire.CodeParse, ""},
		"not JSON":                     {"hello", wire.CodeParse, ""},
		"cut off":                      {call + `{"name":"e`, wire.CodeParse, ""},
		"NaN":                          {call + `{"name":"e","arguments":{"a":NaN}}}`, wire.CodeParse, ""},
		"byte order mark":              {"\xef\xbb\xbf" + call + `{"name":"e"}}`, wire.CodeParse, ""},
		"trailing object":              {call + `{"name":"e"}}{"a":1}`, wire.CodeParse, ""},
		"trailing garbage":             {call + `{"name":"e"}} x`, wire.CodeParse, ""},
		"trailing NUL":                 {call + "{\"name\":\"e\"}}\x00", wire.CodeParse, ""},
		"invalid UTF-8":                {call + "{\"name\":\"e\xff\"}}", wire.CodeParse, ""},
		"overlong UTF-8":               {call + "{\"name\":\"\xc0\xaf\"}}", wire.CodeParse, ""},
		"raw control character":        {call + "{\"name\":\"e\n\"}}", wire.CodeParse, ""},
		"scalar":                       {`"hello"`, wire.CodeInvalidRequest, ""},
		"duplicate method":             {`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, wire.CodeInvalidRequest, "1"},
		"duplicate id":                 {`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"duplicate id by case":         {`{"jsonrpc":"2.0","id":1,"ID":2,"method":"ping","a":1,"a":2}`, wire.CodeInvalidRequest, ""},
		"duplicate params":             {`{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}`, wire.CodeInvalidRequest, "1"},
		"duplicate name":               {call + `{"name":"echo","name":"other"}}`, wire.CodeInvalidRequest, "1"},
		"duplicate name by escape":     {call + `{"name":"echo","n\u0061me":"other"}}`, wire.CodeInvalidRequest, "1"},
		"duplicate in _meta":           {call + `{"name":"e","_meta":{"a":1,"a":2}}}`, wire.CodeInvalidRequest, "1"},
		"duplicate in arguments":       {call + `{"name":"e","arguments":{"x":[{"a":1,"a":2}]}}}`, wire.CodeInvalidRequest, "1"},
		"case variant METHOD":          {`{"jsonrpc":"2.0","id":1,"METHOD":"ping"}`, wire.CodeInvalidRequest, ""},
		"case variant beside method":   {`{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, wire.CodeInvalidRequest, ""},
		"case variant by escape":       {`{"jsonrpc":"2.0","id":1,"method":"ping","\u004dethod":"x"}`, wire.CodeInvalidRequest, ""},
		"case variant of ID":           {`{"jsonrpc":"2.0","Id":1,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"case variant of Params":       {`{"jsonrpc":"2.0","id":1,"method":"ping","Params":{}}`, wire.CodeInvalidRequest, ""},
		"case variant by long s":       {`{"jsonrpc":"2.0","id":1,"method":"ping","param` + "\u017f" + `":{}}`, wire.CodeInvalidRequest, ""},
		"case variant by kelvin sign":  {call + `{"name":"e","tas` + "\u212a" + `id":"t"}}`, wire.CodeInvalidRequest, "1"},
		"case variant of Name":         {call + `{"name":"echo","Name":"other"}}`, wire.CodeInvalidRequest, "1"},
		"case variant of Arguments":    {call + `{"name":"echo","Arguments":{}}}`, wire.CodeInvalidRequest, "1"},
		"case variant of URI":          {call + `{"URI":"a"}}`, wire.CodeInvalidRequest, "1"},
		"case variant of _META":        {call + `{"name":"echo","_META":{}}}`, wire.CodeInvalidRequest, "1"},
		"case variant of a version":    {call + `{"name":"e","_meta":{"io.modelcontextprotocol/protocolversion":"2026-07-28"}}}`, wire.CodeInvalidRequest, "1"},
		"lone surrogate in a name":     {call + `{"name":"\ud800"}}`, wire.CodeInvalidParams, "1"},
		"lone surrogate in a method":   {`{"jsonrpc":"2.0","id":1,"method":"\ud800"}`, wire.CodeInvalidRequest, "1"},
		"lone surrogate in an id":      {`{"jsonrpc":"2.0","id":"\udfff","method":"ping"}`, wire.CodeInvalidRequest, ""},
		"lone surrogate as a member":   {call + `{"\ud800":1}}`, wire.CodeInvalidRequest, "1"},
		"method and result":            {`{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, wire.CodeInvalidRequest, "1"},
		"method and error":             {`{"jsonrpc":"2.0","id":1,"method":"ping","error":{}}`, wire.CodeInvalidRequest, "1"},
		"result and error":             {`{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, wire.CodeInvalidRequest, "1"},
		"response without id":          {`{"jsonrpc":"2.0","result":{}}`, wire.CodeInvalidRequest, ""},
		"response with params":         {`{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, wire.CodeInvalidRequest, "1"},
		"response with a string error": {`{"jsonrpc":"2.0","id":1,"error":"x"}`, wire.CodeInvalidRequest, "1"},
		"id null":                      {`{"jsonrpc":"2.0","id":null,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id bool":                      {`{"jsonrpc":"2.0","id":true,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id object":                    {`{"jsonrpc":"2.0","id":{},"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id array":                     {`{"jsonrpc":"2.0","id":[1],"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id fraction":                  {`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id whole fraction":            {`{"jsonrpc":"2.0","id":1.0,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id exponent":                  {`{"jsonrpc":"2.0","id":1e400,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id minus zero":                {`{"jsonrpc":"2.0","id":-0,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id above 2^53-1":              {`{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id below -(2^53-1)":           {`{"jsonrpc":"2.0","id":-9007199254740993,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id of many digits":            {`{"jsonrpc":"2.0","id":` + strings.Repeat("9", 400) + `,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		"id too long":                  {`{"jsonrpc":"2.0","id":"` + strings.Repeat("x", wire.MaxIDBytes+1) + `","method":"ping"}`, wire.CodeInvalidRequest, ""},
		"no jsonrpc":                   {`{"id":1,"method":"ping"}`, wire.CodeInvalidRequest, "1"},
		"jsonrpc 1.0":                  {`{"jsonrpc":"1.0","id":1,"method":"ping"}`, wire.CodeInvalidRequest, "1"},
		"jsonrpc number":               {`{"jsonrpc":2.0,"id":1,"method":"ping"}`, wire.CodeInvalidRequest, "1"},
		"nothing known":                {`{"jsonrpc":"2.0","id":1}`, wire.CodeInvalidRequest, "1"},
		"method number":                {`{"jsonrpc":"2.0","id":1,"method":5}`, wire.CodeInvalidRequest, "1"},
		"method empty":                 {`{"jsonrpc":"2.0","id":1,"method":""}`, wire.CodeInvalidRequest, "1"},
		"method with a line break":     {`{"jsonrpc":"2.0","id":1,"method":"a\r\nb"}`, wire.CodeInvalidRequest, "1"},
		"method too long":              {`{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("m", wire.MaxMethodBytes+1) + `"}`, wire.CodeInvalidRequest, "1"},
		"params array":                 {call + `["name"]}`, wire.CodeInvalidParams, "1"},
		"params null":                  {call + `null}`, wire.CodeInvalidParams, "1"},
		"_meta null":                   {call + `{"_meta":null}}`, wire.CodeInvalidParams, "1"},
		"_meta version number":         {call + `{"_meta":{"io.modelcontextprotocol/protocolVersion":2026}}}`, wire.CodeInvalidParams, "1"},
		"cursor number":                {call + `{"cursor":5}}`, wire.CodeInvalidParams, "1"},
		"name too long":                {call + `{"name":"` + strings.Repeat("n", wire.MaxNameBytes+1) + `"}}`, wire.CodeInvalidParams, "1"},
		"too deep":                     {call + `{"x":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}}`, wire.CodeInvalidRequest, ""},
		"far too deep":                 {strings.Repeat("[", 100_000), wire.CodeInvalidRequest, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			message, fault := wire.ParseRequest([]byte(test.body))
			if fault == nil {
				t.Fatalf("accepted as %+v", message)
			}
			if fault.Code != test.code || string(fault.ID) != test.id || fault.HTTPStatus != 400 {
				t.Errorf("code %d, id %q, status %d; want %d, %q, 400 (%s)", fault.Code, fault.ID, fault.HTTPStatus, test.code, test.id, fault)
			}
			if fault.Message == "" || fault.Offset < 0 || fault.Offset > len(test.body) {
				t.Errorf("message %q at %d of %d", fault.Message, fault.Offset, len(test.body))
			}
		})
	}
}
