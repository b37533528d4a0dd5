package extproc

import (
	"strconv"
	"strings"
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

// TestOfferedVersions: a client that opens with a revision which is not spoken here is given
// one that is, by the server, and its session is opened again with that one.
func TestOfferedVersions(t *testing.T) {
	t.Parallel()
	for offered, changed := range map[string]bool{"2024-11-05": true, "2099-01-01": true, "zzz": true, "2025-03-26": false, "2025-11-25": false, "2026-07-28": false} {
		inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
			body := strings.Replace(openBody, "2025-11-25", offered, 1)
			x, reply := s.post(body)
			defer x.hangUp()
			mutated := string(reply.GetRequestBody().GetResponse().GetBodyMutation().GetBody())
			length := ""
			for _, h := range reply.GetRequestBody().GetResponse().GetHeaderMutation().GetSetHeaders() {
				if h.GetHeader().GetKey() == "content-length" {
					length = string(h.GetHeader().GetRawValue())
				}
			}
			want, wantLength := "", ""
			if changed {
				want, wantLength = openBody, strconv.Itoa(len(openBody))
			}
			if mutated != want || length != wantLength {
				t.Errorf("%s: the server gets %q with length %q", offered, mutated, length)
			}
			given := x.ask(answered(1, false, ":status: 200", "mcp-session-id: up"))
			for _, h := range given.GetResponseHeaders().GetResponse().GetHeaderMutation().GetSetHeaders() {
				if h.GetHeader().GetKey() != headerSession {
					continue
				}
				owner, err := s.ring.Load().Open(string(h.GetHeader().GetRawValue()))
				if err != nil || changed == strings.Contains(string(owner.Initialize), offered) {
					t.Errorf("%s: it is opened again with %s, %v", offered, owner.Initialize, err)
				}
			}
		})
	}
}
