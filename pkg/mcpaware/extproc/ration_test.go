package extproc

import (
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// rationed is shopmax with a budget of three retries, whatever the number of calls.
func rationed() *policyv1.RoutePolicy {
	p := shopmax()
	p.Servers[0].RetryBudget = &policyv1.RetryBudget{Floor: 3}
	p.Rules[0].Action.Unretried = "shopmax.get.unretried"
	return p
}

// routed sends a call to the edge point and returns the route that it takes and what its tries are told.
func routed(t *testing.T, e *envoy, body string) (string, *policyv1.CallContext) {
	t.Helper()
	x := e.open(names.PointEdge)
	defer x.hangUp()
	x.ask(requestHeaders(false, postHeaders...))
	reply := x.ask(requestBody(body))
	call, err := toldCall(reply)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range reply.GetRequestBody().GetResponse().GetHeaderMutation().GetSetHeaders() {
		if h.GetHeader().GetKey() == names.HeaderRoute {
			return string(h.GetHeader().GetRawValue()), call
		}
	}
	t.Fatalf("no route in %v", reply)
	return "", nil
}

// tryNumber is the request of the nth try.
func tryNumber(t *testing.T, call *policyv1.CallContext, n float64) *extprocv3.ProcessingRequest {
	t.Helper()
	req := tryHeaders(t, "POST", call)
	setPlace(req, map[string]any{"upstream.address": mumbai, "upstream.request_attempt_count": n})
	return req
}

// TestRetriesAreRationed: further tries spend the budget, first tries and calls that have none do not; with
// the budget spent calls take the route without retries, and ten seconds later the usual one again.
func TestRetriesAreRationed(t *testing.T) {
	t.Parallel()
	inBubble(t, rationed(), func(t *testing.T, e *envoy) {
		attempt := func(call *policyv1.CallContext, n float64) {
			x := e.open(names.PointAttempt)
			defer x.hangUp()
			x.ask(tryNumber(t, call, n))
		}
		for range 3 {
			route, call := routed(t, e, callBody)
			if route != "shopmax.get" || call.GetBudget() == 0 {
				t.Fatalf("route %q, budget %d before it is spent", route, call.GetBudget())
			}
			attempt(call, 1)
			attempt(call, 2)
			_, write := routed(t, e, writeBody)
			attempt(write, 2)
		}
		for range 5 {
			route, call := routed(t, e, callBody)
			if route != "shopmax.get.unretried" || call.GetBudget() != 0 || !call.GetSafe() {
				t.Fatalf("route %q, context %v once it is spent", route, call)
			}
			attempt(call, 2)
		}
		if route, _ := routed(t, e, writeBody); route != "shopmax.tool" {
			t.Errorf("a call without retries anyway takes %q", route)
		}
		if n := e.service.opts.Budget.Spent(); n != 5 {
			t.Errorf("%d calls were refused retries, want 5", n)
		}
		time.Sleep(11 * time.Second)
		if route, _ := routed(t, e, callBody); route != "shopmax.get" {
			t.Errorf("route %q ten seconds later", route)
		}
	})
}

// TestHungRegionSpendsNoBudget: retries away from an endpoint that answers nothing at all are free, those
// away from one that answers badly are not.
func TestHungRegionSpendsNoBudget(t *testing.T) {
	t.Parallel()
	inBubble(t, rationed(), func(t *testing.T, e *envoy) {
		for range 50 {
			route, call := routed(t, e, callBody)
			if route != "shopmax.get" {
				t.Fatal("the budget is spent by a hung region")
			}
			x, y := e.open(names.PointAttempt), e.open(names.PointAttempt)
			x.ask(tryNumber(t, call, 1))
			time.Sleep(825 * time.Millisecond)
			x.hangUp()
			retry := tryNumber(t, call, 2)
			setPlace(retry, map[string]any{"upstream.address": delhi, "upstream.request_attempt_count": 2.0})
			y.ask(retry)
			y.say(responseHeaders(true, ":status: 202"))
			y.hangUp()
		}
	})
}

// TestFailedEndpointSpendsNoBudget: retries away from an endpoint that is called failed, which Envoy is about to
// eject, are free; where the next one fails as well they are not.
func TestFailedEndpointSpendsNoBudget(t *testing.T) {
	t.Parallel()
	for name, delhiFails := range map[string]bool{"the other works": false, "the other fails too": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rationed(), func(t *testing.T, e *envoy) {
				fail := func(address, region string) {
					for _, tool := range []string{"a", "b"} {
						for range 3 {
							e.service.opts.Window.Observe(outcome.Call{Server: "orders", Endpoint: address, Region: region, Method: "tools/call", Tool: tool}, outcome.Failed)
						}
					}
				}
				fail(mumbai, "asia-south1")
				if delhiFails {
					fail(delhi, "asia-south2")
				}
				last := ""
				for range 10 {
					route, call := routed(t, e, callBody)
					last = route
					retry := tryNumber(t, call, 2)
					setPlace(retry, map[string]any{"upstream.address": delhi, "upstream.request_attempt_count": 2.0})
					setAttribute(retry, names.AttributeFailed, mumbai+" asia-south1")
					x := e.open(names.PointAttempt)
					x.ask(retry)
					x.hangUp()
				}
				if spent := last == "shopmax.get.unretried"; spent != delhiFails {
					t.Errorf("the tenth call takes %q", last)
				}
			})
		})
	}
}

// TestNoBudgetNoRation: where none is configured nothing is counted.
func TestNoBudgetNoRation(t *testing.T) {
	t.Parallel()
	p := rationed()
	p.Servers[0].RetryBudget = nil
	inBubble(t, p, func(t *testing.T, e *envoy) {
		if route, call := routed(t, e, callBody); !strings.HasSuffix(route, ".get") || call.GetBudget() != 0 {
			t.Errorf("route %q, budget %d", route, call.GetBudget())
		}
	})
}
