package extproc

import (
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/budget"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// twoProviders is shopmax whose get_order is also answered by the archive's find.
func twoProviders() *policyv1.RoutePolicy {
	p := shopmax()
	p.Servers[0].Regions = []string{"asia-south1", "asia-south2"}
	p.Servers = append(p.Servers, &policyv1.Server{Name: "archive", Endpoints: []*policyv1.Endpoint{
		{Name: "archive-mumbai", Address: "127.0.0.1:7301", Region: "asia-south1"},
	}})
	for _, a := range []*policyv1.Action{p.Rules[0].GetAction(), p.Rules[0].GetOnce()} {
		a.Fallback = &policyv1.Fallback{
			Server: "archive", Tool: "find", Path: "/archive", FirstPath: "/mcp", Route: a.GetRoute() + ".on", Direct: a.GetRoute() + ".direct", Unretried: a.GetRoute() + ".sparing",
			Arguments: []*policyv1.Move{{From: "/order_id", To: "/id"}}, Result: []*policyv1.Move{{From: "/no", To: "/order_id"}},
		}
	}
	return p
}

const orderBody = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"O-1"}}}`

// try is the first message of a try at a server's endpoint.
func try(t *testing.T, call *policyv1.CallContext, server, address string, lines ...string) *extprocv3.ProcessingRequest {
	t.Helper()
	req := tryHeaders(t, "POST", call)
	h := req.GetRequestHeaders().GetHeaders()
	h.Headers = append(h.GetHeaders(), headerMap(lines...).GetHeaders()...)
	fields := req.GetAttributes()[attributesKey].GetFields()
	fields["upstream.address"] = structpb.NewStringValue(address)
	fields["upstream.locality"] = structpb.NewStringValue(`region: "asia-south1" sub_zone: "` + server + `" `)
	return req
}

func TestSecondProvider(t *testing.T) {
	t.Parallel()
	inBubble(t, twoProviders(), func(t *testing.T, e *envoy) {
		edge := e.open(names.PointEdge)
		defer edge.hangUp()
		edge.ask(requestHeaders(false, postHeaders...))
		reply := edge.ask(requestBody(orderBody))
		if got := describe(reply); !strings.Contains(got, names.HeaderRoute+"=shopmax.get.on") {
			t.Fatalf("stamp %q", got)
		}
		call, err := toldCall(reply)
		if err != nil {
			t.Fatal(err)
		}

		first := e.open(names.PointAttempt)
		defer first.hangUp()
		reply = first.ask(try(t, call, "orders", mumbai, "mcp-name: get_order"))
		if r := reply.GetRequestHeaders().GetResponse(); r.GetBodyMutation() != nil || len(r.GetHeaderMutation().GetSetHeaders()) > 0 {
			t.Errorf("the try at the first provider is changed: %v", reply)
		}

		second := e.open(names.PointAttempt)
		defer second.hangUp()
		r := second.ask(try(t, call, "archive", "127.0.0.1:7301", "mcp-name: get_order")).GetRequestHeaders().GetResponse()
		if r.GetStatus() != extprocv3.CommonResponse_CONTINUE_AND_REPLACE || mutation(r.GetHeaderMutation()) != " -x-holdfast-more -x-holdfast-route :path=/archive mcp-name=find" {
			t.Errorf("try at the second provider: %v", r)
		}
		want := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"find","arguments":{"id":"O-1"}}}`
		if got := string(r.GetBodyMutation().GetBody()); got != want {
			t.Errorf("body %s", got)
		}
		second.say(responseHeaders(false, jsonHeaders...))
		got := strings.Join(second.say(responseBody(`{"jsonrpc":"2.0","id":7,"result":{"content":[],"structuredContent":{"no":"O-1"}}}`, true)), "\n")
		for _, part := range []string{"x-holdfast-degraded=fallback", `"structuredContent":{"order_id":"O-1"}`, `"source":"fallback"`, "x-holdfast-via=archive-mumbai"} {
			if !strings.Contains(got, part) {
				t.Errorf("no %s in %s", part, got)
			}
		}

		again := e.open(names.PointAttempt)
		defer again.hangUp()
		r = again.ask(try(t, call, "orders", mumbai, "mcp-name: find")).GetRequestHeaders().GetResponse()
		if got := mutation(r.GetHeaderMutation()); !strings.Contains(got, "mcp-name=get_order") || r.GetBodyMutation() != nil {
			t.Errorf("a try that comes back to the first provider: %q", got)
		}
	})
}

// TestSecondProviderTooLong: an answer that has to be mapped and cannot be held is none.
func TestSecondProviderTooLong(t *testing.T) {
	t.Parallel()
	inBubble(t, twoProviders(), func(t *testing.T, e *envoy) {
		call := getOrder(func(c *policyv1.CallContext) {
			c.Second = &policyv1.SecondCall{Server: "archive", Tool: "find", Path: "/archive", FirstPath: "/mcp", Body: []byte("{}"), Result: []*policyv1.Move{{From: "/a", To: "/b"}}}
		})
		x := e.open(names.PointAttempt)
		defer x.hangUp()
		x.ask(try(t, call, "archive", "127.0.0.1:7301"))
		got := x.say(responseHeaders(false, ":status: 200", "content-type: application/json", "content-length: 70000"))
		if len(got) != 1 || !strings.Contains(got[0], ":status=424") {
			t.Errorf("got %q", got)
		}
	})
}

func TestNoSecondProvider(t *testing.T) {
	t.Parallel()
	large := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"` + strings.Repeat("x", 64<<10) + `"}}}`
	next := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_order","requestState":"s","arguments":{}}}`
	for name, c := range map[string]struct{ body, header, stamp string }{
		"too large":         {large, "accept: */*", "shopmax.get"},
		"another leg":       {next, "accept: */*", "shopmax.get.once"},
		"part of a session": {orderBody, "mcp-session-id: s-1", "shopmax.get.once"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, twoProviders(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointEdge)
				defer x.hangUp()
				x.ask(requestHeaders(false, append(postHeaders[:len(postHeaders):len(postHeaders)], c.header)...))
				reply := x.ask(requestBody(c.body))
				call, err := toldCall(reply)
				if err != nil || call.GetSecond() != nil || !strings.HasSuffix(describe(reply), names.HeaderRoute+"="+c.stamp) {
					t.Errorf("%v, %v: %.300s", call.GetSecond(), err, describe(reply))
				}
			})
		})
	}
}

// TestBrokenEverywhereGoesToTheSecondProvider: open breakers in every region of the first.
func TestBrokenEverywhereGoesToTheSecondProvider(t *testing.T) {
	t.Parallel()
	inBubble(t, twoProviders(), func(t *testing.T, e *envoy) {
		e.service.opts.Breakers.Override([]*outcomev1.Override{{
			Server: "orders", Tool: "get_order", State: outcomev1.BreakerState_BREAKER_STATE_OPEN, By: "operator",
		}})
		time.Sleep(time.Second)
		x := e.open(names.PointEdge)
		defer x.hangUp()
		x.ask(requestHeaders(false, postHeaders...))
		reply := x.ask(requestBody(orderBody))
		if got := describe(reply); !strings.Contains(got, names.HeaderRoute+"=shopmax.get.direct") {
			t.Errorf("got %q", got)
		}
		if call, err := toldCall(reply); err != nil || call.GetSecond().GetServer() != "archive" {
			t.Errorf("%v, %v", call, err)
		}
	})
}

// TestSecondProviderSaysNothingOfTheFirst: its answer, though from the region that was on trial, does not make
// the trial a good one, nor its success there a witness.
func TestSecondProviderSaysNothingOfTheFirst(t *testing.T) {
	t.Parallel()
	inBubble(t, twoProviders(), func(t *testing.T, e *envoy) {
		breakers := e.service.opts.Breakers
		breakers.Failed(breaker.Key{Server: "orders", Tool: "get_order", Region: "asia-south1"}, breaker.Settings{},
			func(time.Time) outcome.Tally { return outcome.Tally{Failed: 20, Row: 20, Confirmed: true} })
		time.Sleep(7 * time.Second)
		edge, said := e.route(t, orderBody)
		if said != "" {
			t.Fatalf("the trial is told %q", said)
		}
		edge.ask(answered(3, false, ":status: 200", names.HeaderRegion+": asia-south1", names.HeaderDegraded+": fallback"))
		if list := breakers.List(); len(list) != 1 || list[0].GetState() != breaker.Open || list[0].GetOpenings() != 2 {
			t.Errorf("after a trial that the second provider answered: %v", list)
		}

		call := getOrder(func(c *policyv1.CallContext) {
			c.Second = &policyv1.SecondCall{Server: "archive", Tool: "find", Path: "/archive", FirstPath: "/mcp", Body: []byte("{}")}
		})
		req := try(t, call, "archive", "127.0.0.1:7301")
		setAttribute(req, names.AttributeFailed, delhi+" asia-south2")
		x := e.open(names.PointAttempt)
		defer x.hangUp()
		x.ask(req)
		x.say(responseHeaders(false, jsonHeaders...))
		x.say(responseBody(goodResult, true))
		if got := e.service.opts.Window.Tool("archive", "find", "asia-south2", time.Time{}); got.Confirmed {
			t.Error("the second provider speaks against itself in a region of the first")
		}
	})
}

// TestSpentBudgetKeepsTheSecondProvider: without retries a call still goes on where no
// server has seen it.
func TestSpentBudgetKeepsTheSecondProvider(t *testing.T) {
	t.Parallel()
	policy := twoProviders()
	policy.Rules[0].Action.Unretried = "shopmax.get.unretried"
	policy.Servers[0].RetryBudget = &policyv1.RetryBudget{}
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		share := budget.Share{Server: "orders", Action: budget.Key("shopmax.get")}
		e.service.opts.Budget.Call(share, budget.Limit{})
		e.service.opts.Budget.Retry(share)
		x := e.open(names.PointEdge)
		defer x.hangUp()
		x.ask(requestHeaders(false, postHeaders...))
		if got := describe(x.ask(requestBody(orderBody))); !strings.Contains(got, names.HeaderRoute+"=shopmax.get.sparing") {
			t.Errorf("got %q", got)
		}
	})
}
