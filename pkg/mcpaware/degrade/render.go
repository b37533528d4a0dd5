package degrade

import (
	"strconv"
	"strings"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// ModernRevision is the revision in which every result names its type.
const ModernRevision = "2026-07-28"

// Render words a cause for the caller of call. With ERROR_STYLE_HTTP it is a JSON-RPC
// error under the code's HTTP status. Otherwise it is HTTP 200: for tools/call a result
// that says isError, for other methods a JSON-RPC error. Where the request's id is not
// known (a nil call, a notification) it is always an HTTP error status with id null.
func Render(call *policyv1.CallContext, cause Cause, style policyv1.ErrorStyle) Answer {
	answer := Answer{Source: SourceError, Code: cause.Code}
	status := cause.Code.HTTPStatus()
	switch {
	case len(call.GetId()) == 0:
		answer.Body = appendError(nil, nil, cause.Code.Number(), &cause, nil)
	case style == policyv1.ErrorStyle_ERROR_STYLE_HTTP:
		answer.Body = appendError(nil, call.GetId(), cause.Code.Number(), &cause, nil)
	default:
		status = 200
		answer.Body = appendMCP(nil, call, &cause)
	}
	answer.Status = status
	answer.Headers = headers(answer.Source, &cause)
	return answer
}

// RenderBatch words the causes for the requests of a batch: an array of what Render
// says to each. causes has one for each of calls, of which there is at least one.
func RenderBatch(calls []*policyv1.CallContext, causes []Cause, style policyv1.ErrorStyle) Answer {
	answer := Render(calls[0], causes[0], style)
	body := append([]byte{'['}, answer.Body...)
	for i := 1; i < len(calls); i++ {
		body = append(body, ',')
		body = append(body, Render(calls[i], causes[i], style).Body...)
	}
	answer.Body = append(body, ']')
	return answer
}

// ErrorEvent is a whole server-sent event that ends an event stream whose server fell
// silent: the body of Render, one line. It must follow a whole event. Where the request's id is not
// known it is an error with id null.
func ErrorEvent(call *policyv1.CallContext, cause Cause, style policyv1.ErrorStyle) []byte {
	event := []byte("event: message\ndata: ")
	if style == policyv1.ErrorStyle_ERROR_STYLE_HTTP || len(call.GetId()) == 0 {
		event = appendError(event, call.GetId(), cause.Code.Number(), &cause, nil)
	} else {
		event = appendMCP(event, call, &cause)
	}
	return append(event, "\n\n"...)
}

func appendMCP(dst []byte, call *policyv1.CallContext, cause *Cause) []byte {
	if call.GetMethod() != method.ToolsCall {
		return appendError(dst, call.GetId(), cause.Code.Number(), cause, nil)
	}
	// No structuredContent: some clients hold it against the tool's output schema
	// even beside isError, and throw the whole answer away.
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, call.GetId()...)
	dst = append(dst, `,"result":{"content":[{"type":"text","text":`...)
	dst = appendString(dst, cause.Message)
	dst = append(dst, `}],"isError":true,"_meta":{`...)
	dst = appendString(dst, names.MetaDegraded)
	dst = append(dst, `:{"reason":`...)
	dst = appendString(dst, string(cause.Code))
	dst = append(dst, `,"source":`...)
	dst = appendString(dst, SourceError)
	dst = append(dst, `},`...)
	dst = appendString(dst, names.MetaError)
	dst = cause.appendData(append(dst, ':'), nil)
	dst = append(dst, '}')
	if call.GetRevision() == ModernRevision {
		dst = append(dst, `,"resultType":"complete"`...)
	}
	return append(dst, `}}`...)
}

// appendError appends a JSON-RPC error; an empty id is written as null.
func appendError(dst, id []byte, number int, cause *Cause, extra []byte) []byte {
	if len(id) == 0 {
		id = []byte("null")
	}
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(number), 10)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, cause.Message)
	dst = append(dst, `,"data":`...)
	dst = cause.appendData(dst, extra)
	return append(dst, `}}`...)
}

func headers(source string, cause *Cause) []HeaderValue {
	set := []HeaderValue{{Name: "content-type", Value: "application/json"}}
	if source != "" {
		set = append(set, HeaderValue{Name: names.HeaderDegraded, Value: source})
	}
	if cause.Retryable && cause.RetryAfter > 0 {
		// Retry-After counts whole seconds; rounding down would send callers back early.
		seconds := int64((cause.RetryAfter + time.Second - 1) / time.Second)
		set = append(set, HeaderValue{Name: "retry-after", Value: strconv.FormatInt(seconds, 10)})
	}
	return set
}

func toValidUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
