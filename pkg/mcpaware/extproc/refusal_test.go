package extproc

import (
	"strings"
	"testing"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// TestAttemptLooksForWordsInRefusals: a 4xx whose words answer the request goes on as it
// came; of every other one the edge point is told.
func TestAttemptLooksForWordsInRefusals(t *testing.T) {
	t.Parallel()
	told := func(status string) []string {
		return []string{"headers" + stampedHeaders("caller_fault;"+status+";raw")}
	}
	inSession := func(c *policyv1.CallContext) { c.Session = &policyv1.CallSession{Token: "t", Endpoint: mumbai} }
	opening := func(c *policyv1.CallContext) { c.Method, c.Tool = "server/discover", "" }
	words := func(status, body string, want ...string) []step {
		return []step{
			{send: responseHeaders(false, ":status: "+status, "content-type: application/json")},
			{send: responseBody(body, true), want: append(want, "last "+body)},
		}
	}
	runAll(t, []attemptTest{
		{name: "empty", steps: []step{{send: responseHeaders(true, ":status: 404"), want: told("404")}}},
		{name: "a page", steps: []step{
			{send: responseHeaders(false, ":status: 403", "content-type: text/html"), want: told("403")},
			{send: responseBody("<p>", true), want: []string{"last <p>"}},
		}},
		{name: "an answer", steps: words("400", refusal, passedOn)},
		{name: "an answer in 403", steps: words("403", refusal, passedOn)},
		{name: "id null", steps: words("400", strings.Replace(refusal, `"id":7`, `"id":null`, 1), told("400")...)},
		{name: "no JSON", steps: words("413", "{", told("413")...)},
		{name: "another id", steps: words("422", strings.Replace(refusal, `"id":7`, `"id":"7"`, 1), told("422")...)},
		{name: "announced too large", steps: []step{
			{send: responseHeaders(false, ":status: 400", "content-type: application/json", "content-length: 65537"), want: []string{passedOn}},
		}},
		{name: "too large", steps: []step{
			{send: responseHeaders(false, ":status: 400", "content-type: application/json")},
			{send: responseBody(strings.Repeat(" ", 65<<10), false), want: []string{passedOn, "body " + strings.Repeat(" ", 65<<10)}},
		}},
		{name: "missing credentials", steps: []step{{send: responseHeaders(true, ":status: 401"), want: []string{passedOn}}}},
		{name: "a lost session", call: inSession, steps: []step{{send: responseHeaders(true, ":status: 404"), want: []string{passedOn}}}},
		{name: "400 in a session", call: inSession, steps: []step{{send: responseHeaders(true, ":status: 400"), want: told("400")}}},
		{name: "what tells an old server", call: opening, steps: []step{{send: responseHeaders(true, ":status: 404"), want: []string{passedOn}}}},
		{name: "no end in time", steps: []step{
			{send: responseHeaders(false, ":status: 400", "content-type: application/json")},
			{after: 800 * time.Millisecond, want: []string{failedAs("424", "timeout;400;raw")}},
		}},
	})
}

// TestEdgePutsRefusalsInWords: with the server's status, the request's id, and what the
// server says of credentials and methods.
func TestEdgePutsRefusalsInWords(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		for status, number := range map[string]string{"400": "1400", "403": "1401", "404": "1400", "405": "1400"} {
			x := accepted(t, e, callBody)
			got := describe(x.ask(answered(1, false, ":status: "+status, names.HeaderVerdict+": caller_fault;"+status+";raw",
				`www-authenticate: Bearer error="insufficient_scope"`, "allow: POST", "content-type: text/plain")))
			for _, want := range []string{
				"immediate " + status, "allow=POST", `www-authenticate=Bearer error="insufficient_scope"`, "content-type=application/json",
				`"id":7,"error":{"code":` + number,
			} {
				if !strings.Contains(got, want) {
					t.Errorf("%s: %q lacks %q", status, got, want)
				}
			}
			x.hangUp()
		}
	})
}
