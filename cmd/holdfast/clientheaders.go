package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// legacyRevision is what a client of the older era most likely speaks.
const legacyRevision = "2025-11-25"

// messageHeaders are request headers by lower-case name; it implements decide.Header.
type messageHeaders map[string][]string

// Values returns the values of one header.
func (h messageHeaders) Values(name string) []string { return h[name] }

// WithPrefix returns the names that begin with prefix.
func (h messageHeaders) WithPrefix(prefix string) []string {
	var out []string
	for name := range h {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out
}

func parseHeaders(lines []string) (messageHeaders, error) {
	out := messageHeaders{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" {
			return nil, usagef(fmt.Sprintf("--header %q is not 'Name: value'", line))
		}
		out[name] = append(out[name], textproto.TrimString(value))
	}
	return out, nil
}

// clientHeaders adds to the given headers what a client would send with body. A
// message that names its revision in _meta is of the modern era and repeats
// revision, method and target in headers (MCP 2026-07-28, Streamable HTTP).
func clientHeaders(verb string, body []byte, given messageHeaders) messageHeaders {
	out := messageHeaders{}
	set := func(name, value string) {
		if _, ok := given[name]; !ok {
			out[name] = []string{value}
		}
	}
	for name, values := range given {
		out[name] = values
	}
	if verb != http.MethodPost {
		set("accept", "text/event-stream")
		set("mcp-protocol-version", legacyRevision)
		return out
	}
	set("content-type", "application/json")
	set("accept", "application/json, text/event-stream")
	set("content-length", strconv.Itoa(len(body)))
	m, fault := wire.ParseRequest(body)
	switch {
	case fault != nil || m.Method == method.Initialize:
	case !m.HasMetaVersion:
		set("mcp-protocol-version", legacyRevision)
	default:
		set("mcp-protocol-version", m.MetaVersion)
		if m.Kind != wire.Request {
			break
		}
		set("mcp-method", m.Method)
		if target, ok := targetOf(&m); ok {
			set("mcp-name", headerValue(target))
		}
	}
	return out
}

// targetOf is the value that Mcp-Name repeats.
func targetOf(m *wire.Message) (string, bool) {
	info, _ := method.Lookup(m.Method)
	switch info.Target {
	case method.Name:
		return m.Name, m.HasName
	case method.URI:
		return m.URI, m.HasURI
	case method.TaskID:
		return m.TaskID, m.HasTaskID
	case method.NoTarget:
	}
	return "", false
}

// headerValue writes values that do not fit into a header as they are in the
// base64 form of MCP 2026-07-28.
func headerValue(value string) string {
	plain := value == strings.TrimSpace(value) && !strings.HasPrefix(value, "=?base64?")
	for i := range len(value) {
		plain = plain && value[i] >= 0x20 && value[i] <= 0x7e
	}
	if plain {
		return value
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(value)) + "?="
}
