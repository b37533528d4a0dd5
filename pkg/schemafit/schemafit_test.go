package schemafit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/schemafit"
)

const order = `{"type":"object","properties":{"status":{"enum":["SHIPPED","UNKNOWN"]},"items":{"type":"array","items":{"$ref":"#/$defs/item"}}},
 "required":["status"],"additionalProperties":false,"$defs":{"item":{"type":"object","required":["sku"]}}}`

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		schema, content string
		isError         bool
		want            string
	}{
		"no schema":          {"", ``, false, ""},
		"fits":               {order, `{"status":"UNKNOWN","items":[{"sku":"a"}]}`, false, ""},
		"an error needs not": {order, ``, true, ""},
		"nothing":            {order, ``, false, "no structured content"},
		"wrong value":        {order, `{"status":"LOST"}`, false, "/status"},
		"missing":            {order, `{}`, false, "status"},
		"too much":           {order, `{"status":"UNKNOWN","x":1}`, false, "x"},
		"behind a reference": {order, `{"status":"UNKNOWN","items":[{}]}`, false, "sku"},
		"large numbers":      {`{"properties":{"n":{"const":9007199254740993}}}`, `{"n":9007199254740992}`, false, "/n"},
		"no schema at all":   {`[1]`, `{}`, false, "cannot be used"},
		"not JSON":           {`{`, `{}`, false, "cannot be used"},
		"another file":       {`{"$ref":"file:///etc/passwd"}`, `{}`, false, "cannot be used"},
		"another host":       {`{"allOf":[{"$ref":"http://127.0.0.1:1/x"}]}`, `{}`, false, "cannot be used"},
		"nowhere":            {`{"$ref":"#/$defs/none/x"}`, `{}`, false, "cannot be used"},
		"round and round":    {`{"$ref":"#"}`, `{}`, false, "too long"},
		"too large":          {`{"description":"` + strings.Repeat("x", 64<<10) + `"}`, `{}`, false, "cannot be used"},
		"a bad pattern":      {`{"properties":{"a":{"pattern":"("}}}`, `{"a":"x"}`, false, "cannot be used"},
	} {
		err := schemafit.Check([]byte(c.schema), schemafit.Answer{StructuredContent: []byte(c.content), IsError: c.isError})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %q", name, err)
		}
	}
}

// Schemas are a server's words, and may be made to take for ever.
func TestCostlySchemas(t *testing.T) {
	inPlace := `{"$ref":"#/$defs/d0","$defs":{`
	for i := range 60 {
		inPlace += fmt.Sprintf(`"d%d":{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	inPlace += `"d60":false}}`
	deep := `{"$ref":"#/$defs/d","$defs":{"d":{"allOf":[` + strings.Repeat(`{"properties":{"a":{"$ref":"#/$defs/d"}}},`, 9) + `{}]}}}`
	content := strings.Repeat(`{"a":`, 16) + "1" + strings.Repeat("}", 16)
	for name, schema := range map[string]string{"in one place": inPlace, "ever deeper": deep} {
		if err := schemafit.Check([]byte(schema), schemafit.Answer{StructuredContent: []byte(content)}); !errors.Is(err, schemafit.ErrSchema) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(order), []byte(`{"status":"UNKNOWN"}`))
	f.Add([]byte(`{"$ref":"#/$defs/%7E0","$defs":{"~":{"not":{}}}}`), []byte(`{"a":[1,{"b":null}]}`))
	f.Fuzz(func(t *testing.T, schema, content []byte) {
		// It ends, and does not panic.
		if err := schemafit.Check(schema, schemafit.Answer{StructuredContent: content}); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
