package degrade

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// New returns the Cause with a code and its usual words for a call. outcome is what is
// known of the last try, NotExecuted or Unknown; it is told only of calls that may not
// run twice. call may be nil.
func New(code Code, outcome string, call *policyv1.CallContext, requestID string) Cause {
	var what string
	server := serverName(call)
	switch code {
	case ServiceUnavailable:
		what = "Service unavailable - " + server + " cannot be reached."
	case Timeout:
		what = "Timeout - " + server + " did not answer in time."
	case RateLimited:
		what = "Rate limited - too many calls to " + server + "."
	case DependencyFailed:
		what = "Dependency failed - " + subject(call) + " failed."
		if call.GetSafe() {
			what = "Dependency failed - " + subject(call) + " failed on every attempt."
		}
	case Unauthorized:
		what = "Not allowed - " + server + " may not be called like this."
	case InvalidInput, MissingParameter, ValidationFailed:
		what = "Invalid input - the request cannot be served as it is."
	case InternalError, SessionLost:
		what = "Internal error - the request could not be routed."
	}
	return cause(code, what, outcome, call, requestID)
}

// cause completes a sentence about a failure with what the caller can do now.
func cause(code Code, what, outcome string, call *policyv1.CallContext, requestID string) Cause {
	facts := code.facts()
	c := Cause{
		Code: code, Message: what, Retryable: facts.retryable, RetryAfter: facts.retryAfter,
		Server: call.GetServer(), Tool: call.GetTool(), RequestID: requestID,
	}
	if call != nil && !call.GetSafe() {
		c.Outcome = outcome
	}
	if c.Outcome == Unknown {
		c.Retryable, c.RetryAfter = false, 0
		c.Message += " The call may have been carried out: check before you repeat it."
		return c
	}
	if c.Outcome == NotExecuted {
		c.Message += " The call was not carried out."
	}
	if c.Retryable {
		c.Message += " Please retry later."
	}
	return c
}

func serverName(call *policyv1.CallContext) string {
	if name := call.GetServer(); name != "" {
		return name
	}
	return "the server"
}

func subject(call *policyv1.CallContext) string {
	if tool := call.GetTool(); tool != "" {
		return "the tool " + tool + " of " + serverName(call)
	}
	return serverName(call)
}

// appendData appends the data object of an error. extra, when not nil, is members that
// come first, without braces.
func (c *Cause) appendData(dst, extra []byte) []byte {
	dst = append(dst, '{')
	if len(extra) > 0 {
		dst = append(append(dst, extra...), ',')
	}
	dst = append(dst, `"code":`...)
	dst = appendString(dst, string(c.Code))
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, c.Message)
	dst = append(dst, `,"retryable":`...)
	dst = strconv.AppendBool(dst, c.Retryable)
	if c.Retryable && c.RetryAfter > 0 {
		dst = append(dst, `,"retryAfterMs":`...)
		dst = strconv.AppendInt(dst, c.RetryAfter.Milliseconds(), 10)
	}
	for _, member := range [...]struct{ name, value string }{
		{`,"outcome":`, c.Outcome},
		{`,"server":`, c.Server},
		{`,"tool":`, c.Tool},
		{`,"requestId":`, c.RequestID},
	} {
		if member.value != "" {
			dst = appendString(append(dst, member.name...), member.value)
		}
	}
	return append(dst, '}')
}

// QuoteJSON returns s as a JSON string.
func QuoteJSON(s string) []byte { return appendString(nil, s) }

// appendString appends a JSON string. Invalid UTF-8 becomes U+FFFD, which is all that
// AppendQuote reports as an error.
func appendString(dst []byte, s string) []byte {
	begin := len(dst)
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		quoted, err = jsontext.AppendQuote(dst[:begin], toValidUTF8(s))
		if err != nil {
			return append(dst[:begin], `""`...)
		}
	}
	return quoted
}
