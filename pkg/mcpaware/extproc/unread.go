package extproc

import (
	"bytes"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// unread says that the body of a call went on unread (decide.Decision.Unread): no tools/call
// that was read is without an id.
func unread(call *policyv1.CallContext) bool {
	return call.GetMethod() == method.ToolsCall && len(call.GetId()) == 0 && len(call.GetBatchIds()) == 0
}

// idOf is the id of an answer to a call whose own is not known. The only answer on a stream
// that one request opened is the answer to that one; null is no id.
func idOf(a *wire.Answer) []byte {
	if a.Kind != wire.Response || string(a.ID) == "null" {
		return nil
	}
	return bytes.Clone(a.ID)
}

// refuseWithID refuses a call. Where its body went unread, it is read after all, and decided
// on anew: clients need the exact id in a refusal.
func (e *edge) refuseWithID() (*extprocv3.ProcessingResponse, bool) {
	if !e.decision.Unread {
		return e.refuse()
	}
	e.steering.end()
	e.steering = steering{}
	e.request.Header = e.unreadHeader
	e.decided = false
	return e.awaitBody(), false
}
