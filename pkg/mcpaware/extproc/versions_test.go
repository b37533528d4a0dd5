package extproc

import (
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// TestVersionsAreCapped: of the revisions that a server speaks clients see those that
// they can use through Holdfast.
func TestVersionsAreCapped(t *testing.T) {
	t.Parallel()
	discover := func(c *policyv1.CallContext) { c.Method, c.Tool = "server/discover", "" }
	answer := func(versions string) string {
		return `{"jsonrpc":"2.0","id":7,"result":{"_meta":{"holdfast/via":"primary-mumbai"},"supportedVersions":` + versions + `,"ttlMs":1.0}}`
	}
	const some = `["2027-01-01", "2026-07-28" ,"2025-11-25","2024-11-05"]`
	runAll(t, []attemptTest{
		{name: "JSON", call: discover, steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(answer(some), true), want: []string{passedOn, "last " + answer(`["2026-07-28","2025-11-25"]`)}},
		}},
		{name: "event", call: discover, steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(answer(some)), true), want: []string{passedOn, "last " + event(answer(`["2026-07-28","2025-11-25"]`))}},
		}},
		{name: "nothing to take out", call: discover, steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(answer(`[ "2026-07-28" ]`), true), want: []string{passedOn, "last " + answer(`[ "2026-07-28" ]`)}},
		}},
		{name: "nothing in common", call: discover, steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(answer(`["2027-01-01"]`), true), want: []string{passedOn, "last " + answer(`[]`)}},
		}},
		{name: "another method", call: func(c *policyv1.CallContext) { c.Method, c.Tool = "tools/list", "" }, steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(answer(some), true), want: []string{passedOn, "last " + answer(some)}},
		}},
	})
}
