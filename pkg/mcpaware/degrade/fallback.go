package degrade

import policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"

// SourceFallback marks an answer of a call's second provider.
const SourceFallback = "fallback"

// FallbackMark is _meta["holdfast/degraded"] of an answer that a tool of another server
// gave to call.
func FallbackMark(server, tool string, call *policyv1.CallContext) []byte {
	mark := append([]byte(`{"reason":`), appendString(nil, string(ServiceUnavailable))...)
	mark = append(mark, `,"source":`...)
	mark = appendString(mark, SourceFallback)
	for _, member := range [...]struct{ name, value string }{
		{`,"server":`, server}, {`,"tool":`, tool}, {`,"insteadOf":`, call.GetServer()},
	} {
		mark = appendString(append(mark, member.name...), member.value)
	}
	return append(mark, '}')
}
