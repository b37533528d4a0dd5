package decide

import (
	"net"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// Traces says where spans go and of which calls; nil where there are none.
func (t *Table) Traces() *policyv1.Traces { return t.traces }

func (c *compiler) traces(t *policyv1.Traces) {
	if t == nil {
		return
	}
	if _, _, err := net.SplitHostPort(t.GetAddress()); err != nil {
		c.problem("traces.address", "%q is not host:port", t.GetAddress())
	}
}
