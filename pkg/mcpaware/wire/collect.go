package wire

import (
	"strings"
	"unicode/utf8"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// The members that are interpreted, per object. Everything else passes unread.

type rootSpans struct{ jsonrpc, id, method, params, result, err span }

type paramSpans struct {
	name, arguments, uri, meta, task, taskID, cursor, protocolVersion, inputResponses, requestState span
}

type metaSpans struct{ version, capabilities, clientInfo, progressToken, timeout span }

// known is one interpreted member and where to put its span.
type known struct {
	name string
	at   *span
}

func collectRoot(body []byte, at int) (found rootSpans, fault *Fault) {
	fault = collect(body, at, []known{
		{"jsonrpc", &found.jsonrpc},
		{"id", &found.id},
		{"method", &found.method},
		{"params", &found.params},
		{"result", &found.result},
		{"error", &found.err},
	})
	return found, fault
}

func collectParams(body []byte, at int) (found paramSpans, fault *Fault) {
	fault = collect(body, at, []known{
		{"name", &found.name},
		{"arguments", &found.arguments},
		{"_meta", &found.meta},
		{"uri", &found.uri},
		{"task", &found.task},
		{"taskId", &found.taskID},
		{"cursor", &found.cursor},
		{"protocolVersion", &found.protocolVersion},
		{"inputResponses", &found.inputResponses},
		{"requestState", &found.requestState},
	})
	return found, fault
}

func collectMeta(body []byte, at int) (found metaSpans, fault *Fault) {
	fault = collect(body, at, []known{
		{MetaProtocolVersion, &found.version},
		{MetaClientCapabilities, &found.capabilities},
		{MetaClientInfo, &found.clientInfo},
		{MetaProgressToken, &found.progressToken},
		{names.MetaTimeout, &found.timeout},
	})
	return found, fault
}

// collect finds the members of the object at body[at] and refuses names that differ
// from one of them only in case (by Unicode simple folding, as Go's encoding/json
// matches them).
func collect(body []byte, at int, members []known) *Fault {
	scan := scanObject(body, at)
	var scratch [64]byte
	for {
		quoted, value, more := scan.next()
		if !more {
			return nil
		}
		name, ok := decodeName(quoted.of(body), scratch[:])
		if !ok {
			return invalidRequest("a member name is not valid Unicode", quoted.start)
		}
		if !store(name, value, members) && foldsInto(name, members) {
			return invalidRequest("a member name differs from a known one in case", quoted.start)
		}
	}
}

// store puts the span of a member whose name is exactly a known one.
func store(name []byte, value span, members []known) bool {
	for i := range members {
		if string(name) == members[i].name {
			*members[i].at = value
			return true
		}
	}
	return false
}

func foldsInto(name []byte, members []known) bool {
	if len(name) == 0 {
		return false
	}
	for i := range members {
		// Most names differ in their first letter; only ASCII letters fold by one bit.
		if name[0] < utf8.RuneSelf && name[0]|0x20 != members[i].name[0]|0x20 {
			continue
		}
		if strings.EqualFold(string(name), members[i].name) {
			return true
		}
	}
	return false
}

// collectLast is collect for answers: any other name passes, and of duplicates the last
// counts.
func collectLast(body []byte, at int, members []known) {
	scan := scanObject(body, at)
	var scratch [64]byte
	for {
		quoted, value, more := scan.next()
		if !more {
			return
		}
		if name, ok := decodeName(quoted.of(body), scratch[:]); ok {
			store(name, value, members)
		}
	}
}
