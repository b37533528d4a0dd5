package wire_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func TestParseAnswer(t *testing.T) {
	tests := map[string]struct {
		body string
		want wire.Answer
	}{
		"tool result, id last": {
			body: `{"jsonrpc":"2.0","result":{"content":[{"type":"image"},{"type":"text","text":"a\u0062"},{"type":"text","text":"c"}],"structuredContent":{"x":1},"resultType":"complete","isError":true},"id":3}`,
			want: wire.Answer{
				Kind: wire.Response, ID: []byte("3"), IsError: true, ResultType: "complete", ResultStart: 26, ResultEnd: 183,
				Structured: []byte(`{"x":1}`), Text: []byte(`"a\u0062"`),
			},
		},
		"error": {
			body: `{"jsonrpc":"2.0","id":"a","error":{"code":-32603,"message":"no","data":[1]}}`,
			want: wire.Answer{Kind: wire.Response, ID: []byte(`"a"`), HasError: true, ErrorCode: -32603, ErrorMessage: "no", ErrorData: []byte("[1]")},
		},
		"error without id": {
			body: `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}`,
			want: wire.Answer{Kind: wire.Response, ID: []byte("null"), HasError: true, ErrorCode: -32700},
		},
		"error code as a fraction": {
			body: `{"error":{"code":-3.2603e4}}`,
			want: wire.Answer{Kind: wire.Response, HasError: true, ErrorCode: -32603},
		},
		"error code no integer": {
			body: `{"error":{"code":1.5}}`,
			want: wire.Answer{Kind: wire.Response, HasError: true},
		},
		"error as text": {
			body: `{"error":"boom"}`,
			want: wire.Answer{Kind: wire.Response, HasError: true},
		},
		"null error beside a result": {
			body: `{"id":1,"result":7,"error":null}`,
			want: wire.Answer{Kind: wire.Response, ID: []byte("1"), ResultStart: 17, ResultEnd: 18},
		},
		"the last duplicate counts": {
			body: `{"id":1,"result":{"isError":true,"isError":false}}`,
			want: wire.Answer{Kind: wire.Response, ID: []byte("1"), ResultStart: 17, ResultEnd: 49},
		},
		"byte order mark": {
			body: "\xef\xbb\xbf{\"id\":1,\"result\":{}}",
			want: wire.Answer{Kind: wire.Response, ID: []byte("1"), ResultStart: 20, ResultEnd: 22},
		},
		"invalid UTF-8 inside": {
			body: "{\"id\":1,\"result\":{\"a\":\"\xff\"}}",
			want: wire.Answer{Kind: wire.Response, ID: []byte("1"), ResultStart: 17, ResultEnd: 26},
		},
		"notification":   {body: `{"method":"notifications/progress","params":{}}`, want: wire.Answer{Kind: wire.Notification, Method: "notifications/progress"}},
		"server request": {body: `{"method":"roots/list","id":4}`, want: wire.Answer{Kind: wire.Request, Method: "roots/list", ID: []byte("4")}},
		"batch":          {body: ` [ ]`, want: wire.Answer{Kind: wire.Batch}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, fault := wire.ParseAnswer([]byte(test.body))
			if fault != nil {
				t.Fatal(fault)
			}
			if test.want.ResultEnd > 0 {
				test.want.Result = []byte(test.body[test.want.ResultStart:test.want.ResultEnd])
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseAnswerRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"empty":            "",
		"html":             "<html></html>",
		"cut off":          `{"id":1,"result":{`,
		"trailing garbage": `{"id":1,"result":{}} x`,
		"two messages":     `{"id":1,"result":{}}{"id":1,"result":{}}`,
		"scalar":           `"ok"`,
		"nothing known":    `{"jsonrpc":"2.0","id":1}`,
		"null error alone": `{"jsonrpc":"2.0","id":1,"error":null}`,
		"method number":    `{"method":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			if answer, fault := wire.ParseAnswer([]byte(body)); fault == nil {
				t.Errorf("read as %+v", answer)
			}
		})
	}
}

func TestSameID(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{`1`, `1`, true},
		{`1`, `1.0`, true},
		{`100`, `1e2`, true},
		{`-0`, `0`, true},
		{`1`, `"1"`, false},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"b"`, false},
		{`"\ud800"`, `"\udfff"`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`null`, `1`, false},
		{``, `1`, false},
	}
	for _, test := range tests {
		if got := wire.SameID([]byte(test.a), []byte(test.b)); got != test.want {
			t.Errorf("SameID(%s, %s) = %v", test.a, test.b, got)
		}
		if got := wire.SameID([]byte(test.b), []byte(test.a)); got != test.want {
			t.Errorf("SameID(%s, %s) = %v", test.b, test.a, got)
		}
	}
}

func TestAppendNumber(t *testing.T) {
	same := [][]string{
		{"0", "-0", "0.0", "0e5", "0.000e-3"},
		{"1", "1.0", "10e-1", "0.1e1", "1E+0"},
		{"-120", "-1.2e2", "-12e1", "-120.00"},
		{"9007199254740993"},
		{"9007199254740992"},
		{"1e400", "10e399"},
		{"0.5", "5e-1"},
	}
	seen := map[string]int{}
	for group, spellings := range same {
		for _, spelling := range spellings {
			canonical, ok := wire.AppendNumber(nil, []byte(spelling))
			if !ok {
				t.Errorf("%s is not taken", spelling)
			}
			if other, taken := seen[string(canonical)]; taken && other != group {
				t.Errorf("%s reads as %s, like %v", spelling, canonical, same[other])
			}
			seen[string(canonical)] = group
		}
	}
	if len(seen) != len(same) {
		t.Errorf("%d canonical forms of %d values: %v", len(seen), len(same), seen)
	}
	for _, bad := range []string{"", `"1"`, "null", "1e99999999999", "1e1000001", "-", "[1]"} {
		if canonical, ok := wire.AppendNumber(nil, []byte(bad)); ok {
			t.Errorf("%q reads as %s", bad, canonical)
		}
	}
}

func TestFind(t *testing.T) {
	const document = ` { "a" : {"b":[10, {"c":null} ,"x"]}, "\u0064":1, "~/": true, "e":1,"e":2, "":5 } `
	tests := []struct {
		path []string
		want string
	}{
		{[]string{"a", "b", "0"}, "10"},
		{[]string{"a", "b", "1", "c"}, "null"},
		{[]string{"a", "b", "2"}, `"x"`},
		{[]string{"d"}, "1"},
		{[]string{"~/"}, "true"},
		{[]string{"e"}, "2"},
		{[]string{""}, "5"},
		{[]string{"a", "b", "3"}, ""},
		{[]string{"a", "b", "00"}, ""},
		{[]string{"a", "b", "-1"}, ""},
		{[]string{"a", "b", "-"}, ""},
		{[]string{"a", "b", "99999999999999999999"}, ""},
		{[]string{"a", "b", "0", "x"}, ""},
		{[]string{"A"}, ""},
	}
	for _, test := range tests {
		got, ok := wire.Find([]byte(document), test.path...)
		if string(got) != test.want || ok != (test.want != "") {
			t.Errorf("Find(%q) = %q, %v; want %q", test.path, got, ok, test.want)
		}
	}
	if whole, ok := wire.Find([]byte(" 5 ")); !ok || string(whole) != "5" {
		t.Errorf("Find() = %q, %v", whole, ok)
	}
}
