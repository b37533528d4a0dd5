package extproc

import (
	"slices"
	"testing"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// until gives a call so much time from now.
func until(left time.Duration) func(*policyv1.CallContext) {
	return func(c *policyv1.CallContext) { c.DeadlineMs = time.Now().Add(left).UnixMilli() }
}

// givenUp is an answer that the caller could match to its request, were there no edge point any more.
const givenUp = "immediate 408 content-type=application/json retry-after=1 x-holdfast-degraded=error x-holdfast-verdict=timeout;504;raw\n" +
	`{"jsonrpc":"2.0","id":7,"error":{"code":1504,"message":"Timeout - orders did not answer in time. Please retry later.","data":{"code":"timeout",` +
	`"message":"Timeout - orders did not answer in time. Please retry later.","retryable":true,"retryAfterMs":1000,"server":"orders","tool":"get_order"}}}`

// TestCallsEndInTime: a try ends with its call, answered or not, and is not followed by another.
func TestCallsEndInTime(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		for name, c := range map[string]struct {
			left  time.Duration
			steps []step
		}{
			"no answer": {300 * time.Millisecond, []step{{after: 301 * time.Millisecond, want: []string{givenUp}}}},
			"headers and no more": {300 * time.Millisecond, []step{
				{send: responseHeaders(false, ":status: 200", "content-type: application/json"), want: []string{}},
				{after: 301 * time.Millisecond, want: []string{failedAs("408", "timeout;200;raw")}},
			}},
			"about as long as the try: Envoy's timeout, which counts against the endpoint": {750 * time.Millisecond, []step{
				{after: 900 * time.Millisecond, want: []string{}},
			}},
			"answered in time": {300 * time.Millisecond, []step{
				{send: responseHeaders(true, ":status: 500"), want: []string{"headers" + stampedHeaders("endpoint_failed;500;raw")}},
				{after: time.Second, want: []string{}},
			}},
		} {
			func() {
				x := e.open(names.PointAttempt)
				defer x.hangUp()
				x.ask(tryNumber(t, getOrder(until(c.left)), 1))
				for i, s := range c.steps {
					var got []string
					if s.send != nil {
						got = x.say(s.send)
					} else {
						time.Sleep(s.after)
						got = x.heard()
					}
					if len(got) != len(s.want) || (len(got) > 0 && got[0] != s.want[0]) {
						t.Errorf("%s, step %d: got %q, want %q", name, i, got, s.want)
					}
				}
			}()
		}
		x := e.open(names.PointAttempt)
		defer x.hangUp()
		if got := x.say(tryNumber(t, getOrder(until(-time.Millisecond)), 2)); len(got) != 1 || got[0] != givenUp {
			t.Errorf("a try that begins too late: %q", got)
		}
	})
}

// TestTriesEndWithoutEnvoy: a try whose per-try timeout Envoy has dropped ends all the same, later than Envoy
// would have ended it; one whose answer has begun keeps its own limit.
func TestTriesEndWithoutEnvoy(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		x := e.open(names.PointAttempt)
		defer x.hangUp()
		x.ask(tryNumber(t, getOrder(until(time.Hour)), 1))
		time.Sleep(1700 * time.Millisecond)
		if got := x.heard(); len(got) != 0 {
			t.Errorf("before Envoy's time and more: %q", got)
		}
		time.Sleep(200 * time.Millisecond)
		if got := x.heard(); len(got) != 1 || got[0] != givenUp {
			t.Errorf("after it: %q", got)
		}
		y := e.open(names.PointAttempt)
		defer y.hangUp()
		y.ask(tryNumber(t, getOrder(until(time.Hour)), 1))
		time.Sleep(700 * time.Millisecond)
		y.say(responseHeaders(false, jsonHeaders...))
		time.Sleep(101 * time.Millisecond)
		if got := y.heard(); len(got) != 1 || got[0] != failedAs("424", "timeout;200;raw") {
			t.Errorf("headers and no more: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := y.heard(); len(got) != 0 {
			t.Errorf("afterwards: %q", got)
		}
		z := e.open(names.PointAttempt)
		defer z.hangUp()
		z.ask(tryNumber(t, getOrder(until(time.Hour)), 1))
		z.say(responseHeaders(false, append(jsonHeaders, "content-length: 48")...))
		if got := z.say(responseBody(goodResult, false)); len(got) != 0 {
			t.Errorf("before the end of the answer: %q", got)
		}
		time.Sleep(801 * time.Millisecond)
		want := []string{"headers content-length=90" + stampedMumbai, "body " + goodStamped}
		if got := z.heard(); !slices.Equal(got, want) {
			t.Errorf("whole, but without an end: got %q, want %q", got, want)
		}
	})
}

// TestRetryAfterIsPaced: an endpoint that asks for time is asked again no earlier, and not at all where
// the call has less; while another endpoint is left nothing waits.
func TestRetryAfterIsPaced(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		for name, c := range map[string]struct {
			attempt float64
			asked   string
			safe    bool
			want    string
		}{
			"another endpoint is left":    {1, "60", true, "headers" + stampedHeaders("busy;429;raw")},
			"time enough":                 {2, "2", true, "headers x-holdfast-region=asia-south1 x-holdfast-retry-after=2 x-holdfast-verdict=busy;429;raw x-holdfast-via=primary-mumbai"},
			"too long, with Envoy's half": {2, "7", true, "headers :status=408" + stampedHeaders("busy;429;raw")},
			"longer than time can be":     {2, "Fri, 31 Dec 9999 23:59:59 GMT", true, "headers :status=408" + stampedHeaders("busy;429;raw")},
			"more than a number can hold": {2, "100000000000000000000", true, "headers :status=408" + stampedHeaders("busy;429;raw")},
			"less than nothing":           {2, "-5", true, "headers x-holdfast-region=asia-south1 x-holdfast-retry-after=1 x-holdfast-verdict=busy;429;raw x-holdfast-via=primary-mumbai"},
			"does not say":                {2, "", true, "headers" + stampedHeaders("busy;429;raw")},
			"not tried again anyway":      {2, "60", false, "headers" + stampedHeaders("busy;429;raw")},
		} {
			func() {
				x := e.open(names.PointAttempt)
				defer x.hangUp()
				call := getOrder(until(10 * time.Second))
				call.Safe = c.safe
				x.ask(tryNumber(t, call, c.attempt))
				lines := []string{":status: 429"}
				if c.asked != "" {
					lines = append(lines, "retry-after: "+c.asked)
				}
				if got := x.say(responseHeaders(true, lines...)); len(got) != 1 || got[0] != c.want {
					t.Errorf("%s: got %q, want %q", name, got, c.want)
				}
			}()
		}
	})
}
