package decide

import (
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Headers of the protocol.
const (
	headerPrefix      = "mcp-"
	headerParamPrefix = "mcp-param-"
	headerVersion     = "mcp-protocol-version"
	headerMethod      = "mcp-method"
	headerName        = "mcp-name"
	headerSession     = "mcp-session-id"
	headerLastEvent   = "last-event-id"
)

// sole returns the value of a header that may be there once at most, without white
// space around it (RFC 9110, section 5.5); empty where it is absent.
func sole(h Header, name string) (string, *degrade.Refusal) {
	values := h.Values(name)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return strings.Trim(values[0], " \t"), nil
	}
	return "", headerMismatch("an MCP header is there twice")
}

// repeatedHeader refuses a request with any MCP header twice: which of the values
// counts differs between hops.
func repeatedHeader(h Header) *degrade.Refusal {
	for _, name := range h.WithPrefix(headerPrefix) {
		if len(h.Values(name)) > 1 {
			return headerMismatch("an MCP header is there twice")
		}
	}
	return nil
}

// checkModern compares a modern request with its headers.
func checkModern(h Header, m *wire.Message, info method.Info) *degrade.Refusal {
	if m.Kind == wire.Notification {
		return checkNotification(h, m)
	}
	if !m.HasMetaVersion || !m.HasCapabilities {
		return &degrade.Refusal{
			Status:  http.StatusBadRequest,
			Number:  wire.CodeInvalidParams,
			Code:    degrade.MissingParameter,
			Message: "params._meta must hold the protocol version and the client's capabilities",
		}
	}
	name, refused := sole(h, headerMethod)
	switch {
	case refused != nil:
		return refused
	case name != m.Method:
		return headerMismatch("header Mcp-Method does not equal the method")
	}
	return checkName(h, m, info)
}

func checkNotification(h Header, m *wire.Message) *degrade.Refusal {
	name, refused := sole(h, headerMethod)
	if refused == nil && name != "" && name != m.Method {
		return headerMismatch("header Mcp-Method does not equal the method")
	}
	return refused
}

func checkName(h Header, m *wire.Message, info method.Info) *degrade.Refusal {
	want, ok := target(m, info)
	if !ok {
		return nil
	}
	value, refused := sole(h, headerName)
	if refused != nil {
		return refused
	}
	if value == "" {
		return headerMismatch("header Mcp-Name is missing")
	}
	got, ok := decodeHeader(value)
	switch {
	case !ok:
		return headerMismatch("header Mcp-Name is not encoded as it must be")
	case got != want:
		return headerMismatch("header Mcp-Name does not equal what the method acts on")
	}
	return nil
}

// target is what a message acts on; ok is false for methods without a target.
func target(m *wire.Message, info method.Info) (value string, ok bool) {
	switch info.Target {
	case method.Name:
		return m.Name, true
	case method.URI:
		return m.URI, true
	case method.TaskID:
		return m.TaskID, true
	case method.NoTarget:
	}
	return "", false
}

// hasTarget refuses a message without the parameter that its method acts on.
func hasTarget(m *wire.Message, info method.Info) *degrade.Refusal {
	value, needed := target(m, info)
	if !needed || value != "" {
		return nil
	}
	return &degrade.Refusal{
		Status:  http.StatusBadRequest,
		Number:  wire.CodeInvalidParams,
		Code:    degrade.MissingParameter,
		Message: "params lack the name, uri or task id that the method acts on",
	}
}

// Marks of a header value in base64.
const (
	sentinelStart = "=?base64?"
	sentinelEnd   = "?="
)

// decodeHeader decodes the value of Mcp-Name (2026-07-28, encoding of header values):
// plain visible ASCII, spaces and tabs, or UTF-8 in canonical padded base64 between the
// marks. A value with only one of the marks is plain.
func decodeHeader(value string) (decoded string, ok bool) {
	if len(value) >= len(sentinelStart)+len(sentinelEnd) &&
		strings.HasPrefix(value, sentinelStart) && strings.HasSuffix(value, sentinelEnd) {
		encoded := value[len(sentinelStart) : len(value)-len(sentinelEnd)]
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || !utf8.Valid(raw) || base64.StdEncoding.EncodeToString(raw) != encoded {
			return "", false
		}
		return string(raw), true
	}
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c > '~' {
			return "", false
		}
	}
	return value, true
}

// EncodeHeader is the value of Mcp-Name for a name: the name itself where that can stand
// in a header and does not look encoded, else its UTF-8 in base64 between the marks.
func EncodeHeader(name string) string {
	decoded, ok := decodeHeader(name)
	if ok && decoded == name && strings.Trim(name, " \t") == name {
		return name
	}
	return sentinelStart + base64.StdEncoding.EncodeToString([]byte(name)) + sentinelEnd
}
