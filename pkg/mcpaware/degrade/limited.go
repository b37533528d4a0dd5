package degrade

import (
	"fmt"
	"strings"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// Limit is a rate limit that a call was over.
type Limit struct {
	// Requests that are taken in any time of the length Per.
	Requests int64
	Per      time.Duration
	// By is what they are counted by, in words; may be empty.
	By string
	// Cost is how many requests the call counts as.
	Cost int64
	// RetryAfter is when there is room again, if nobody else takes it.
	RetryAfter time.Duration
}

// Limited words why a call was refused for its rate: it has run nowhere.
func Limited(l Limit, call *policyv1.CallContext, requestID string) Cause {
	what := fmt.Sprintf("Rate limited - %s takes %d %s in any %v", subject(call), l.Requests, plural(int(l.Requests), "request"), window(l.Per))
	if l.By != "" {
		what += " " + l.By
	}
	if l.Cost > 1 {
		what += fmt.Sprintf(" (this one counts as %d)", l.Cost)
	}
	wait := max((l.RetryAfter + time.Millisecond - 1).Truncate(time.Millisecond), time.Millisecond)
	c := busy(RateLimited, what+", and that many have been taken.", wait, call, requestID)
	c.Message = strings.TrimSuffix(c.Message, "later.") + "in " + seconds(wait) + "."
	return c
}

// window writes 1h and not 1h0m0s.
func window(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// seconds is a wait for people: rounded up to tenths below ten seconds, to whole ones above.
func seconds(d time.Duration) string {
	step := 100 * time.Millisecond
	if d > 10*time.Second {
		step = time.Second
	}
	return window((d + step - 1).Truncate(step))
}
