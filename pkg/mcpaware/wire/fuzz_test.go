package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// FuzzParseRequest compares what ParseRequest reads with what jsontext's decoder, a
// token at a time, finds under the same names.
func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"a":[1,{"b":"\ud83d\ude00"}]},"_meta":{"progressToken":1}}}`,
		`{"jsonrpc":"2.0","id":"a\u0062","m\u0065thod":"tools\/call","params":{"n\u0061me":"\u0065cho"}}`,
		` [ ] `, `{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","method":"notifications/x"}`,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"cursor":"","uri":"a://b","taskId":"t","requestState":1}}`,
		`{"jsonrpc":"2.0","id":1,"method":"ping","x":"\ud800","y":1e400}`, "\xef\xbb\xbf{}", `{"a":1,"a":2}`, `{"a":"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		message, fault := wire.ParseRequest(body)
		if fault != nil {
			if fault.Message == "" || fault.Offset < 0 || fault.Offset > len(body) || fault.HTTPStatus != 400 {
				t.Errorf("fault %+v", fault)
			}
			if fault.ID != nil && !fault.ID.IsValid() {
				t.Errorf("id %q of a fault is not JSON", fault.ID)
			}
			return
		}
		if !utf8.Valid(body) || message.Kind == wire.Invalid {
			t.Fatalf("accepted %q as %v", body, message.Kind)
		}
		if message.Kind == wire.Batch {
			return
		}
		root := members(t, body)
		params := map[string]string{}
		if raw, ok := root["params"]; ok {
			params = members(t, []byte(raw))
		}
		if string(message.ID) != root["id"] || string(message.Arguments) != params["arguments"] {
			t.Errorf("id %q, arguments %q; want %q, %q", message.ID, message.Arguments, root["id"], params["arguments"])
		}
		for name, field := range map[string]struct {
			value string
			there bool
			raw   string
		}{
			"method": {message.Method, message.Method != "", root["method"]},
			"name":   {message.Name, message.HasName, params["name"]},
			"uri":    {message.URI, message.HasURI, params["uri"]},
			"taskId": {message.TaskID, message.HasTaskID, params["taskId"]},
			"cursor": {message.Cursor, message.HasCursor, params["cursor"]},
		} {
			want, isText := "", len(field.raw) > 0 && field.raw[0] == '"'
			if isText {
				decoded, err := jsontext.AppendUnquote(nil, field.raw)
				if err != nil {
					t.Errorf("%s %q was taken: %v", name, field.raw, err)
				}
				want = string(decoded)
			}
			if field.value != want || field.there != isText {
				t.Errorf("%s is %q (%v), want %q (%v)", name, field.value, field.there, want, isText)
			}
		}
	})
}

// members reads an object with the decoder; a name that is there twice fails.
func members(t *testing.T, object []byte) map[string]string {
	t.Helper()
	decoder := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowInvalidUTF8(true))
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != '{' {
		t.Fatalf("%q is not an object: %v", object, err)
	}
	found := map[string]string{}
	for decoder.PeekKind() == '"' {
		name, err := decoder.ReadToken()
		if err != nil {
			t.Fatalf("reading a name of %q: %v", object, err)
		}
		key := name.String()
		value, err := decoder.ReadValue()
		if err != nil {
			t.Fatalf("reading %q of %q: %v", key, object, err)
		}
		found[key] = string(value)
	}
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != '}' {
		t.Fatalf("%q does not end: %v", object, err)
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		t.Fatalf("%q goes on: %v", object, err)
	}
	return found
}

// FuzzSSE: where a stream is cut into chunks changes nothing, and no byte is lost.
func FuzzSSE(f *testing.F) {
	for _, seed := range []string{
		"data: a\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r", "\xef\xbb\xbfid: 1\ndata\n\n: c\n\n",
		"data: a\r\r\ndata: b\n\r", "\r\r\n\n\r", "event: x\ndata: 1\ndata: 2\n\n",
	} {
		f.Add(seed, uint8(3), uint8(1))
	}
	f.Fuzz(func(t *testing.T, stream string, first, then uint8) {
		const limit = 64
		whole, rest, err := readEvents(stream, limit, max(len(stream), 1))
		cut, cutRest, cutErr := readEvents(stream, limit, int(first)+1, int(then)+1)
		if diff := cmp.Diff(whole, cut); diff != "" || rest != cutRest || !errors.Is(cutErr, err) {
			t.Fatalf("cut after %d, then every %d: rest %q and %q, errors %v and %v, events (-whole +cut):\n%s",
				first, then, rest, cutRest, err, cutErr, diff)
		}
	})
}

// FuzzSpliceMeta: the splice is JSON again, has the value, and differs from the answer
// by one range of bytes.
func FuzzSpliceMeta(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"result":{"a":1}}`, `{"result":{ }}`, `{"result":{"_meta":{"holdfast/via":1}}}`,
		`{"result":{"_meta" : { } ,"x":"\ud800"}}`, `{"result":{"_meta":{"a":1}},"result2":{}}`, "\xef\xbb\xbf{\"result\":{}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		const key, value = "holdfast/via", `"primary"`
		before := bytes.Clone(answer)
		spliced, err := wire.SpliceMeta(answer, key, []byte(value))
		if !bytes.Equal(before, answer) {
			t.Fatalf("the answer was changed from %q to %q", before, answer)
		}
		if err != nil {
			return
		}
		parsed, fault := wire.ParseAnswer(spliced)
		if fault != nil {
			t.Fatalf("%q became %q: %v", answer, spliced, fault)
		}
		if got, ok := wire.Find(parsed.Result, "_meta", key); !ok || string(got) != value {
			t.Fatalf("%q became %q, where the value is %q", answer, spliced, got)
		}
		prefix := 0
		for prefix < min(len(answer), len(spliced)) && answer[prefix] == spliced[prefix] {
			prefix++
		}
		suffix := 0
		for suffix < min(len(answer), len(spliced))-prefix && answer[len(answer)-1-suffix] == spliced[len(spliced)-1-suffix] {
			suffix++
		}
		if inserted := spliced[prefix : len(spliced)-suffix]; len(inserted) > len(`"_meta":{"holdfast/via":"primary"},`) {
			t.Fatalf("%q became %q: more than the member changed: %q", answer, spliced, inserted)
		}
	})
}
