package decide

import (
	"fmt"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/fallback"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// offerFallback lets a call go on to its second provider, where it has one and the call can be
// mapped. What continues an earlier message or belongs to a session cannot go there.
func (d *Decision) offerFallback(body []byte) {
	f := d.Action.GetFallback()
	if f == nil || d.once || len(d.Call.GetId()) == 0 {
		return
	}
	arguments := d.Route.mappings[f]
	mapped, err := fallback.Request(body, f.GetTool(), arguments)
	if err != nil {
		// The first provider may answer it all the same.
		return
	}
	d.Call.Second = &policyv1.SecondCall{
		Server: f.GetServer(), Tool: f.GetTool(), Path: f.GetPath(), FirstPath: f.GetFirstPath(), Body: mapped, Result: f.GetResult(),
	}
	d.stampRoute(f.GetRoute())
}

// OnlyFallback sends a call to its second provider alone; false where it has none.
func (d *Decision) OnlyFallback() bool {
	if d.Call.GetSecond() == nil {
		return false
	}
	d.onlySecond = true
	d.stampRoute(d.Action.GetFallback().GetDirect())
	return true
}

// OnlyFirst takes the second provider away from a call that is kept away from regions of its server: the
// cluster that joins both picks a healthy region before it looks at where a call may go, and finds
// nobody there.
func (d *Decision) OnlyFirst() {
	if d.Call.GetSecond() == nil {
		return
	}
	d.Call.Second = nil
	d.stampRoute(d.Action.GetRoute())
}

func (d *Decision) stampRoute(route string) {
	for i := range d.SetHeaders {
		if d.SetHeaders[i].Name == names.HeaderRoute {
			d.SetHeaders[i].Value = route
		}
	}
}

// fallback checks the second provider of an action, and compiles its mappings.
func (c *compiler) fallback(field string, f *policyv1.Fallback) {
	if f == nil {
		return
	}
	field += ".fallback"
	if c.servers[f.GetServer()] == nil {
		c.problem(field+".server", "%q is not one of the policy's servers", f.GetServer())
	}
	if f.GetTool() == "" || len(f.GetTool()) > maxPatternBytes {
		c.problem(field+".tool", "has %d bytes, not 1 to %d", len(f.GetTool()), maxPatternBytes)
	}
	c.path(f.GetPath())
	c.path(f.GetFirstPath())
	for name, route := range map[string]string{"route": f.GetRoute(), "direct": f.GetDirect(), "unretried": f.GetUnretried()} {
		if !headerValue(route) {
			c.problem(field+"."+name, "%q cannot be a header value", route)
		}
	}
	arguments, err := fallback.Compile(f.GetArguments())
	if err != nil {
		c.problem(field+".arguments", "%v", err)
	}
	if _, err := fallback.Compile(f.GetResult()); err != nil {
		c.problem(field+".result", "%v", err)
	}
	if c.mappings == nil {
		c.mappings = map[*policyv1.Fallback]fallback.Mapping{}
	}
	c.mappings[f] = arguments
}

// explainFallback says where the call goes when its server cannot answer.
func (d *Decision) explainFallback() string {
	f := d.Action.GetFallback()
	switch {
	case f == nil:
		return ""
	case d.Call.GetSecond() == nil:
		return fmt.Sprintf("none for this message; others go to the tool %s of %s", f.GetTool(), f.GetServer())
	}
	text := fmt.Sprintf("the tool %s of %s when %s cannot answer", f.GetTool(), f.GetServer(), d.Call.GetServer())
	if !d.Call.GetSafe() {
		text += " and has provably not run the call"
	}
	return text
}
