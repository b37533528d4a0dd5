package decide

import (
	"net/http"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Revisions of MCP that are served. Others are refused, whatever their order: dates
// compare as strings in some servers, and anything compares.
const (
	revision20260728 = degrade.ModernRevision
	revision20251125 = "2025-11-25"
	revision20250618 = "2025-06-18"
	revision20250326 = "2025-03-26"
)

// JSON-RPC error codes of the modern revision.
const (
	codeHeaderMismatch     = -32020
	codeUnsupportedVersion = -32022
)

const (
	supportedAll    = `"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]`
	supportedModern = `"supported":["2026-07-28"]`
)

// Speaks says whether messages of a revision of MCP are let through.
func Speaks(revision string) bool { return revision == revision20260728 || isLegacy(revision) }

func isLegacy(revision string) bool {
	switch revision {
	case revision20251125, revision20250618, revision20250326:
		return true
	}
	return false
}

func eraOf(revision string) method.Era {
	if revision == revision20260728 {
		return method.Modern
	}
	return method.Legacy
}

// classify finds the revision that governs a message. Servers look at the header, at
// _meta or at both, so a message is served only where all of them would agree.
func classify(h Header, m *wire.Message) (revision string, refused *degrade.Refusal) {
	header, refused := sole(h, headerVersion)
	switch {
	case refused != nil:
		return "", refused
	case m.HasMetaVersion:
		return classifyModern(header, m)
	case header == revision20260728:
		return header, nil
	case m.Method == method.Initialize && (header == "" || isLegacy(header)):
		// The server answers with a revision of its own choice where it does not know
		// the client's.
		if isLegacy(m.InitVersion) {
			return m.InitVersion, nil
		}
		return revision20251125, nil
	case header == "":
		return revision20250326, nil
	case isLegacy(header):
		return header, nil
	}
	return "", unsupportedVersion(header, supportedAll)
}

func classifyModern(header string, m *wire.Message) (string, *degrade.Refusal) {
	// What notifications carry in headers is not laid down, so none is asked for.
	absent := header == "" && m.Kind == wire.Notification
	switch {
	case header != m.MetaVersion && !absent:
		return "", headerMismatch("header MCP-Protocol-Version does not equal the version in params._meta")
	case m.MetaVersion == revision20260728:
		return m.MetaVersion, nil
	case isLegacy(m.MetaVersion):
		// Such a revision is opened with initialize and has no version in _meta.
		return "", unsupportedVersion(m.MetaVersion, supportedModern)
	}
	return "", unsupportedVersion(m.MetaVersion, supportedAll)
}

// maxEchoedVersion bounds what of a version from outside is repeated to the caller.
const maxEchoedVersion = 64

func unsupportedVersion(requested, supported string) *degrade.Refusal {
	requested = requested[:min(len(requested), maxEchoedVersion)]
	return &degrade.Refusal{
		Status:  http.StatusBadRequest,
		Number:  codeUnsupportedVersion,
		Code:    degrade.ValidationFailed,
		Message: "this MCP protocol version is not supported",
		Data:    append([]byte(supported+`,"requested":`), degrade.QuoteJSON(requested)...),
	}
}

func headerMismatch(message string) *degrade.Refusal {
	return &degrade.Refusal{
		Status:  http.StatusBadRequest,
		Number:  codeHeaderMismatch,
		Code:    degrade.ValidationFailed,
		Message: message,
	}
}
