package wire

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind says what a JSON-RPC message is.
type Kind int

// Kinds of messages (JSON-RPC 2.0, sections 4 to 6).
const (
	// Invalid is the zero Kind: nothing was parsed.
	Invalid Kind = iota
	// Request has a method and an id.
	Request
	// Notification has a method and no id.
	Notification
	// Response has a result or an error.
	Response
	// Batch is an array; its elements are not looked at.
	Batch
)

// String returns the Kind in lower case.
func (k Kind) String() string {
	switch k {
	case Request:
		return "request"
	case Notification:
		return "notification"
	case Response:
		return "response"
	case Batch:
		return "batch"
	case Invalid:
		return "invalid"
	}
	return "invalid"
}

// Message is what a client sent, as far as routing and policy care. Its raw values
// alias the body that it was parsed from; a Message is read-only and lives no longer
// than that body.
type Message struct {
	Kind Kind
	// ID holds the id's exact bytes: a string or an integer. Nil in notifications.
	ID jsontext.Value
	// Method is decoded; empty in responses and batches.
	Method string

	// Name is params.name, decoded; HasName reports whether it was there.
	Name    string
	HasName bool
	// URI is params.uri, decoded; HasURI reports whether it was there.
	URI    string
	HasURI bool
	// TaskID is params.taskId, decoded; HasTaskID reports whether it was there.
	TaskID    string
	HasTaskID bool
	// WelcomesTask reports that the answer may be a task: the caller names the tasks
	// extension in its capabilities (2026-07-28), or params.task was there (2025-11-25).
	WelcomesTask bool
	// Cursor is params.cursor, decoded; the empty string is a valid cursor, so
	// HasCursor reports whether it was there.
	Cursor    string
	HasCursor bool
	// InitVersion is params.protocolVersion, which `initialize` carries.
	InitVersion string
	// Params holds the exact bytes of params; nil where absent.
	Params jsontext.Value
	// Arguments holds the exact bytes of params.arguments; nil where absent.
	Arguments jsontext.Value

	// HasMeta reports whether params._meta was there.
	HasMeta bool
	// MetaVersion is _meta["io.modelcontextprotocol/protocolVersion"]; HasMetaVersion
	// reports whether it was there.
	MetaVersion    string
	HasMetaVersion bool
	// HasCapabilities reports whether
	// _meta["io.modelcontextprotocol/clientCapabilities"] was there, an object.
	HasCapabilities bool
	// ProgressToken reports whether _meta.progressToken was there: the caller wants
	// notifications/progress.
	ProgressToken bool

	// Timeout is _meta["holdfast/timeoutMs"]; 0 where it is absent or not a whole number of
	// milliseconds from 1 to a day.
	Timeout time.Duration

	// HasInputResponses and HasRequestState report members of params by which a request
	// continues an earlier one. State may be single-use, so such a request is never
	// sent twice and its answer never remembered.
	HasInputResponses bool
	HasRequestState   bool
}

// Fault is why a request body is refused. It is an error.
type Fault struct {
	// Code is the JSON-RPC error code: CodeParse, CodeInvalidRequest or CodeInvalidParams.
	Code int
	// HTTPStatus is the status to answer with, 400.
	HTTPStatus int
	// Message is safe to send to the caller; it quotes nothing from the body.
	Message string
	// ID holds the request id's exact bytes where it is known beyond doubt; else nil.
	ID jsontext.Value
	// Offset is where in the body the fault was found, in bytes.
	Offset int
}

// Error implements error.
func (f *Fault) Error() string { return f.Message }

// JSON-RPC 2.0 error codes for messages that cannot be served as they are.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
)

// Limits on one message; a body outside them is refused.
const (
	// MaxDepth is the deepest nesting of arrays and objects.
	MaxDepth = 128
	// MaxIDBytes bounds a string id between its quotes, escapes included.
	MaxIDBytes = 1024
	// MaxMethodBytes bounds a decoded method.
	MaxMethodBytes = 256
	// MaxNameBytes bounds a decoded params.name and params.taskId.
	MaxNameBytes = 1024
	// MaxURIBytes bounds a decoded params.uri.
	MaxURIBytes = 16 << 10
	// MaxCursorBytes bounds a decoded params.cursor.
	MaxCursorBytes = 16 << 10
)

// Members of _meta that the protocol defines (revision 2026-07-28, section _meta).
const (
	MetaProtocolVersion    = "io.modelcontextprotocol/protocolVersion"
	MetaClientCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaClientInfo         = "io.modelcontextprotocol/clientInfo"
	MetaProgressToken      = "progressToken"
)
