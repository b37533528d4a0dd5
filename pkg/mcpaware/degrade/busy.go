package degrade

import (
	"fmt"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// Busy words why a call is not let through to its server: so many of them are under way
// at a time. ofTool: it is the tool's limit, not the server's. The call has run nowhere.
func Busy(limit int, ofTool bool, retryAfter time.Duration, call *policyv1.CallContext, requestID string) Cause {
	whose := serverName(call)
	if ofTool {
		whose = subject(call)
	}
	what := fmt.Sprintf("Rate limited - %s takes %d %s at a time, and there is no room in time.", whose, limit, plural(limit, "call"))
	return busy(RateLimited, what, retryAfter, call, requestID)
}

// Crowded words why a call gave way to others of more worth. limit is the server's, 0
// where the gateway itself has too much to do.
func Crowded(limit int, retryAfter time.Duration, call *policyv1.CallContext, requestID string) Cause {
	what := "Service unavailable - the gateway has too much to do and serves more important calls than those of " + subject(call) + "."
	if limit > 0 {
		what = fmt.Sprintf("Service unavailable - %s takes %d %s at a time and serves more important ones than those of %s.",
			serverName(call), limit, plural(limit, "call"), subject(call))
	}
	return busy(ServiceUnavailable, what, retryAfter, call, requestID)
}

func busy(code Code, what string, retryAfter time.Duration, call *policyv1.CallContext, requestID string) Cause {
	c := cause(code, what, NotExecuted, call, requestID)
	c.RetryAfter = retryAfter
	return c
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
