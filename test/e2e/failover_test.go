package e2e

import (
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// rate of the open loop in calls a second: enough to have calls in flight when a
// server dies, little enough for a machine of two cores that runs all the parts.
const rate = 150

// requireAllGood fails the test for every call that did not get a server's good answer.
func requireAllGood(t *testing.T, calls []testbed.Call) {
	t.Helper()
	if len(calls) == 0 {
		t.Fatal("no call was made")
	}
	failed := 0
	for _, c := range calls {
		if !c.Good() {
			if failed++; failed <= 5 {
				t.Errorf("failed: %v", c)
			}
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d calls failed", failed, len(calls))
	}
}

// goodVia counts good answers by endpoint.
func goodVia(calls []testbed.Call) map[string]int {
	out := map[string]int{}
	for _, c := range calls {
		if c.Good() {
			out[c.Via]++
		}
	}
	return out
}

// slowReport holds each call for 300 ms, so that many are under way at any moment.
func slowReport(int) (string, map[string]any) {
	return "report", map[string]any{"delay_ms": 300}
}

// pausePrimary has the primary hang.
func pausePrimary(t *testing.T, s *testbed.Bed) {
	t.Helper()
	if err := s.Child("primary-mumbai").Pause(); err != nil {
		t.Fatal(err)
	}
}

// TestRegionLoss: the primary is killed or hangs under load, and no safe call fails.
func TestRegionLoss(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*testing.T, *testbed.Bed)
	}{
		{"killed", func(_ *testing.T, s *testbed.Bed) { s.Kill("primary-mumbai") }},
		{"hung", pausePrimary},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testbed.Start(t, testbed.Options{Config: testbed.Hasty(testbed.DefaultConfig)})
			quick, slow := s.StartLoad("/mcp", rate, testbed.GetOrder), s.StartLoad("/mcp", 30, slowReport)
			s.Until(testbed.Patience, "the primary answers under load", func() bool { return goodVia(quick.Calls())["primary-mumbai"] > 50 })
			s.Until(testbed.Patience, "calls are in flight", func() bool { return slow.InFlight() > 0 })
			retries, inFlight := s.Retries("orders"), slow.InFlight()
			lost := time.Now()
			c.lose(t, s)
			s.Until(testbed.Patience, "the standby answers", func() bool { return goodVia(quick.Since(lost))["standby-delhi"] > 100 })
			journal := len(s.Executions("primary-mumbai"))
			s.Until(testbed.Patience, "200 more answers", func() bool { return goodVia(quick.Since(lost))["standby-delhi"] > 300 })
			if n := len(s.Executions("primary-mumbai")); n != journal {
				t.Errorf("the lost primary went on executing: %d → %d", journal, n)
			}
			calls := append(quick.Stop(), slow.Stop()...)
			if inFlight == 0 {
				t.Error("no call was in flight when the primary was lost")
			}
			if s.Retries("orders") == retries {
				t.Error("Envoy retried nothing")
			}
			requireAllGood(t, calls)
			t.Logf("%d calls, 0 failed, %d in flight at the loss, %d retries", len(calls), inFlight, s.Retries("orders")-retries)
		})
	}
}

// mixed spreads calls over three safe tools: what makes an endpoint suspect is
// that more than one of its tools fails.
func mixed(n int) (string, map[string]any) {
	switch n % 3 {
	case 0:
		return "get_order", map[string]any{"order_id": "ORD-7701"}
	case 1:
		return "list_orders", map[string]any{}
	default:
		return "report", map[string]any{"delay_ms": 5}
	}
}

// TestFailuresInsideHTTP200: the primary answers every call with status 200 and
// fails inside; safe calls come out well, and Envoy's own machinery has acted.
func TestFailuresInsideHTTP200(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults demo.Faults
	}{
		{"all, as SSE", demo.Faults{Mode: demo.FaultRPCError}},
		{"all, as JSON", demo.Faults{Mode: demo.FaultRPCError, JSON: true}},
		{"all, isError with a failing code", demo.Faults{Mode: demo.FaultIsError}},
		{"30 %, as SSE", demo.Faults{Mode: demo.FaultRPCError, Share: 0.3}},
		{"30 %, as JSON", demo.Faults{Mode: demo.FaultRPCError, Share: 0.3, JSON: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testbed.Start(t, testbed.Options{})
			load := s.StartLoad("/mcp", rate, mixed)
			s.Until(testbed.Patience, "the primary answers under load", func() bool { return goodVia(load.Calls())["primary-mumbai"] > 50 })
			retries, ejections := s.Retries("orders"), s.Ejections("orders")
			s.Fault("primary-mumbai", c.faults)
			s.Until(testbed.Patience, "Envoy ejects the primary", func() bool { return s.Ejections("orders") > ejections })
			at := time.Now()
			s.Until(testbed.Patience, "the standby takes over", func() bool { return goodVia(load.Since(at))["standby-delhi"] > 100 })
			calls := load.Stop()
			if s.Retries("orders") == retries {
				t.Error("Envoy retried nothing")
			}
			requireAllGood(t, calls)
			t.Logf("%d calls, 0 failed, %d retries, %d ejections", len(calls), s.Retries("orders")-retries, s.Ejections("orders")-ejections)
		})
	}
}

// TestUnsafeCalls: whatever happens, an unsafe call either succeeded and ran once,
// or says that it was not executed and ran never, or says that it is unknown and
// ran at most once. The journals of both regions are the witnesses.
func TestUnsafeCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		harm func(*testing.T, *testbed.Bed)
	}{
		{"killed", func(_ *testing.T, s *testbed.Bed) { s.Kill("primary-mumbai") }},
		{"hung", pausePrimary},
		{"both killed", func(_ *testing.T, s *testbed.Bed) { s.Kill("primary-mumbai"); s.Kill("standby-delhi") }},
		{"answers lost after the work", func(_ *testing.T, s *testbed.Bed) {
			s.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultEarlyEOF, After: true})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testbed.Start(t, testbed.Options{Config: testbed.Hasty(testbed.DefaultConfig)})
			s.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultSlow, Delay: "150ms"})
			load := s.StartLoad("/mcp", rate, testbed.CreateOrder)
			s.Until(testbed.Patience, "the primary answers under load", func() bool { return goodVia(load.Calls())["primary-mumbai"] > 50 })
			harmed := time.Now()
			c.harm(t, s)
			s.Until(testbed.Patience, "300 answers after the harm", func() bool { return len(load.Since(harmed)) > 300 })
			kinds := judgeUnsafe(t, load.Stop(), s.RunsByCall())
			if kinds["unknown"] == 0 {
				t.Error("no call was under way when the harm was done")
			}
		})
	}
}

func judgeUnsafe(t *testing.T, calls []testbed.Call, runs map[string]int) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	for _, c := range calls {
		n := runs[c.ID]
		switch {
		case c.Good():
			kinds["success"]++
			if n != 1 {
				t.Errorf("a success ran %d times: %v", n, c)
			}
		case c.Outcome == "not_executed":
			kinds[c.Outcome]++
			if n != 0 {
				t.Errorf("said not_executed and ran %d times: %v", n, c)
			}
		case c.Outcome == "unknown":
			kinds[c.Outcome]++
			if n > 1 {
				t.Errorf("said unknown and ran %d times: %v", n, c)
			}
		default:
			t.Errorf("neither success nor not_executed nor unknown (ran %d times): %v", n, c)
		}
	}
	if kinds["success"] == 0 {
		t.Error("no call succeeded at all")
	}
	t.Logf("%d calls: %v", len(calls), kinds)
	return kinds
}

// TestAllDown: with every endpoint gone the answers are ones an agent can act on,
// the tool list is the last good one, and all is well again when a region returns.
func TestAllDown(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{Config: testbed.QuickChecks(testbed.DefaultConfig)})
	session := s.Connect("/mcp")
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) == 0 {
		t.Fatalf("listing tools: %v, %v", tools, err)
	}
	s.Kill("primary-mumbai")
	s.Kill("standby-delhi")
	name, arguments := testbed.GetOrder(0)
	call := testbed.Do(session, "down", name, arguments)
	const want = "Service unavailable - all orders endpoints are down. Please retry later."
	s.Eventually(testbed.Patience, "Envoy knows that both are down", func() error {
		if call = testbed.Do(session, "down", name, arguments); call.Text != want {
			return errText(call)
		}
		return nil
	})
	if call.Err != nil || !call.IsError || !call.Degraded {
		t.Errorf("not a degraded tool result: %v", call)
	}
	for range 8 { // both processors, whichever serves
		stale, err := session.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatalf("the list while everything is down: %v", err)
		}
		if len(stale.Tools) != len(tools.Tools) || stale.Meta["holdfast/degraded"] == nil {
			t.Fatalf("%d tools of %d, meta %v", len(stale.Tools), len(tools.Tools), stale.Meta)
		}
	}
	fresh := s.Connect("/mcp") // server/discover is answered too, so that no client falls back to an older revision
	if v := fresh.InitializeResult().ProtocolVersion; v != testbed.Modern {
		t.Errorf("a client that connects during the outage speaks %s", v)
	}
	back := time.Now()
	s.Restart("standby-delhi")
	s.Eventually(testbed.Patience, "good answers again", func() error {
		if call = testbed.Do(session, "back", name, arguments); !call.Good() {
			return errText(call)
		}
		return nil
	})
	t.Logf("first good answer %v after the start of the server", time.Since(back))
}

type textError testbed.Call

func (e textError) Error() string { return testbed.Call(e).String() }

func errText(c testbed.Call) error { return textError(c) }
