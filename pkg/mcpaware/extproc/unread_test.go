package extproc

import (
	"strings"
	"testing"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

var largeHeaders = []string{
	":method: POST", ":path: /mcp", "content-type: application/json", "content-length: 100000", "x-request-id: r-1",
	"mcp-protocol-version: 2026-07-28", "mcp-method: tools/call", "mcp-name: get_order",
}

// verified is shopmax whose server compares headers with bodies.
func verified() *policyv1.RoutePolicy {
	p := shopmax()
	p.Servers[0].VerifiedPath = "/mcp"
	return p
}

// TestLargeBodyGoesUnread: the headers are the last of the request that the processor sees.
func TestLargeBodyGoesUnread(t *testing.T) {
	t.Parallel()
	inBubble(t, verified(), func(t *testing.T, e *envoy) {
		e.service.opts.Verified = func(*policyv1.Server) bool { return true }
		x := e.open(names.PointEdge)
		defer x.hangUp()
		reply := x.ask(requestHeaders(false, largeHeaders...))
		if mode := reply.GetModeOverride(); mode.GetRequestBodyMode() != filterv3.ProcessingMode_NONE || mode.GetResponseHeaderMode() != filterv3.ProcessingMode_SEND {
			t.Errorf("mode %v", mode)
		}
		common := reply.GetRequestHeaders().GetResponse()
		stamp := ""
		for _, h := range common.GetHeaderMutation().GetSetHeaders() {
			if h.GetHeader().GetKey() == names.HeaderRoute {
				stamp = string(h.GetHeader().GetRawValue())
			}
		}
		if stamp != "shopmax.get.once" || !common.GetClearRouteCache() {
			t.Errorf("stamp %q, route cache cleared %v", stamp, common.GetClearRouteCache())
		}
		if answer := x.ask(answered(1, false, ":status: 200")); answer.GetResponseHeaders() == nil {
			t.Errorf("the answer does not go on: %v", answer)
		}
	})
}

// TestRefusedLargeBodyIsReadAfterAll: a refusal has the exact id of the request.
func TestRefusedLargeBodyIsReadAfterAll(t *testing.T) {
	t.Parallel()
	policy := verified()
	policy.Servers[0].Concurrency = &policyv1.Concurrency{Limit: 1}
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		e.service.opts.Verified = func(*policyv1.Server) bool { return true }
		first := e.open(names.PointEdge)
		defer first.hangUp()
		first.ask(requestHeaders(false, largeHeaders...))
		second := e.open(names.PointEdge)
		defer second.hangUp()
		reply := second.ask(requestHeaders(false, largeHeaders...))
		if reply.GetModeOverride().GetRequestBodyMode() != filterv3.ProcessingMode_BUFFERED {
			t.Fatalf("the body is not asked for: %v", reply)
		}
		body := `{"jsonrpc":"2.0","id":"the-id","method":"tools/call","params":{"name":"get_order","arguments":{"x":"` + strings.Repeat("y", 70000) + `"},` +
			`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
		answer := second.ask(requestBody(body)).GetImmediateResponse()
		if answer == nil || !strings.Contains(string(answer.GetBody()), `"id":"the-id"`) {
			t.Errorf("answer %v", answer)
		}
	})
}

// TestAnswersToUnreadCallsAreJudged by the only answer there is.
func TestAnswersToUnreadCallsAreJudged(t *testing.T) {
	nobodyKnows := func(c *policyv1.CallContext) { c.Id, c.Safe, c.Progress = nil, false, true }
	for name, c := range map[string]struct {
		headers []string
		body    string
		failed  bool
	}{
		"good":         {jsonHeaders, goodResult, false},
		"broken":       {jsonHeaders, brokenResult, true},
		"good event":   {eventHeaders, event(goodResult), false},
		"broken event": {eventHeaders, event(brokenResult), true},
		"no answer":    {jsonHeaders, elicitation, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointAttempt)
				defer x.hangUp()
				x.say(tryHeaders(t, "POST", getOrder(nobodyKnows)))
				x.say(responseHeaders(false, c.headers...))
				said := strings.Join(x.say(responseBody(c.body, true)), "\n")
				if got := strings.Contains(said, names.HeaderVerdict); got != c.failed {
					t.Errorf("a failure: %v, want %v: %s", got, c.failed, said)
				}
			})
		})
	}
}
