package extproc

import (
	"strings"
	"testing"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

func TestAttemptJudgesEvents(t *testing.T) {
	t.Parallel()
	withProgress := func(c *policyv1.CallContext) { c.Progress = true }
	modern := func(c *policyv1.CallContext) { c.Revision = "2026-07-28" }
	runAll(t, []attemptTest{
		{name: "good", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(goodResult), false), want: []string{passedOn, "body " + event(goodStamped)}},
			{send: responseBody("", true), want: []string{"last "}},
		}},
		{name: "good, in pieces, after comments and a priming event", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(": hello\n\nid: 1\ndata:\n\n", false)},
			{send: responseBody("data: "+goodResult[:9], false)},
			{send: responseBody(goodResult[9:]+"\n", false)},
			{send: responseBody("\n: more", false), want: []string{passedOn, "body : hello\n\nid: 1\ndata:\n\ndata: " + goodStamped + "\n\n: more"}},
		}},
		{name: "good, length announced", steps: []step{
			{send: responseHeaders(false, append(eventHeaders, "content-length: 71")...)},
			{send: responseBody(event(goodResult), true), want: []string{"headers content-length=113" + stampedMumbai, "last " + event(goodStamped)}},
		}},
		{name: "failed", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(brokenResult), false), want: []string{failedAs("424", "tool_failed;200;mcp"), "body " + event(brokenResult)}},
		}},
		{name: "failed after a notification that could wait", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(progress), false)},
			{send: responseBody(event(brokenResult), true), want: []string{failedAs("424", "tool_failed;200;mcp"), "last " + event(progress) + event(brokenResult)}},
		}},
		{name: "progress was asked for", call: withProgress, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(progress), false), want: []string{passedOn, "body " + event(progress)}},
			{send: responseBody(event(brokenResult), true), want: []string{"last " + event(brokenResult)}},
		}},
		{name: "progress and failure at once", call: withProgress, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(progress)+event(brokenResult), true), want: []string{failedAs("424", "tool_failed;200;mcp"), "last " + event(progress) + event(brokenResult)}},
		}},
		{name: "the server asks back", call: func(c *policyv1.CallContext) { c.Revision = "2025-11-25" }, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(elicitation), false), want: []string{passedOn, "body " + event(elicitation)}},
		}},
		{name: "the server asks back in 2026-07-28, and answers", call: modern, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(elicitation), false)},
			{send: responseBody(event(goodResult), true), want: []string{passedOn, "last " + event(elicitation) + event(goodStamped)}},
		}},
		{name: "the server asks back in 2026-07-28, and waits", call: modern, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(elicitation), false)},
			{after: time.Second, want: []string{failedAs("424", "timeout;200;raw"), "body " + event(elicitation)}},
		}},
		{name: "the server asks back in 2026-07-28 after progress", call: func(c *policyv1.CallContext) { modern(c); withProgress(c) }, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(elicitation), false)},
			{send: responseBody(event(progress), false), want: []string{passedOn, "body " + event(elicitation) + event(progress)}},
			{send: responseBody(event(elicitation), false), want: []string{"body " + event(elicitation)}},
		}},
		{name: "without a resultType", call: modern, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(goodResult), false), want: []string{passedOn, "body " + event(goodStamped)}},
		}},
		{name: "subscription", call: func(c *policyv1.CallContext) { c.Method, c.Tool, c.PerTryTimeout = "subscriptions/listen", "", nil }, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}`), false), want: []string{passedOn, "body " + event(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}`)}},
		}},
		{name: "an event that is no message", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody("data: oops\n\n", false), want: []string{failedAs("424", "tool_failed;200;raw"), "body data: oops\n\n"}},
		}},
		{name: "an event of another name", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody("event: other\ndata: oops\n\n", false)},
			{send: responseBody(event(refusal), false), want: []string{passedOn, "body event: other\ndata: oops\n\n" + event(refusal)}},
		}},
		{name: "too much before the answer", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(":"+strings.Repeat("x", 65<<10), false), want: []string{passedOn, "body :" + strings.Repeat("x", 65<<10)}},
		}},
		{name: "an answer that is too large to hold", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody("data: "+strings.Repeat(" ", 65<<10), false), want: []string{passedOn, "body data: " + strings.Repeat(" ", 65<<10)}},
			{send: responseBody(goodResult+"\n\n", true), want: []string{"last " + goodResult + "\n\n"}},
		}},
	})
}

func TestAttemptEarlyEnd(t *testing.T) {
	t.Parallel()
	legacy := func(c *policyv1.CallContext) { c.Revision, c.Progress = "2025-11-25", true }
	const failure = "event: message\ndata: " + `{"jsonrpc":"2.0","id":7,"error":{"code":1502,"message":"Dependency failed - the tool get_order of orders failed on every attempt. Please retry later.","data":{"code":"dependency_failed","message":"Dependency failed - the tool get_order of orders failed on every attempt. Please retry later.","retryable":true,"retryAfterMs":1000,"server":"orders","tool":"get_order"}}}` + "\n\n"
	begin := []step{
		{send: responseHeaders(false, eventHeaders...)},
		{send: responseBody(event(progress), false), want: []string{passedOn, "body " + event(progress)}},
	}
	then := func(steps ...step) []step { return append(begin[:2:2], steps...) }
	runAll(t, []attemptTest{
		{name: "before anything", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(": ping\n\n", false)},
			{send: responseBody("", true), want: []string{failedAs("424", "tool_failed;200;raw"), "last : ping\n\n"}},
		}},
		{name: "in the middle of the first event", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody("data: "+goodResult+"\n", true), want: []string{failedAs("424", "tool_failed;200;raw"), "last data: " + goodResult + "\n"}},
		}},
		{name: "after a question that was not yet passed on", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(elicitation), true), want: []string{failedAs("424", "tool_failed;200;raw"), "last " + event(elicitation)}},
		}},
		{name: "to be resumed", call: legacy, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody("id: 1\nretry: 10\ndata:\n\n", true), want: []string{passedOn, "last id: 1\nretry: 10\ndata:\n\n"}},
		}},
		{name: "after a notification", call: legacy, steps: then(
			step{send: responseBody("", true), want: []string{"last " + failure}},
		)},
		{name: "after a notification, with trailers", call: legacy, steps: then(
			step{send: responseTrailers(), want: []string{"body " + failure, "trailers"}},
		)},
		{name: "in the middle of a line", call: legacy, steps: then(
			step{send: responseBody("data: {", true), want: []string{"last data: {\nevent: holdfast-cut\n\n" + failure}},
		)},
		{name: "in the middle of an event", call: legacy, steps: then(
			step{send: responseBody("data: {\n", false), want: []string{"body data: {\n"}},
			step{send: responseBody("", true), want: []string{"last event: holdfast-cut\n\n" + failure}},
		)},
		{name: "after the answer", call: legacy, steps: then(
			step{send: responseBody(event(goodResult), false), want: []string{"body " + event(goodResult)}},
			step{send: responseBody("", true), want: []string{"last "}},
		)},
		{name: "after an event that can be resumed", call: legacy, steps: then(
			step{send: responseBody("id: 4\n"+event(progress), true), want: []string{"last id: 4\n" + event(progress)}},
		)},
		{name: "of an announced length", call: legacy, steps: []step{
			{send: responseHeaders(false, append(eventHeaders, "content-length: 200")...)},
			{send: responseBody(event(progress), false), want: []string{passedOn, "body " + event(progress)}},
			{send: responseBody("", true), want: []string{"last "}},
		}},
		{name: "after the time was up", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(progress), false)},
			{after: time.Second, want: []string{passedOn, "body " + event(progress)}},
			{send: responseBody("", true), want: []string{"last " + failure}},
		}},
	})
}
