package degrade

import (
	"time"
)

// HeaderValue is one HTTP header; Name is lower-case.
type HeaderValue struct {
	Name, Value string
}

// Answer is a whole HTTP response that Holdfast gives in a server's place.
type Answer struct {
	// Status is the HTTP status.
	Status int
	// Headers are to be set, content-type among them; content-length is not.
	Headers []HeaderValue
	// Body is application/json.
	Body []byte
	// Source says what stands in the answer for the server's own: SourceError,
	// SourceStale, or "" for a refusal, which no server would have answered better. It
	// is the value of the header names.HeaderDegraded.
	Source string
	// Code is why the answer is not a server's, for metrics and logs.
	Code Code
}

// Values of Answer.Source and of _meta["holdfast/degraded"].source.
const (
	SourceError = "error"
	SourceStale = "stale"
)

// Code is the machine-readable reason in the data of every error.
type Code string

// Codes.
const (
	InvalidInput       Code = "invalid_input"
	MissingParameter   Code = "missing_parameter"
	ValidationFailed   Code = "validation_failed"
	Unauthorized       Code = "unauthorized"
	RateLimited        Code = "rate_limited"
	InternalError      Code = "internal_error"
	ServiceUnavailable Code = "service_unavailable"
	Timeout            Code = "timeout"
	DependencyFailed   Code = "dependency_failed"
	// SessionLost stands in no error's data: the answer is a bare 404.
	SessionLost Code = "session_lost"
)

// Outcomes of calls that may not run twice.
const (
	// NotExecuted: no server has seen the call.
	NotExecuted = "not_executed"
	// Unknown: the call may have run, wholly, in part or not at all.
	Unknown = "unknown"
)

// Cause is why a server's own answer is missing, in the words of an error's data.
type Cause struct {
	Code Code
	// Message is for the model and the people behind it.
	Message string
	// Retryable: the same message may be sent again and may then succeed.
	Retryable bool
	// RetryAfter is how long to wait before that; 0 leaves it open.
	RetryAfter time.Duration
	// Outcome is "", NotExecuted or Unknown; only calls that may not run twice have one.
	Outcome string
	// Server, Tool and RequestID are left out of the data where empty.
	Server, Tool, RequestID string
}
