package wire_test

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func TestSpliceMeta(t *testing.T) {
	tests := map[string]struct{ answer, want string }{
		"no _meta":           {`{"id":1,"result":{"a":1}}`, `{"id":1,"result":{"_meta":{"k":"v"},"a":1}}`},
		"empty result":       {`{"result":{ },"id":1}`, `{"result":{"_meta":{"k":"v"} },"id":1}`},
		"empty _meta":        {`{"result":{"x":1e400,"_meta":{}}}`, `{"result":{"x":1e400,"_meta":{"k":"v"}}}`},
		"_meta with members": {`{"result":{"_meta" : { "a":1 }}}`, `{"result":{"_meta" : {"k":"v", "a":1 }}}`},
		"own key replaced":   {`{"result":{"_meta":{"k":{"forged":[1]},"b":2}}}`, `{"result":{"_meta":{"k":"v","b":2}}}`},
		"escaped key":        {`{"result":{"_meta":{"\u006b":0}}}`, `{"result":{"_meta":{"\u006b":"v"}}}`},
		"result elsewhere":   {`{"a":{"result":{}},"result":{"b":{"_meta":{}}}}`, `{"a":{"result":{}},"result":{"_meta":{"k":"v"},"b":{"_meta":{}}}}`},
		"byte order mark":    {"\xef\xbb\xbf{\"result\":{}}", "\xef\xbb\xbf{\"result\":{\"_meta\":{\"k\":\"v\"}}}"},
		"odd bytes kept":     {"{\"result\":{\"a\":\"\xff\\ud800\",\"a\":1.0}}", "{\"result\":{\"_meta\":{\"k\":\"v\"},\"a\":\"\xff\\ud800\",\"a\":1.0}}"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := wire.SpliceMeta([]byte(test.answer), "k", []byte(`"v"`))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestSpliceMetaRefuses(t *testing.T) {
	tests := map[string]struct{ answer, value string }{
		"not JSON":        {`{"result":{}`, `1`},
		"trailing":        {`{"result":{}} {}`, `1`},
		"array":           {`[{"result":{}}]`, `1`},
		"error":           {`{"error":{}}`, `1`},
		"result scalar":   {`{"result":1}`, `1`},
		"two results":     {`{"result":{},"result":{}}`, `1`},
		"two _meta":       {`{"result":{"_meta":{},"_meta":{}}}`, `1`},
		"_meta null":      {`{"result":{"_meta":null}}`, `1`},
		"_meta array":     {`{"result":{"_meta":[]}}`, `1`},
		"key twice":       {`{"result":{"_meta":{"k":1,"k":2}}}`, `1`},
		"value not JSON":  {`{"result":{}}`, `1,"x":2`},
		"value not there": {`{"result":{}}`, ``},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := wire.SpliceMeta([]byte(test.answer), "k", []byte(test.value)); err == nil {
				t.Errorf("spliced to %s", got)
			}
		})
	}
}

func TestSetMember(t *testing.T) {
	got, err := wire.SetMember([]byte(` {"ttlMs" : 60000 , "tools":[]}`), "ttlMs", []byte("5000"))
	if want := ` {"ttlMs" : 5000 , "tools":[]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if got, err = wire.SetMember([]byte(`[]`), "a", []byte("1")); err == nil {
		t.Errorf("set in an array: %s", got)
	}
}

func TestSpliceEvent(t *testing.T) {
	tests := map[string]struct{ raw, want string }{
		"LF":              {"event: message\ndata: {\"result\":{}}\n\n", "event: message\ndata: {\"result\":{\"_meta\":{\"k\":1}}}\n\n"},
		"CRLF, id first":  {"id: 5\r\ndata:{\"result\":{}}\r\n\r\n", "id: 5\r\ndata:{\"result\":{\"_meta\":{\"k\":1}}}\r\n\r\n"},
		"CR":              {"data: {\"result\":{}}\r\r", "data: {\"result\":{\"_meta\":{\"k\":1}}}\r\r"},
		"comment between": {": hi\ndata: {\"result\":{}}\n: there\n\n", ": hi\ndata: {\"result\":{\"_meta\":{\"k\":1}}}\n: there\n\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := wire.SpliceEvent([]byte(test.raw), "k", []byte("1"))
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
	for name, raw := range map[string]string{
		"two data lines": "data: {\"result\":\ndata: {}}\n\n",
		"two events":     "data: {\"result\":{}}\n\ndata: {\"result\":{}}\n\n",
		"no end":         "data: {\"result\":{}}\n",
		"bytes after":    "data: {\"result\":{}}\n\n:",
		"no data":        ": comment\n\n",
		"not an answer":  "data: hello\n\n",
		"nothing":        "",
	} {
		if got, err := wire.SpliceEvent([]byte(raw), "k", []byte("1")); err == nil {
			t.Errorf("%s: spliced to %q", name, got)
		}
	}
	if got, err := wire.SpliceEvent([]byte("data: {\"result\":{}}\n\n"), "k", []byte("[\n1]")); err == nil || !strings.Contains(err.Error(), "line break") {
		t.Errorf("a value with a line break: %q, %v", got, err)
	}
}
