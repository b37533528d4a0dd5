package wire

import (
	"bytes"
	"strconv"
	"time"
)

// Longest values of _meta members that are decoded.
const maxVersionBytes = 64

// readParams reads the members of params that routing and policy need. Whether a method
// needs one that is not there is not decided here: a member of the wrong type counts as
// absent, except where another component could still use it.
func (m *Message) readParams(body []byte, at span) *Fault {
	if body[at.start] != '{' {
		return invalidParams("params must be an object", at.start)
	}
	params, fault := collectParams(body, at.start)
	if fault != nil {
		return fault
	}
	text := textReader{body: body}
	m.Name, m.HasName = text.read(params.name, MaxNameBytes)
	m.URI, m.HasURI = text.read(params.uri, MaxURIBytes)
	m.TaskID, m.HasTaskID = text.read(params.taskID, MaxNameBytes)
	m.Cursor, m.HasCursor = text.read(params.cursor, MaxCursorBytes)
	m.InitVersion, _ = text.read(params.protocolVersion, maxVersionBytes)
	if text.fault != nil {
		return text.fault
	}
	if params.cursor.present() && !m.HasCursor && body[params.cursor.start] != 'n' {
		return invalidParams(`params member "cursor" must be a string`, params.cursor.start)
	}
	m.Arguments = params.arguments.of(body)
	m.WelcomesTask = params.task.present()
	m.HasInputResponses = params.inputResponses.present()
	m.HasRequestState = params.requestState.present()
	if !params.meta.present() {
		return nil
	}
	return m.readMeta(body, params.meta)
}

func (m *Message) readMeta(body []byte, at span) *Fault {
	if body[at.start] != '{' {
		return invalidParams("params._meta must be an object", at.start)
	}
	meta, fault := collectMeta(body, at.start)
	if fault != nil {
		return fault
	}
	m.HasMeta = true
	m.HasCapabilities = meta.capabilities.present() && body[meta.capabilities.start] == '{'
	if m.HasCapabilities && bytes.Contains(meta.capabilities.of(body), []byte(extensionTasks)) {
		m.WelcomesTask = true
	}
	if token := meta.progressToken; token.present() {
		c := body[token.start]
		m.ProgressToken = c == '"' || c == '-' || (c >= '0' && c <= '9')
	}
	m.Timeout = milliseconds(meta.timeout.of(body))
	if !meta.version.present() {
		return nil
	}
	text := textReader{body: body}
	m.MetaVersion, m.HasMetaVersion = text.read(meta.version, maxVersionBytes)
	if text.fault == nil && !m.HasMetaVersion {
		return invalidParams("params._meta protocolVersion must be a string", meta.version.start)
	}
	return text.fault
}

// milliseconds reads a JSON number; 0 for what is not one that a caller can mean.
func milliseconds(raw []byte) time.Duration {
	const most = 24 * time.Hour
	n, err := strconv.ParseUint(string(raw), 10, 32)
	if d := time.Duration(n) * time.Millisecond; err == nil && d <= most { //nolint:gosec // 32 bits
		return d
	}
	return 0
}

// textReader decodes strings and keeps the first fault.
type textReader struct {
	body  []byte
	fault *Fault
}

// read returns the decoded string at a span. ok is false where the span is absent or
// holds another type; a string that cannot be taken sets the fault.
func (t *textReader) read(at span, limit int) (value string, ok bool) {
	if !at.present() || t.body[at.start] != '"' || t.fault != nil {
		return "", false
	}
	var scratch [64]byte
	decoded, whole := decodeName(at.of(t.body), scratch[:])
	switch {
	case !whole:
		t.fault = invalidParams("params hold a string that is not valid Unicode", at.start)
		return "", false
	case len(decoded) > limit:
		t.fault = invalidParams("params hold a name that is too long", at.start)
		return "", false
	case bytes.Equal(decoded, []byte("2026-07-28")):
		return "2026-07-28", true
	}
	return string(decoded), true
}
