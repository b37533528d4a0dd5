package fallback

import (
	"strings"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func moves(pairs ...string) []*policyv1.Move {
	var out []*policyv1.Move
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, &policyv1.Move{From: pairs[i], To: pairs[i+1]})
	}
	return out
}

func mapping(t testing.TB, pairs ...string) Mapping {
	t.Helper()
	m, err := Compile(moves(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		moves      []string
		from, want string
	}{
		"unchanged":           {nil, `{"a" : 1}`, `{"a" : 1}`},
		"renamed":             {[]string{"/order_id", "/id"}, `{"order_id":"O-1","x":2}`, `{"id":"O-1"}`},
		"deeper and in order": {[]string{"/a", "/q/x", "/b/0", "/q/y", "/c", "/z"}, `{"c":3,"b":[ 2 ],"a":1}`, `{"q":{"x":1,"y":2},"z":3}`},
		"not there":           {[]string{"/a", "/b", "/c", "/d"}, `{"c":null}`, `{"d":null}`},
		"nothing there":       {[]string{"/a", "/b"}, ``, `{}`},
		"exact bytes":         {[]string{"/n", "/m"}, `{"n":1.0e3}`, `{"m":1.0e3}`},
		"escapes":             {[]string{"/a~1b", "/~0c"}, `{"a/b":true}`, `{"~c":true}`},
		"whole objects":       {[]string{"/o", "/p"}, `{"o":{"a":[1, 2]}}`, `{"p":{"a":[1, 2]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mapping(t, c.moves...).Apply([]byte(c.from))
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, pairs := range map[string][]string{
		"no pointer": {"a", "/b"}, "the root": {"/a", ""}, "a bad escape": {"/a", "/~2"}, "an open escape": {"/a", "/b~"},
		"one target twice": {"/a", "/x", "/b", "/x"}, "a target in a target": {"/a", "/x/y", "/b", "/x"},
		"too long": {"/" + strings.Repeat("a", 256), "/x"}, "too many": strings.Split(strings.Repeat("/a,/x,", 33)+"/a,/x", ","),
	} {
		if _, err := Compile(moves(pairs...)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRequest(t *testing.T) {
	body := `{"jsonrpc":"2.0","id":1.50,"method":"tools/call","params":{"_meta":{"progressToken":"p"},"name":"get_order","arguments":{"order_id":"O-1"}}}`
	want := `{"jsonrpc":"2.0","id":1.50,"method":"tools/call","params":{"_meta":{"progressToken":"p"},"name":"find","arguments":{"id":"O-1"}}}`
	got, err := Request([]byte(body), "find", mapping(t, "/order_id", "/id"))
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err = Request([]byte(body), "find", Mapping{}); err != nil || !strings.Contains(string(got), `"name":"find","arguments":{"order_id":"O-1"}`) {
		t.Errorf("unmapped: %s, %v", got, err)
	}
	large := strings.Replace(body, "O-1", strings.Repeat("x", MaxBytes), 1)
	if _, err := Request([]byte(large), "find", Mapping{}); err == nil {
		t.Error("a call above the bound was mapped")
	}
	many := strings.Replace(body, `"O-1"`, `[`+strings.Repeat("1,", MaxBytes/4)+`1]`, 1)
	if _, err := Request([]byte(many), "find", mapping(t, "/order_id", "/a", "/order_id", "/b")); err == nil {
		t.Error("a call that the mapping makes larger than the bound went through")
	}
}

func TestAnswer(t *testing.T) {
	m := mapping(t, "/doc/no", "/order_id")
	for name, c := range map[string]struct{ result, want string }{
		"structured": {
			`{"content":[{"type":"text","text":"x"}],"structuredContent":{"doc":{"no":7}},"resultType":"complete"}`,
			`{"content":[{"type":"text","text":"{\"order_id\":7}"}],"structuredContent":{"order_id":7},"resultType":"complete"}`,
		},
		"text only": {
			`{"content":[{"type":"text","text":"{\"doc\":{\"no\":7}}"}]}`,
			`{"structuredContent":{"order_id":7},"content":[{"type":"text","text":"{\"order_id\":7}"}]}`,
		},
		"free text":  {`{"content":[{"type":"text","text":"seven"}]}`, `{"content":[{"type":"text","text":"seven"}]}`},
		"two texts":  {`{"content":[{"text":"{}"},{"text":"{}"}]}`, `{"content":[{"text":"{}"},{"text":"{}"}]}`},
		"an error":   {`{"isError":true,"structuredContent":{"doc":{"no":7}}}`, `{"isError":true,"structuredContent":{"doc":{"no":7}}}`},
		"no content": {`{}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Answer([]byte(`{"jsonrpc":"2.0","id":1,"result":`+c.result+`}`), m)
			if want := `{"jsonrpc":"2.0","id":1,"result":` + c.want + `}`; err != nil || string(got) != want {
				t.Errorf("got  %s, %v\nwant %s", got, err, want)
			}
		})
	}
	failed := `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`
	if got, err := Answer([]byte(failed), m); err != nil || string(got) != failed {
		t.Errorf("an error became %s, %v", got, err)
	}
}

// FuzzMapping: whatever is mapped is JSON afterwards, and a call keeps its id.
func FuzzMapping(f *testing.F) {
	f.Add(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1,{"y":"z"}]}}}`, "/x/1", "/p/q", "/x", "/r")
	f.Add(`{"jsonrpc":"2.0","id":"\u00e9","method":"tools/call","params":{"name":"a"}}`, "/", "/~1", "/x", "/~0")
	f.Fuzz(func(t *testing.T, body, from1, to1, from2, to2 string) {
		message, fault := wire.ParseRequest([]byte(body))
		m, err := Compile(moves(from1, to1, from2, to2))
		if fault != nil || err != nil {
			return
		}
		got, err := Request([]byte(body), "tool", m)
		if err != nil {
			return
		}
		again, fault := wire.ParseRequest(got)
		if fault != nil || string(again.ID) != string(message.ID) || again.Name != "tool" {
			t.Fatalf("%s became %s: %v", body, got, fault)
		}
	})
}
