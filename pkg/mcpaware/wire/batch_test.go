package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func TestParseBatch(t *testing.T) {
	ping := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }
	many := make([]string, wire.MaxBatch+1)
	long := make([]string, 8)
	for i := range many {
		many[i] = ping(fmt.Sprint(i))
	}
	for i := range long {
		long[i] = ping(`"` + strings.Repeat(fmt.Sprint(i), 600) + `"`)
	}
	for name, test := range map[string]struct{ body, want string }{
		"requests":             {` [ ` + ping("1") + ` , ` + ping(`"a"`) + `]`, "request 1, request \"a\""},
		"with notifications":   {`[` + ping("1") + `,{"jsonrpc":"2.0","method":"notifications/x"}]`, "request 1, notification "},
		"responses":            {`[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"error":{}}]`, "response 1, response 2"},
		"as many as may be":    {`[` + strings.Join(many[:wire.MaxBatch], ",") + `]`, ""},
		"too many":             {`[` + strings.Join(many, ",") + `]`, "fault -32600"},
		"ids too long":         {`[` + strings.Join(long, ",") + `]`, "fault -32600"},
		"empty":                {`[ ]`, "fault -32600"},
		"no message":           {`[1]`, "fault -32600"},
		"batch in a batch":     {`[[` + ping("1") + `]]`, "fault -32600"},
		"both kinds":           {`[` + ping("1") + `,{"jsonrpc":"2.0","id":1,"result":{}}]`, "fault -32600"},
		"one id twice":         {`[` + ping("1") + `,` + ping("1") + `]`, "fault -32600"},
		"one id in two shapes": {`[` + ping(`"a"`) + `,` + ping(`"\u0061"`) + `]`, "fault -32600"},
		"1 is not \"1\"":       {`[` + ping(`1`) + `,` + ping(`"1"`) + `]`, "request 1, request \"1\""},
		"id of no type":        {`[` + ping(`true`) + `]`, "fault -32600"},
		"params no object":     {`[{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}]`, "fault -32602"},
	} {
		t.Run(name, func(t *testing.T) {
			if m, fault := wire.ParseRequest([]byte(test.body)); fault != nil || m.Kind != wire.Batch {
				t.Fatalf("ParseRequest: %v, %v", m.Kind, fault)
			}
			messages, fault := wire.ParseBatch([]byte(test.body))
			got := make([]string, 0, len(messages))
			for _, m := range messages {
				got = append(got, m.Kind.String()+" "+string(m.ID))
			}
			said := strings.Join(got, ", ")
			if fault != nil {
				said = fmt.Sprintf("fault %d", fault.Code)
				if fault.ID != nil || fault.HTTPStatus != 400 {
					t.Errorf("fault with id %s and status %d", fault.ID, fault.HTTPStatus)
				}
			}
			if test.want == "" {
				if len(messages) != wire.MaxBatch {
					t.Errorf("%d messages: %s", len(messages), said)
				}
				return
			}
			if said != test.want {
				t.Errorf("%s, want %s", said, test.want)
			}
		})
	}
}

func TestParseAnswers(t *testing.T) {
	for body, want := range map[string]int{
		`{"id":1,"result":{}}`:                                    1,
		` [{"id":1,"result":{}}, 5, {"id":2,"error":{}}]`:         2,
		"\xef\xbb\xbf[]":                                          0,
		`[` + strings.Repeat(`{"id":1,"result":{}},`, 70) + `{}]`: wire.MaxBatch,
	} {
		if got, fault := wire.ParseAnswers([]byte(body)); fault != nil || len(got) != want {
			t.Errorf("%.40q: %d answers, %v; want %d", body, len(got), fault, want)
		}
	}
	if _, fault := wire.ParseAnswers([]byte("[")); fault == nil {
		t.Error("half an array was taken")
	}
}

// FuzzParseBatch: a batch that is taken has the messages that its elements are by
// themselves.
func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x","params":{"a":[1]}}]`))
	f.Add([]byte(`[{"jsonrpc":"2.0","id":1,"result":{}} , {"jsonrpc":"2.0","id":"x","error":{}}]`))
	f.Add([]byte(`[[],{}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, fault := wire.ParseRequest(body); fault != nil || m.Kind != wire.Batch {
			return
		}
		messages, fault := wire.ParseBatch(body)
		if fault != nil {
			if fault.ID != nil || fault.Offset < 0 || fault.Offset > len(body) {
				t.Fatalf("%q: fault %+v", body, fault)
			}
			return
		}
		if len(messages) == 0 || len(messages) > wire.MaxBatch {
			t.Fatalf("%q: %d messages", body, len(messages))
		}
		if _, fault := wire.ParseAnswers(body); fault != nil {
			t.Fatalf("%q: not read as answers: %v", body, fault)
		}
	})
}
