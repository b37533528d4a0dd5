// Package span says what MCP messages are in the words of OpenTelemetry's semantic
// conventions for MCP: the names of spans, their attributes, and which answers are
// errors. It knows nothing of Envoy.
package span

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Methods of which params.name is the target.
const promptsGet = "prompts/get"

// Attributes of Holdfast's own.
const (
	// Policy and Rule are the MCPRoute and what chose the action; Route is the stamp, a name that
	// holds the content's hash.
	Policy = attribute.Key("holdfast.policy")
	Rule   = attribute.Key("holdfast.rule")
	Route  = attribute.Key("holdfast.route")
	// Revision is the hash of the policies in force.
	Revision = attribute.Key("holdfast.revision")
	// Server, Region and Endpoint are where the call or the try went.
	Server   = attribute.Key("holdfast.server")
	Region   = attribute.Key(names.AttributeRegion)
	Endpoint = attribute.Key(names.AttributeEndpoint)
	// Attempts is how many tries the call took, Attempt the number of a try, from 1.
	Attempts = attribute.Key("holdfast.attempts")
	Attempt  = attribute.Key("holdfast.attempt")
	// Verdict is what the answer says about the tool and the endpoint.
	Verdict = attribute.Key("holdfast.verdict")
	// FirstEvent is the time in seconds until the first whole message of the answer was let through.
	FirstEvent = attribute.Key("holdfast.time_to_first_event")
	// Degraded is the source of an answer that Holdfast gave in the server's place, Reason the
	// code of the error that any answer of Holdfast's holds, or would.
	Degraded = attribute.Key("holdfast.degraded.source")
	Reason   = attribute.Key("holdfast.reason")
	// Limit is the limit that refused the call, Waited the time in seconds that it waited for its turn.
	Limit  = attribute.Key("holdfast.limit")
	Waited = attribute.Key("holdfast.limit.waited")
	// BreakerOpen and BreakerHalfOpen are the regions that the call was kept away from, since its tool is broken
	// there, or other calls are trying whether it still is; Busy those that asked its caller to wait.
	BreakerOpen     = attribute.Key("holdfast.breaker.open")
	BreakerHalfOpen = attribute.Key("holdfast.breaker.half_open")
	Busy            = attribute.Key("holdfast.busy")
	// BreakerTrial is the region whose half-open breaker the call, or the try, finds out about.
	BreakerTrial = attribute.Key("holdfast.breaker.trial")
	// BreakerRefused: there was no region left to go to.
	BreakerRefused = attribute.Key("holdfast.breaker.refused")
	// SentAway are the regions that the caller is sent away from, since they are slow, sick in part or drained.
	SentAway = attribute.Key("holdfast.sent_away")
	// Kept: the trace was not to be recorded; the span is there because of how the call went.
	Kept = attribute.Key("holdfast.kept")
)

// Failures that are not JSON-RPC codes or HTTP statuses.
const (
	// ToolError is a tool result with isError (MCP conventions).
	ToolError Failure = "tool_error"
	// Timeout: no answer in time.
	Timeout Failure = "timeout"
	// NoAnswer: the connection, or the caller's patience, ended first.
	NoAnswer Failure = "no_answer"
	// Unreadable: what came is no answer to the call.
	Unreadable Failure = "unreadable_answer"
)

// Operation is one MCP request, notification or response on its way.
type Operation struct {
	// Verb is the HTTP verb; it names what has no Method.
	Verb string
	// Method, Target (tool or prompt) and URI are those of the message.
	Method, Target, URI string
	// ID is the request's id as it stood in the message; nil where there is none.
	ID []byte
	// Revision of the protocol; empty where it is not known.
	Revision string
	// Session is the session's id, of which only a hash is shown: who has the id has the session.
	Session string
}

// OperationOf describes a message. It keeps nothing of the body.
func OperationOf(verb string, m *wire.Message, revision string) Operation {
	o := Operation{Verb: verb, Method: m.Method, Revision: revision}
	switch m.Method {
	case method.ToolsCall, promptsGet:
		o.Target = m.Name
	case "resources/read", "resources/subscribe", "resources/unsubscribe", "notifications/resources/updated":
		o.URI = m.URI
	}
	if len(m.ID) > 0 {
		o.ID = append([]byte(nil), m.ID...)
	}
	return o
}

// Name of the span: the method and, where there is one, the tool or prompt.
func (o *Operation) Name() string {
	switch {
	case o.Method == "":
		return o.Verb
	case o.Target == "":
		return o.Method
	}
	return o.Method + " " + o.Target
}

// Attributes appends those that the conventions name for both sides of a call.
func (o *Operation) Attributes(to []attribute.KeyValue) []attribute.KeyValue {
	if o.Method != "" {
		to = append(to, semconv.McpMethodNameKey.String(o.Method))
	} else {
		to = append(to, semconv.HTTPRequestMethodKey.String(o.Verb))
	}
	switch o.Method {
	case method.ToolsCall:
		to = append(to, semconv.GenAIToolName(o.Target), semconv.GenAIOperationNameExecuteTool)
	case promptsGet:
		to = append(to, semconv.GenAIPromptName(o.Target))
	}
	if o.URI != "" {
		to = append(to, semconv.McpResourceURI(o.URI))
	}
	if len(o.ID) > 0 {
		to = append(to, semconv.JSONRPCRequestID(idText(o.ID)))
	}
	if o.Revision != "" {
		to = append(to, semconv.McpProtocolVersion(o.Revision))
	}
	if o.Session != "" {
		to = append(to, semconv.McpSessionID(SessionHash(o.Session)))
	}
	return append(to, semconv.NetworkTransportTCP, semconv.NetworkProtocolName("http"))
}

// idText is an id without the quotes of a string.
func idText(id []byte) string {
	if text, ok := wire.Unquote(id); ok {
		return text
	}
	return string(id)
}

// SessionHash tells sessions apart and gives none away.
func SessionHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

// Peer appends server.address and server.port of an endpoint, host:port.
func Peer(to []attribute.KeyValue, address string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return to
	}
	to = append(to, semconv.ServerAddress(host))
	if n, err := strconv.Atoi(port); err == nil {
		to = append(to, semconv.ServerPort(n))
	}
	return to
}

// Failure is how an operation failed: a value of error.type, or a JSON-RPC code behind
// rpcPrefix. Empty: it did not.
type Failure string

// rpcPrefix tells JSON-RPC codes from HTTP statuses and words.
const rpcPrefix = "rpc:"

// FailureOf says whether an answer is an error: every JSON-RPC error is, and every tool result with isError,
// whoever is to blame.
func FailureOf(a *wire.Answer) Failure {
	switch {
	case a.HasError:
		return Failure(rpcPrefix + strconv.FormatInt(a.ErrorCode, 10))
	case a.IsError:
		return ToolError
	}
	return ""
}

// FailureOfStatus is that of an HTTP status from 400.
func FailureOfStatus(status int) Failure {
	if status < 400 {
		return ""
	}
	return Failure(strconv.Itoa(status))
}

// Attributes appends error.type and, of a JSON-RPC error, rpc.response.status_code.
func (f Failure) Attributes(to []attribute.KeyValue) []attribute.KeyValue {
	code, rpc := strings.CutPrefix(string(f), rpcPrefix)
	switch {
	case f == "":
		return to
	case rpc:
		to = append(to, semconv.RPCResponseStatusCode(code))
	}
	return append(to, semconv.ErrorTypeKey.String(code))
}
