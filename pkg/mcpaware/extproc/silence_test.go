package extproc

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

func timedOutEvent() string {
	return `data: {"jsonrpc":"2.0","id":7,"error":{"code":1504,`
}

func TestAttemptEndsSilence(t *testing.T) {
	t.Parallel()
	impatient := func(c *policyv1.CallContext) { c.Progress, c.IdleTimeout = true, durationpb.New(10*time.Second) }
	start := []step{
		{send: responseHeaders(false, eventHeaders...)},
		{send: responseBody(event(progress), false), want: []string{passedOn, "body " + event(progress)}},
	}
	ends := func(what string) func([]string) bool {
		return func(got []string) bool {
			return len(got) == 1 && strings.HasPrefix(got[0], "last "+what) && strings.Contains(got[0], timedOutEvent())
		}
	}
	for name, tt := range map[string]struct {
		steps []step
		ends  func([]string) bool
	}{
		"silence": {append(start[:2:2], step{after: 9999 * time.Millisecond}), ends("event: message")},
		"each event buys time": {append(
			start[:2:2], step{after: 9 * time.Second}, step{send: responseBody(event(progress), false), want: []string{"body " + event(progress)}},
			step{after: 9999 * time.Millisecond},
		), ends("event: message")},
		"half an event is cut": {append(
			start[:2:2], step{send: responseBody("data: {", false), want: []string{"body data: {"}}, step{after: 9999 * time.Millisecond},
		), ends("\nevent: holdfast-cut")},
		"a client that can resume": {append(
			start[:2:2], step{send: responseBody("id: 4\ndata:\n\n", false), want: []string{"body id: 4\ndata:\n\n"}}, step{after: 9999 * time.Millisecond},
		), func(got []string) bool { return len(got) == 1 && got[0] == "last " }},
		"after the answer": {append(
			start[:2:2], step{send: responseBody(event(goodResult), false), want: []string{"body " + event(goodResult)}}, step{after: time.Minute},
		), func(got []string) bool { return len(got) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test := attemptTest{call: impatient, steps: tt.steps, then: func(t *testing.T, x *exchange) {
				time.Sleep(time.Millisecond)
				if got := x.heard(); !tt.ends(got) {
					t.Errorf("at the end of the silence: %q", got)
				}
			}}
			test.run(t)
		})
	}
}

// TestAttemptGivesIDsAtOnce: in a session, where nobody else can be asked, a client gets
// an event's id as soon as there is one, and comes back by it when its connection breaks. The
// time of the call is not longer for it.
func TestAttemptGivesIDsAtOnce(t *testing.T) {
	t.Parallel()
	inSession := func(c *policyv1.CallContext) {
		c.Revision, c.Session = "2025-11-25", &policyv1.CallSession{Token: "t", UpstreamId: "u", Endpoint: mumbai}
		c.IdleTimeout = durationpb.New(10 * time.Second)
	}
	const primer = "id: 1\nretry: 10\ndata:\n\n"
	primed := []step{
		{send: responseHeaders(false, eventHeaders...)},
		{send: responseBody(primer, false), want: []string{passedOn, "body " + primer}},
	}
	then := func(steps ...step) []step { return append(primed[:2:2], steps...) }
	runAll(t, []attemptTest{
		{name: "and the answer later", call: inSession, steps: then(
			step{after: 700 * time.Millisecond},
			step{send: responseBody("id: 2\n"+event(goodResult), true), want: []string{"last id: 2\n" + event(goodResult)}},
		)},
		{name: "and a message, which buys the idle time", call: inSession, steps: then(
			step{send: responseBody("id: 2\n"+event(progress), false), want: []string{"body id: 2\n" + event(progress)}},
			step{after: 9 * time.Second},
			step{after: time.Second + time.Millisecond, want: []string{"last "}},
		)},
		{name: "and half a message, which buys it too", call: inSession, steps: then(
			step{send: responseBody("id: 2\ndata: {", false), want: []string{"body id: 2\ndata: {"}},
			step{after: 9 * time.Second},
			step{send: responseBody(strings.TrimPrefix(event(goodResult), "data: {"), true), want: []string{"last " + strings.TrimPrefix(event(goodResult), "data: {")}},
		)},
		{name: "and no message", call: inSession, steps: then(step{after: 799 * time.Millisecond}), then: func(t *testing.T, x *exchange) {
			time.Sleep(2 * time.Millisecond)
			if got := x.heard(); len(got) != 1 || !strings.HasPrefix(got[0], "last event: message") || !strings.Contains(got[0], timedOutEvent()) {
				t.Errorf("after the time of the call: %q", got)
			}
		}},
		{name: "and comments, which buy nothing", call: inSession, steps: then(
			step{after: 500 * time.Millisecond}, step{send: responseBody(": alive\n\n", false), want: []string{"body : alive\n\n"}}, step{after: 299 * time.Millisecond},
		), then: func(t *testing.T, x *exchange) {
			time.Sleep(2 * time.Millisecond)
			if got := x.heard(); len(got) != 1 || !strings.Contains(got[0], timedOutEvent()) {
				t.Errorf("after the time of the call: %q", got)
			}
		}},
		{name: "but not outside of sessions", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(primer, false)},
			{send: responseBody(event(goodResult), true), want: []string{passedOn, "last " + primer + event(goodStamped)}},
		}},
	})
}

func TestAttemptOtherCallsAnswer(t *testing.T) {
	t.Parallel()
	stranger := event(`{"jsonrpc":"2.0","id":8,"result":{}}`)
	runAll(t, []attemptTest{
		{name: "buys no time", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(stranger, false)},
			{after: 800 * time.Millisecond, want: []string{failedAs("424", "timeout;200;raw"), "body " + stranger}},
		}},
		{name: "the right one may follow", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(stranger, false)},
			{send: responseBody(event(goodResult), true), want: []string{passedOn, "last " + stranger + event(goodStamped)}},
		}},
	})
}

func TestAttemptTakesOffEnvoysHeaders(t *testing.T) {
	t.Parallel()
	runAll(t, []attemptTest{
		{name: "of Envoy", steps: []step{{
			send: responseHeaders(true, ":status: 307", "x-envoy-immediate-health-check-fail: true", "x-envoy-overloaded: true"),
			want: []string{"headers -x-envoy-immediate-health-check-fail -x-envoy-overloaded" + stampedMumbai},
		}}},
		{name: "a status that nobody knows", steps: []step{{
			send: responseHeaders(true, ":status: 999"),
			want: []string{failedAs("503", "endpoint_failed;999;raw")},
		}}},
	})
}

// TestLargeAnswersCountWhenWhole: one in the middle of failures makes a lone tool's row
// of five begin anew, but only if its end has come.
func TestLargeAnswersCountWhenWhole(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string]bool{"whole": true, "broken": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				failing := func() string {
					x := e.open("attempt")
					defer x.hangUp()
					x.say(tryHeaders(t, "POST", getOrder(nil)))
					x.say(responseHeaders(false, jsonHeaders...))
					return x.say(responseBody(brokenResult, true))[0]
				}
				for range 4 {
					failing()
				}
				x := e.open("attempt")
				x.say(tryHeaders(t, "POST", getOrder(nil)))
				x.say(responseHeaders(false, append(jsonHeaders, "content-length: 65537")...))
				x.say(responseBody("{", whole))
				x.hangUp()
				want := failedAs("503", "endpoint_failed;200;mcp")
				if whole {
					want = failedAs("424", "tool_failed;200;mcp")
				}
				if got := failing(); got != want {
					t.Errorf("the fifth failure: %q, want %q", got, want)
				}
			})
		})
	}
}
