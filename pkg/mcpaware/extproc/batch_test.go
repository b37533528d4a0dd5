package extproc

import (
	"strings"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// TestAttemptJudgesBatches: the answer to a batch has failed where all of it has.
func TestAttemptJudgesBatches(t *testing.T) {
	t.Parallel()
	batch := func(c *policyv1.CallContext) {
		c.Id, c.Method, c.Tool, c.Revision = nil, "", "", "2025-03-26"
		c.BatchIds = [][]byte{[]byte("1"), []byte(`"b"`)}
	}
	const (
		one    = `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`
		other  = `{"jsonrpc":"2.0","id":"b","result":{"a":1}}`
		broken = `{"jsonrpc":"2.0","id":"b","error":{"code":-32603,"message":"x"}}`
		worse  = `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}`
		wrong  = `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}`
	)
	answer := func(name, body, headers string) attemptTest {
		return attemptTest{name: name, call: batch, steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(body, true), want: []string{headers, "last " + body}},
		}}
	}
	const missing = `event: message
data: {"jsonrpc":"2.0","id":"b","error":{"code":1502,"message":"Dependency failed - orders failed. The call may have been carried out: check before you repeat it.","data":{"code":"dependency_failed","message":"Dependency failed - orders failed. The call may have been carried out: check before you repeat it.","retryable":false,"outcome":"unknown","server":"orders"}}}` + "\n\n"
	events := func(name string, steps []step) attemptTest {
		return attemptTest{name: name, call: batch, steps: append([]step{{send: responseHeaders(false, eventHeaders...)}}, steps...)}
	}
	runAll(t, []attemptTest{
		answer("all good", "["+other+","+one+"]", passedOn),
		answer("one good", "["+one+","+broken+"]", passedOn),
		answer("all failed", "["+worse+","+broken+"]", failedAs("424", "tool_failed;200;mcp")),
		answer("failed and refused", "["+wrong+","+broken+"]", passedOn),
		answer("one missing, the other failed", "["+worse+"]", failedAs("424", "tool_failed;200;raw")),
		answer("none", "[]", failedAs("424", "tool_failed;200;raw")),
		events("events, the first one good", []step{
			{send: responseBody(event(one), false), want: []string{passedOn, "body " + event(one)}},
			{send: responseBody(event(broken), true), want: []string{"last " + event(broken)}},
		}),
		events("events, the last one good", []step{
			{send: responseBody(event(broken), false)},
			{send: responseBody(event(one), true), want: []string{passedOn, "last " + event(broken) + event(one)}},
		}),
		events("events, all failed", []step{
			{send: responseBody(event(broken), false)},
			{send: responseBody(event(worse), false), want: []string{failedAs("424", "tool_failed;200;mcp"), "body " + event(broken) + event(worse)}},
		}),
		events("one event, all failed", []step{
			{send: responseBody(event("["+broken+","+worse+"]"), true), want: []string{failedAs("424", "tool_failed;200;mcp"), "last " + event("["+broken+","+worse+"]")}},
		}),
		events("events, failed and refused", []step{
			{send: responseBody(event(broken)+event(wrong), true), want: []string{passedOn, "last " + event(broken) + event(wrong)}},
		}),
		events("events, none", []step{
			{send: responseBody(": hello\n\n", true), want: []string{failedAs("424", "tool_failed;200;raw"), "last : hello\n\n"}},
		}),
		events("events, one failed and one missing", []step{
			{send: responseBody(event(broken), true), want: []string{failedAs("424", "tool_failed;200;raw"), "last " + event(broken)}},
		}),
		events("events, one good and one missing", []step{
			{send: responseBody(event(one), false), want: []string{passedOn, "body " + event(one)}},
			{send: responseBody("", true), want: []string{"last " + missing}},
		}),
		events("the server asks back", []step{
			{send: responseBody(event(elicitation), false), want: []string{passedOn, "body " + event(elicitation)}},
		}),
		events("no message", []step{
			{send: responseBody("data: oops\n\n", false), want: []string{failedAs("424", "tool_failed;200;raw"), "body data: oops\n\n"}},
		}),
	})
}

// TestEdgeAnswersBatches: every request of a batch gets its own degraded answer.
func TestEdgeAnswersBatches(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		x := accepted(t, e, "["+callBody+`,{"jsonrpc":"2.0","method":"notifications/progress"},`+listBody+"]")
		defer x.hangUp()
		got := x.say(localReply("503", 2, "no_healthy_upstream", 1))
		if len(got) != 1 || !strings.HasPrefix(got[0], "immediate 200") || !strings.Contains(got[0], names.HeaderDegraded+"=error") {
			t.Fatalf("reply %q", got)
		}
		for _, want := range []string{`[{"jsonrpc":"2.0","id":7,"result":{"content":[`, `,{"jsonrpc":"2.0","id":"l","error":{"code":1503,`, `"outcome":"not_executed"`} {
			if !strings.Contains(got[0], want) {
				t.Errorf("reply lacks %s: %s", want, got[0])
			}
		}
	})
}
