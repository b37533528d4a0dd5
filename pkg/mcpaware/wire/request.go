package wire

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
)

// ParseRequest reads the body that a client posted. It accepts exactly one JSON value
// in UTF-8 without a byte order mark, nested at most MaxDepth deep, without duplicate
// names at any level, and of it:
//   - a request or notification of JSON-RPC 2.0 whose id, if any, is a string of at
//     most MaxIDBytes or an integer within ±(2^53−1) and whose params are an object;
//   - a response with an id and either a result or an error;
//   - an array, as Batch, unread.
//
// Members that it interprets must be spelt exactly: one that differs only in case is
// refused, since parsers differ on whether it counts. Strings that it decodes must not
// hold half of a surrogate pair; elsewhere all bytes pass. The Message aliases body. A
// body is either a Message or a *Fault.
func ParseRequest(body []byte) (Message, *Fault) {
	if at, deeper := deeperThan(body, MaxDepth); deeper {
		return Message{}, invalidRequest("message is nested too deeply", at)
	}
	if !jsontext.Value(body).IsValid() {
		if fault := diagnose(body); fault != nil {
			return Message{}, fault
		}
	}
	start := skipSpace(body, 0)
	switch body[start] {
	case '[':
		return Message{Kind: Batch}, nil
	case '{':
		return parseMessage(body, start)
	}
	return Message{}, invalidRequest("message is not an object", start)
}

func invalidRequest(message string, at int) *Fault {
	return &Fault{Code: CodeInvalidRequest, HTTPStatus: http.StatusBadRequest, Message: message, Offset: at}
}

func invalidParams(message string, at int) *Fault {
	return &Fault{Code: CodeInvalidParams, HTTPStatus: http.StatusBadRequest, Message: message, Offset: at}
}

func parseMessage(body []byte, at int) (Message, *Fault) {
	root, fault := collectRoot(body, at)
	if fault != nil {
		return Message{}, fault
	}
	var m Message
	if root.id.present() {
		if fault = checkID(root.id.of(body), root.id.start); fault != nil {
			return Message{}, fault
		}
		m.ID = root.id.of(body)
	}
	fault = m.readRoot(body, &root)
	if fault != nil {
		fault.ID = m.ID
		return Message{}, fault
	}
	return m, nil
}

func (m *Message) readRoot(body []byte, root *rootSpans) *Fault {
	if string(root.jsonrpc.of(body)) != `"2.0"` {
		version, ok := Unquote(root.jsonrpc.of(body))
		if !ok || version != "2.0" {
			return invalidRequest(`member "jsonrpc" must be "2.0"`, root.jsonrpc.start)
		}
	}
	answers := root.result.present() || root.err.present()
	switch {
	case root.method.present() && answers:
		return invalidRequest("message is both a request and a response", root.method.start)
	case answers:
		return m.readResponse(body, root)
	case !root.method.present():
		return invalidRequest(`member "method" is missing`, 0)
	}
	m.Kind = Request
	if m.ID == nil {
		m.Kind = Notification
	}
	if fault := m.readMethod(body, root.method); fault != nil {
		return fault
	}
	if !root.params.present() {
		return nil
	}
	m.Params = root.params.of(body)
	return m.readParams(body, root.params)
}

func (m *Message) readResponse(body []byte, root *rootSpans) *Fault {
	m.Kind = Response
	switch {
	case root.result.present() && root.err.present():
		return invalidRequest("response has both a result and an error", root.err.start)
	case m.ID == nil:
		return invalidRequest("response has no id", 0)
	case root.params.present():
		return invalidRequest("response has params", root.params.start)
	case root.err.present() && body[root.err.start] != '{':
		return invalidRequest(`member "error" must be an object`, root.err.start)
	}
	return nil
}

func (m *Message) readMethod(body []byte, at span) *Fault {
	raw := at.of(body)
	if raw[0] != '"' {
		return invalidRequest(`member "method" must be a string`, at.start)
	}
	var scratch [64]byte
	decoded, ok := decodeName(raw, scratch[:])
	if !ok || len(decoded) == 0 || len(decoded) > MaxMethodBytes {
		return invalidRequest(`member "method" is not a method name`, at.start)
	}
	for _, c := range decoded {
		if c <= ' ' || c > '~' {
			return invalidRequest(`member "method" is not a method name`, at.start)
		}
	}
	if m.Method, ok = method.Intern(decoded); !ok {
		m.Method = string(decoded)
	}
	return nil
}

// Bounds of integer ids: those that every JSON parser keeps exactly.
const maxSafeInteger = 1<<53 - 1

func checkID(raw jsontext.Value, at int) *Fault {
	switch raw.Kind() {
	case '"':
		if len(raw) > MaxIDBytes+len(`""`) {
			return invalidRequest(`member "id" is too long`, at)
		}
		var scratch [64]byte
		if _, ok := decodeName(raw, scratch[:]); !ok {
			return invalidRequest(`member "id" is not valid Unicode`, at)
		}
		return nil
	case '0':
		if !safeInteger(raw) {
			return invalidRequest(`member "id" must be an integer within ±(2^53-1)`, at)
		}
		return nil
	}
	return invalidRequest(`member "id" must be a string or an integer`, at)
}

// safeInteger reports whether a JSON number is written as an integer (no fraction, no
// exponent, no negative zero) of at most maxSafeInteger in magnitude.
func safeInteger(raw []byte) bool {
	digits := raw
	if digits[0] == '-' {
		digits = digits[1:]
		if digits[0] == '0' {
			return false
		}
	}
	if len(digits) > len("9007199254740991") {
		return false
	}
	value := 0
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
		value = value*10 + int(c-'0')
	}
	return value <= maxSafeInteger
}
