// Package outcome says what an answer is worth. An MCP server whose database is
// gone still answers HTTP 200; Judge reads the answer itself, and a Window of the
// recent answers of every endpoint tells a tool that fails from an endpoint that
// does. It knows nothing of Envoy.
package outcome

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Class is what one message says about the server that sent it.
type Class int

const (
	// Unrelated messages are not the answer to the call: notifications, requests of
	// the server, batches, responses to another id.
	Unrelated Class = iota
	// Succeeded: a result. A tool result with isError counts too where the error is
	// the tool's word to the model, such as bad arguments.
	Succeeded
	// Refused: an error that a healthy server gives to a caller's mistake.
	Refused
	// Failed: the server, or something behind it, is broken.
	Failed
	// Busy: the server asks to be called later (HTTP 429); it says nothing about its
	// health.
	Busy
)

// String returns the class in lower case.
func (c Class) String() string {
	switch c {
	case Unrelated:
		return "unrelated"
	case Succeeded:
		return "succeeded"
	case Refused:
		return "refused"
	case Failed:
		return "failed"
	case Busy:
		return "busy"
	}
	return "class " + strconv.Itoa(int(c))
}

// Judge classifies a message that came in answer to the request with this id, the
// exact bytes of the request's id. An error without an id (JSON-RPC 2.0, section
// 5: null where the id could not be read) is taken for the answer.
func Judge(a *wire.Answer, id []byte) Class {
	if a.Kind != wire.Response {
		return Unrelated
	}
	if a.HasError {
		if !anonymous(a.ID) && !SameID(a.ID, id) {
			return Unrelated
		}
		if failureCode(a.ErrorCode) {
			return Failed
		}
		return Refused
	}
	if !SameID(a.ID, id) {
		return Unrelated
	}
	if a.IsError && (failureValue(a.Structured) || failureText(a.Text)) {
		return Failed
	}
	return Succeeded
}

// Answers reports whether the caller can match a to its request: every MCP client
// waits for ever for an answer with another id or none.
func Answers(a *wire.Answer, id []byte) bool {
	return a.Kind == wire.Response && !anonymous(a.ID) && SameID(a.ID, id)
}

// failureCode tells JSON-RPC error codes that speak of the server from those that
// speak of the request. Internal errors and the codes left to implementations are
// failures; parse error, invalid request, unknown method, invalid params, resource
// not found, URL elicitation and the header and version errors of revision
// 2026-07-28 are not, nor is any code outside the range that JSON-RPC reserves.
func failureCode(code int64) bool {
	switch {
	case code == wire.CodeInternal:
		return true
	case code == -32002, code == -32042, code <= -32020 && code >= -32022:
		return false
	default:
		return code >= -32099 && code <= -32000
	}
}

func anonymous(id jsontext.Value) bool { return len(id) == 0 || string(id) == "null" }

// SameID compares two ids as JSON values: 1 equals 1.0, "a" equals "\u0061", and
// 3 differs from "3". Values that are not valid JSON are never equal to others.
func SameID(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 || (a[0] == '"') != (b[0] == '"') {
		return false
	}
	if a[0] == '"' {
		x, errA := jsontext.AppendUnquote(nil, a)
		y, errB := jsontext.AppendUnquote(nil, b)
		return errA == nil && errB == nil && bytes.Equal(x, y)
	}
	x, okA := integer(a)
	y, okB := integer(b)
	return okA && okB && x == y
}

// integer reads a JSON number that is whole, whatever its notation.
func integer(b []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0, false
	}
	return int64(f), true
}
