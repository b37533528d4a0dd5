package decide

import (
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Header gives the request's headers. Names are lower-case.
type Header interface {
	// Values returns the values of one header in order, nil where it is absent.
	Values(name string) []string
	// WithPrefix returns the distinct names that begin with prefix, in any order.
	WithPrefix(prefix string) []string
}

// HeaderValue is one HTTP header; Name is lower-case.
type HeaderValue = degrade.HeaderValue

// Request is one HTTP request as the edge point sees it.
type Request struct {
	// Verb is the :method, Path the :path with or without a query.
	Verb, Path string
	Header     Header
	// Continues: something comes behind the headers, whatever they say of it (HTTP/2).
	Continues bool
	// Body is the whole body; nil before it is there.
	Body []byte
	// Tasks knows the owners of tasks; nil knows none.
	Tasks TaskOwners
	// Sessions knows the servers of sessions; nil knows none.
	Sessions SessionOwners
	// Verified says whether a server was found to compare headers with bodies; nil: none was.
	Verified Verifier
	// RequestID goes into error data (x-request-id); may be empty.
	RequestID string
}

// TaskOwners finds the server that has a task.
type TaskOwners interface {
	// TaskOwner takes the id that the caller knows. The server is "" where the id says
	// nothing of it; known is false where the caller has no such task.
	TaskOwner(id string) (server string, known bool)
}

// HeadersDecision is what the headers of a request decide.
type HeadersDecision struct {
	// NeedBody: call Body once the whole body is there. The Decision then only tells
	// the Route. A POST that needs none is Unread.
	NeedBody bool
	Decision
}

// Decision is what becomes of one request.
type Decision struct {
	// Answer, when not nil, is sent at once; nothing goes to a server.
	Answer *degrade.Answer
	// Route is the policy of the path; nil where no policy has the path.
	Route *Route
	// Rule says what chose the action: the id of a tool rule such as "tools[0]", or
	// RuleUnmatchedTool, RuleSafeMethod, RuleOtherMethod, RuleStream, RuleDelete,
	// RuleBatch.
	Rule string
	// Action is what Envoy does with the message; nil where Answer is not.
	Action *policyv1.Action
	// Message is the parsed body of a POST; it aliases the body.
	Message wire.Message
	// Revision is the MCP revision that governs the request, such as "2026-07-28".
	Revision string
	// SetHeaders overwrite request headers, RemoveHeaders (present ones only) go.
	SetHeaders    []HeaderValue
	RemoveHeaders []string
	// Call is what the attempt point needs; nil for GET and DELETE. Where Answer is set
	// it may be nil.
	Call *policyv1.CallContext
	// Batch has one entry for each request of a batch: what an answer to it must know.
	// Call then speaks for the whole. Nil where the message is no batch.
	Batch []*policyv1.CallContext
	// CatalogKey is the key under which the answer is remembered and, when the server
	// is down, looked up; empty where it is not.
	CatalogKey string
	// InSession: the message belongs to a session, which one endpoint knows.
	InSession bool
	// Wait is how long the caller says that it waits; 0: it does not say.
	Wait time.Duration
	// elements are the requests of a batch that count for rate limits.
	elements []metered
	// Unread: the headers alone decided, and the body goes on as it comes.
	Unread bool
	// once: whatever the rule says, the message may not be sent twice.
	once bool
	// onlySecond: the call goes to its second provider alone.
	onlySecond bool
	// uncached says why the result is not remembered although its rule says so.
	uncached string
}

// Values of Decision.Rule other than tool rule ids.
const (
	RuleUnmatchedTool = "unmatched tool"
	RuleSafeMethod    = "safe method"
	RuleOtherMethod   = "other method"
	RuleStream        = "stream"
	RuleDelete        = "delete"
)
