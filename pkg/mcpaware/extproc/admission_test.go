package extproc

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// narrow is shopmax with one slot and one place to wait at its server.
func narrow() *policyv1.RoutePolicy {
	p := shopmax()
	p.Servers[0].Concurrency = &policyv1.Concurrency{Limit: 1, Queue: 1, MaxWait: durationpb.New(time.Second)}
	p.Rules[0].Action.Priority, p.Rules[0].Once.Priority = 3, 3
	return p
}

// asked sends a POST and returns what comes back at once for its body.
func asked(e *envoy, body string) (*exchange, []string) {
	x := e.open(names.PointEdge)
	x.ask(requestHeaders(false, postHeaders...))
	return x, x.say(requestBody(body))
}

func count(e *envoy) admit.Count { return e.service.opts.Gate.Count("orders") }

func TestEdgeHoldsASlotToTheEndOfTheAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, narrow(), func(t *testing.T, e *envoy) {
		first := e.open(names.PointEdge)
		if mode := first.ask(requestHeaders(false, postHeaders...)).GetModeOverride(); mode.GetResponseTrailerMode() != filterv3.ProcessingMode_SEND {
			t.Errorf("mode %v: Envoy would end the stream with the response headers", mode)
		}
		first.say(requestBody(callBody))
		first.say(responseHeaders(false, ":status: 200"))
		if got := count(e); got != (admit.Count{Active: 1}) {
			t.Fatalf("%+v while the answer is under way", got)
		}
		second, got := asked(e, callBody)
		defer second.hangUp()
		if len(got) != 1 || !strings.Contains(got[0], "<nil>") {
			t.Fatalf("a call that has to wait got %q, want only more time", got)
		}
		third, got := asked(e, callBody)
		defer third.hangUp()
		if len(got) != 1 || !strings.Contains(got[0], `orders takes 1 call at a time`) || !strings.Contains(got[0], `"rate_limited"`) ||
			!strings.Contains(got[0], `"id":7`) || !strings.Contains(got[0], `"retryAfterMs":1000`) || !strings.Contains(got[0], "retry-after=1") {
			t.Fatalf("a call beyond the queue got %q", got)
		}
		first.hangUp()
		if got := second.heard(); len(got) != 1 || !strings.HasPrefix(got[0], "request body x-holdfast-route=") {
			t.Errorf("after the first answer's end the second got %q", got)
		}
		second.hangUp()
		if got := count(e); got != (admit.Count{}) {
			t.Errorf("%+v is left", got)
		}
	})
}

func TestEdgeAsksForTheTimeOfTheWait(t *testing.T) {
	t.Parallel()
	inBubble(t, narrow(), func(t *testing.T, e *envoy) {
		first, _ := asked(e, callBody)
		defer first.hangUp()
		second := e.open(names.PointEdge)
		defer second.hangUp()
		second.ask(requestHeaders(false, postHeaders...))
		begin := time.Now()
		reply := second.ask(requestBody(callBody))
		if got := reply.GetOverrideMessageTimeout().AsDuration(); got != time.Second+waitGrace {
			t.Errorf("asked for %v, want the longest wait and a grace", got)
		}
		got := describe(<-second.replies)
		if time.Since(begin) != time.Second || !strings.HasPrefix(got, "immediate 200") || !strings.Contains(got, `"rate_limited"`) {
			t.Errorf("after %v: %q", time.Since(begin), got)
		}
		if got := count(e); got != (admit.Count{Active: 1}) {
			t.Errorf("%+v is left", got)
		}
	})
}

func TestEdgeTakesTheWaitOffTheTimeout(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.UnmatchedTool.PerTryTimeout = policy.UnmatchedTool.GetTimeout()
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		first, _ := asked(e, writeBody)
		second := e.open(names.PointEdge)
		defer second.hangUp()
		second.ask(requestHeaders(false, postHeaders...))
		second.ask(requestBody(writeBody))
		time.Sleep(600 * time.Millisecond)
		first.hangUp()
		call, err := toldCall(<-second.replies)
		if err != nil || call.GetPerTryTimeout().AsDuration() != 1400*time.Millisecond {
			t.Errorf("%v, %v: want 2s less 600ms", call.GetPerTryTimeout().AsDuration(), err)
		}
	})
}

// TestCallerDoesNotOutwaitItself: a call does not stay in the queue for longer than its caller waits.
func TestCallerDoesNotOutwaitItself(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Servers[0].Concurrency.MaxWait = durationpb.New(10 * time.Second)
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		first, _ := asked(e, writeBody)
		defer first.hangUp()
		second := e.open(names.PointEdge)
		defer second.hangUp()
		second.ask(requestHeaders(false, append(slices.Clone(postHeaders), "prefer: wait=1")...))
		begin := time.Now()
		second.ask(requestBody(writeBody))
		if got := describe(<-second.replies); time.Since(begin) != time.Second || !strings.Contains(got, `"rate_limited"`) {
			t.Errorf("after %v: %q", time.Since(begin), got)
		}
	})
}

// TestTrialMayQueue: a trial that waits for a slot is still the only one, and counts in the end.
func TestTrialMayQueue(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Servers[0].Regions = []string{"asia-south1", "asia-south2"}
	policy.Servers[0].Concurrency.MaxWait = durationpb.New(10 * time.Second)
	policy.Rules[0].Action.Timeout = durationpb.New(20 * time.Second)
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		breakers := e.service.opts.Breakers
		breakers.Failed(breaker.Key{Server: "orders", Tool: "get_order", Region: "asia-south1"}, breaker.Settings{},
			func(time.Time) outcome.Tally { return outcome.Tally{Failed: 20, Row: 20, Confirmed: true} })
		time.Sleep(7 * time.Second)
		first, _ := asked(e, writeBody)
		trial, _ := asked(e, callGetOrder)
		defer trial.hangUp()
		time.Sleep(5 * time.Second)
		if c := breakers.Choose(breaker.Ask{Server: "orders", Tool: "get_order", Regions: policy.GetServers()[0].GetRegions(), Safe: true}); c.Trial != nil {
			t.Error("a second trial begins while the first waits for its slot")
		}
		first.hangUp()
		trial.heard()
		trial.ask(answered(1, false, ":status: 200", names.HeaderVerdict+": tool_failed;200;mcp", names.HeaderRegion+": asia-south1"))
		if list := breakers.List(); len(list) != 1 || list[0].GetState() != breaker.Open {
			t.Errorf("the trial failed, and there is %v", list)
		}
	})
}

// TestEdgeGivesSlotsBack: however a stream ends, its slot or its place is free.
func TestEdgeGivesSlotsBack(t *testing.T) {
	t.Parallel()
	ends := map[string]func(x *exchange){
		"client gone":      func(*exchange) {},
		"degraded answer":  func(x *exchange) { x.say(localReply("503", 2, "no_healthy_upstream", 1)) },
		"answer's headers": func(x *exchange) { x.say(responseHeaders(true, ":status: 200")) },
		"trailers":         func(x *exchange) { x.say(responseHeaders(false, ":status: 200")); x.say(responseTrailers()) },
		"nonsense":         func(x *exchange) { x.say(responseBody("x", true)) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, narrow(), func(t *testing.T, e *envoy) {
				first, _ := asked(e, callBody)
				waiting, _ := asked(e, callBody)
				if got := count(e); got != (admit.Count{Active: 1, Waiting: 1}) {
					t.Fatalf("%+v", got)
				}
				waiting.hangUp()
				if got := count(e); got != (admit.Count{Active: 1}) {
					t.Errorf("%+v after the client that waited went", got)
				}
				end(first)
				first.hangUp()
				if got := count(e); got != (admit.Count{}) {
					t.Errorf("%+v is left", got)
				}
			})
		})
	}
}

func TestEdgeShedsByPriority(t *testing.T) {
	t.Parallel()
	inBubble(t, narrow(), func(t *testing.T, e *envoy) {
		first, _ := asked(e, callBody)
		defer first.hangUp()
		low, _ := asked(e, callBody)
		defer low.hangUp()
		high, _ := asked(e, writeBody)
		defer high.hangUp()
		if got := low.heard(); len(got) != 1 || !strings.Contains(got[0], `"service_unavailable"`) || !strings.Contains(got[0], "serves more important") {
			t.Errorf("the lower priority got %q", got)
		}
		if got := count(e); got != (admit.Count{Active: 1, Waiting: 1}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestEdgeExempts: neither a full server nor a busy processor holds up what clients
// cannot do without.
func TestEdgeExempts(t *testing.T) {
	t.Parallel()
	inBubble(t, narrow(), func(t *testing.T, e *envoy) {
		for range 2 {
			x, _ := asked(e, callBody)
			defer x.hangUp()
		}
		raise(e.service.opts.Pressure, admit.MaxPriority)
		for _, body := range []string{doneBody, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`, `{"jsonrpc":"2.0","id":1,"method":"ping"}`} {
			x, got := asked(e, body)
			defer x.hangUp()
			if len(got) != 1 || !strings.HasPrefix(got[0], "request body x-holdfast-route=") {
				t.Errorf("%s got %q", body, got)
			}
		}
	})
}

func TestBusyProcessorShedsLowPrioritiesFirst(t *testing.T) {
	t.Parallel()
	policy := shopmax()
	policy.Rules[0].Action.Priority, policy.Rules[0].Once.Priority = 3, 3
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		raise(e.service.opts.Pressure, 4)
		low, got := asked(e, callBody)
		defer low.hangUp()
		if len(got) != 1 || !strings.Contains(got[0], "the gateway has too much to do") || !strings.Contains(got[0], `"retryAfterMs":2500`) {
			t.Errorf("priority 3 at level 4 got %q", got)
		}
		usual, got := asked(e, writeBody)
		defer usual.hangUp()
		if len(got) != 1 || !strings.HasPrefix(got[0], "request body") {
			t.Errorf("priority 5 at level 4 got %q", got)
		}
	})
}

// raise brings a Pressure to a level, as that many late windows do.
func raise(p *admit.Pressure, level int) {
	for p.Level() < level {
		p.Observe(time.Now(), time.Second)
		time.Sleep(admit.PressureWindow)
	}
}

func TestLimitsAreSharedByProcessors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ configured, live, want int }{{1, 0, 8}, {2, 0, 4}, {2, 4, 2}, {2, 1, 8}} {
		policy := shopmax()
		policy.Processors = uint32(c.configured)
		policy.Servers[0].Concurrency = &policyv1.Concurrency{Limit: 8}
		inBubble(t, policy, func(t *testing.T, e *envoy) {
			e.service.opts.Live = func() int { return c.live }
			for range 10 {
				x, _ := asked(e, callBody)
				defer x.hangUp()
			}
			synctest.Wait()
			if got := count(e).Active; got != c.want {
				t.Errorf("%d configured, %d live: %d of 8 at this one, want %d", c.configured, c.live, got, c.want)
			}
		})
	}
}
