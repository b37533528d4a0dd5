package extproc

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// metered is shopmax with two requests in any ten seconds.
func metered(change ...func(*policyv1.RoutePolicy)) *policyv1.RoutePolicy {
	p := shopmax()
	p.RateLimits = []*policyv1.RateLimit{{Id: "shopmax rateLimits[0]", Key: 1, Requests: 2, Per: durationpb.New(10 * time.Second), By: []string{"principal"}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func TestEdgeRefusesWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	inBubble(t, metered(), func(t *testing.T, e *envoy) {
		for _, left := range []string{"1", "0"} {
			x, got := asked(e, callBody)
			if len(got) != 1 || !strings.HasPrefix(got[0], "request body x-holdfast-route=") {
				t.Fatalf("within the limit: %q", got)
			}
			answer := x.say(responseHeaders(true, ":status: 200"))
			for _, want := range []string{"ratelimit-limit=2", "ratelimit-remaining=" + left, "ratelimit-reset=10"} {
				if len(answer) != 1 || !strings.Contains(answer[0], want) {
					t.Errorf("answer %q lacks %s", answer, want)
				}
			}
			time.Sleep(time.Second)
		}
		x, got := asked(e, callBody)
		for _, want := range []string{
			"immediate 200", "retry-after=8", "ratelimit-limit=2", "ratelimit-remaining=0", "ratelimit-reset=8", names.HeaderDegraded + "=error",
			`the tool get_order of orders takes 2 requests in any 10s from each caller, and that many have been taken. Please retry in 8s.`,
			`"id":7`, `"isError":true`, `"code":"rate_limited"`, `"retryAfterMs":8000`, `"tool":"get_order"`, `"server":"orders"`,
		} {
			if len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("the refusal lacks %s: %q", want, got)
			}
		}
		x.hangUp()
		time.Sleep(8 * time.Second)
		if _, got := asked(e, callBody); !strings.HasPrefix(got[0], "request body") {
			t.Errorf("after the wait: %q", got)
		}
	})
}

// TestEdgeRefusesInHTTP where the route asks for statuses.
func TestEdgeRefusesInHTTP(t *testing.T) {
	t.Parallel()
	policy := metered(func(p *policyv1.RoutePolicy) { p.Errors = policyv1.ErrorStyle_ERROR_STYLE_HTTP })
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		asked(e, callBody)
		asked(e, callBody)
		if _, got := asked(e, callBody); !strings.HasPrefix(got[0], "immediate 429") || !strings.Contains(got[0], `"code":1429`) {
			t.Errorf("%q", got)
		}
	})
}

// TestEdgeChargesBatches: a batch costs what its requests cost, and is refused as a whole.
func TestEdgeChargesBatches(t *testing.T) {
	t.Parallel()
	inBubble(t, metered(), func(t *testing.T, e *envoy) {
		asked(e, callBody)
		_, got := asked(e, "["+callBody+","+listBody+"]")
		if len(got) != 1 || !strings.HasPrefix(got[0], "immediate 200") || strings.Count(got[0], `"rate_limited"`) < 2 || !strings.Contains(got[0], "counts as 2") {
			t.Errorf("two requests with room for one: %q", got)
		}
		if _, got := asked(e, "["+callBody+"]"); !strings.HasPrefix(got[0], "request body") {
			t.Errorf("one request with room for one: %q", got)
		}
	})
}

// TestEdgeExempts: what clients cannot do without is never refused, whatever the rate.
func TestEdgeExemptsFromRates(t *testing.T) {
	t.Parallel()
	inBubble(t, metered(), func(t *testing.T, e *envoy) {
		asked(e, callBody)
		asked(e, callBody)
		for _, body := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}`,
			`{"jsonrpc":"2.0","id":2,"method":"ping"}`,
		} {
			x, got := asked(e, body)
			if len(got) != 1 || !strings.HasPrefix(got[0], "request body") {
				t.Errorf("%s got %q", body, got)
			}
			x.hangUp()
		}
	})
}

// TestEdgeAnswersDiscoverFromMemory beyond its limit, and asks the server where there is nothing in it.
func TestEdgeAnswersDiscoverFromMemory(t *testing.T) {
	t.Parallel()
	policy := metered(func(p *policyv1.RoutePolicy) {
		p.DiscoverLimit = &policyv1.RateLimit{Id: "shopmax discoverLimit", Key: 2, Requests: 1, Per: durationpb.New(time.Minute), By: []string{"principal"}}
	})
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		key := ""
		for i := range 3 {
			x := e.open(names.PointEdge)
			x.ask(requestHeaders(false, append(postHeaders, "mcp-protocol-version: 2026-07-28", "mcp-method: server/discover")...))
			reply := x.ask(requestBody(discoverBody))
			call, err := toldCall(reply)
			if err != nil || reply.GetRequestBody() == nil {
				t.Fatalf("request %d with nothing remembered: %v, %v", i, reply, err)
			}
			key = call.GetCatalogKey()
			x.hangUp()
		}
		e.catalog.Put(&policyv1.CatalogEntry{
			Key: key, Server: "orders", Method: "server/discover", Result: []byte(`{"supportedVersions":["2026-07-28"]}`), AsOf: timestamppb.Now(),
		})
		x := e.open(names.PointEdge)
		x.ask(requestHeaders(false, append(postHeaders, "mcp-protocol-version: 2026-07-28", "mcp-method: server/discover")...))
		got := x.say(requestBody(discoverBody))
		if len(got) != 1 || !strings.HasPrefix(got[0], "immediate 200") || !strings.Contains(got[0], "supportedVersions") || !strings.Contains(got[0], `"reason":"rate_limited"`) {
			t.Errorf("with an answer remembered: %q", got)
		}
	})
}

const discoverBody = `{"jsonrpc":"2.0","id":9,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
