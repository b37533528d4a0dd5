package wire_test

import (
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func TestKeepStrings(t *testing.T) {
	keep := func(s string) bool { return s != "x" }
	for in, want := range map[string]string{
		`{"id":1.0,"result":{"n":1e2, "list":["a", "x" ,"b"] }}`:   `{"id":1.0,"result":{"n":1e2, "list":["a","b"] }}`,
		`{"result":{"list":["\u0078"]}}`:                           `{"result":{"list":[]}}`,
		`{"result":{"list":[ "a" , 7, {}]}}`:                       `{"result":{"list":[ "a" , 7, {}]}}`,
		`{"result":{"list":["x",7,{"x":"x"},["x"]]}}`:              `{"result":{"list":[7,{"x":"x"},["x"]]}}`,
		`{"result":{"list":"x"}}`:                                  `{"result":{"list":"x"}}`,
		`{"result":{"other":["x"]}}`:                               `{"result":{"other":["x"]}}`,
		`{"result":"list"}`:                                        `{"result":"list"}`,
		`{"error":{"code":1,"message":"x","data":{"list":["x"]}}}`: `{"error":{"code":1,"message":"x","data":{"list":["x"]}}}`,
		`["list"]`: `["list"]`,
	} {
		got, err := wire.KeepStrings([]byte(in), "list", keep)
		if err != nil || string(got) != want {
			t.Errorf("%s becomes %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, `{`, `{"result":{"list":[],"list":["x"]}}`} {
		if got, err := wire.KeepStrings([]byte(in), "list", keep); err == nil {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}
