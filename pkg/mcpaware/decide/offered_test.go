package decide_test

import (
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// A tool is left out only where whatever a call of it asks for, nobody can answer it.
func TestWithheld(t *testing.T) {
	p := shopmax()
	p.Rules[1].Degrade = &policyv1.Degrade{StaticAnswer: &policyv1.StaticAnswer{Text: "x"}}
	p.Rules[3].Action.Fallback = &policyv1.Fallback{
		Server: "orders-v2", Tool: "find", Path: "/mcp", FirstPath: "/mcp", Route: "r-on", Direct: "r-direct", Unretried: "r-sparing",
	}
	route, _ := table(t, p).Policy("shopmax")
	for name, c := range map[string]struct {
		tool, want string
		broken     []string
	}{
		"nothing is broken":            {"list_orders", "", nil},
		"one of two ways":              {"list_orders", "", []string{"orders-v2"}},
		"the other":                    {"list_orders", "", []string{"orders"}},
		"both":                         {"list_orders", "orders", []string{"orders", "orders-v2", "stock"}},
		"something stands in":          {"get_order", "", []string{"orders", "stock", "orders-v2"}},
		"a second provider":            {"stock_list", "", []string{"stock"}},
		"the second provider too":      {"stock_list", "stock", []string{"stock", "orders-v2"}},
		"arguments lead elsewhere":     {"create_order", "", []string{"orders"}},
		"no rule is sure to match it":  {"create_order", "orders", []string{"orders", "stock"}},
		"the server of some arguments": {"create_order", "", []string{"stock"}},
	} {
		broken := func(server, _ string) string {
			for _, one := range c.broken {
				if one == server {
					return "broken"
				}
			}
			return ""
		}
		if server, why := route.Withheld(c.tool, broken); (why == "") != (c.want == "") || why != "" && server != c.want {
			t.Errorf("%s: %q for %q, want %q", name, why, server, c.want)
		}
	}
	if got := table(t, p).Behind(); len(got) != 2 {
		t.Errorf("behind tools are %v", got)
	}
}
