package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// quickBreakers is the default configuration with breakers that try again soon, a tool that
// is given up sooner than others when it hangs, get_order, and orders that are not there
// counted as failures of the tool.
func quickBreakers() string {
	config := strings.Replace(testbed.DefaultConfig, "  healthCheck:", "  breaker: {openFor: 1s, maxOpenFor: 2s}\n  healthCheck:", 1)
	config = strings.Replace(config, "  tools:\n", "  tools:\n    - {match: {name: get_order}, safe: true, timeout: 10s, retry: {attempts: 3, perTryTimeout: 3s}}\n", 1)
	return strings.Replace(config, `{match: {name: track_order}, safe: true, timeout: 31s}`,
		`{match: {name: track_order}, safe: true, timeout: 31s, failWhen: [{message: "there is no order"}]}`, 1)
}

// tooled makes a load of three tools, one of them get_order.
func ofTool(calls []testbed.Call, tool string) (own, others []testbed.Call) {
	for _, c := range calls {
		if c.Tool == tool {
			own = append(own, c)
		} else {
			others = append(others, c)
		}
	}
	return own, others
}

// moves are the transitions of a tool's breaker that both processors count.
func moves(t *testing.T, b *testbed.Bed, tool, to string) int {
	t.Helper()
	n := 0
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		page, err := b.Metrics(b.Addr(name))
		if err != nil {
			t.Fatal(err)
		}
		line := regexp.MustCompile(`(?m)^holdfast_breaker_transitions_total\{.*to="` + to + `",tool="` + tool + `"\} (\d+)$`)
		for _, m := range line.FindAllStringSubmatch(page, -1) {
			v, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			n += v
		}
	}
	return n
}

// TestBrokenToolMovesAlone: one tool is broken in Mumbai. Its calls are answered by
// Delhi, none fails, and once its breaker is open hardly any goes to Mumbai first; the
// other tools stay where they are, and so does the endpoint. When the tool works again,
// a trial finds out and its calls return.
func TestBrokenToolMovesAlone(t *testing.T) {
	t.Parallel()
	only := []string{"get_order"}
	for _, c := range []struct {
		name   string
		faults demo.Faults
	}{
		{"JSON", demo.Faults{Mode: demo.FaultRPCError, JSON: true, Tools: only}},
		{"SSE", demo.Faults{Mode: demo.FaultRPCError, Tools: only}},
		{"isError with a failing code", demo.Faults{Mode: demo.FaultIsError, Tools: only}},
		{"timeout", demo.Faults{Mode: demo.FaultHang, Tools: only}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testbed.Start(t, testbed.Options{Config: quickBreakers()})
			load := s.StartLoad("/mcp", rate, mixed)
			s.Until(testbed.Patience, "Mumbai answers under load", func() bool { return goodVia(load.Calls())["primary-mumbai"] > 50 })
			broken := time.Now()
			s.Fault("primary-mumbai", c.faults)
			s.Until(testbed.Patience, "the breaker is open", func() bool { return moves(t, s, "get_order", "open") > 0 })
			s.Until(testbed.Patience, "Delhi answers the tool's calls", func() bool {
				own, _ := ofTool(load.Since(broken), "get_order")
				return goodVia(own)["standby-delhi"] > 200
			})
			own, others := ofTool(load.Since(broken), "get_order")
			if left := len(others) - goodVia(others)["primary-mumbai"]; left*100 > len(others) {
				t.Errorf("%d of %d calls of other tools left Mumbai", left, len(others))
			}
			if n := s.Ejections("orders"); n != 0 {
				t.Errorf("%d ejections", n)
			}
			mended := time.Now()
			s.Fault("primary-mumbai", demo.Faults{})
			s.Until(testbed.Patience, "the tool's calls return to Mumbai", func() bool {
				back, _ := ofTool(load.Since(mended), "get_order")
				return goodVia(back)["primary-mumbai"] > 100
			})
			if moves(t, s, "get_order", "closed") == 0 {
				t.Error("no breaker has closed")
			}
			calls := load.Stop()
			requireAllGood(t, calls)
			t.Logf("%d calls, 0 failed; broken: %d own, %d of others; back after %v; %d openings", len(calls), len(own), len(others),
				time.Since(mended), moves(t, s, "get_order", "open"))
		})
	}
}

// halfBroken is quickBreakers with a retry budget that a second of retries would spend.
func halfBroken() string {
	return strings.Replace(quickBreakers(), "  healthCheck:", "  retryBudget: {ratio: 20%, floor: 40}\n  healthCheck:", 1)
}

// TestHalfBroken: with half of its tools broken an endpoint is ejected within the calls of ten
// seconds, and is back after they have recovered without anybody's help. No call fails:
// the retries that come before the ejection spend no budget.
func TestHalfBroken(t *testing.T) {
	s := testbed.Start(t, testbed.Options{Config: halfBroken()})
	load := s.StartLoad("/mcp", rate, func(n int) (string, map[string]any) {
		if n%4 == 3 {
			return "track_order", map[string]any{"order_id": "ORD-7701", "step_ms": 1}
		}
		return mixed(n)
	})
	s.Until(testbed.Patience, "Mumbai answers under load", func() bool { return goodVia(load.Calls())["primary-mumbai"] > 50 })
	broken := time.Now()
	s.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultRPCError, Tools: []string{"get_order", "list_orders"}})
	s.Until(testbed.Patience, "Envoy ejects Mumbai", func() bool { return s.Ejections("orders") > 0 })
	ejected, made := time.Since(broken), len(load.Since(broken))
	if made > 10*rate {
		t.Errorf("ejected after %d calls, which are made in ten seconds where a machine has nothing else to do", made)
	}
	s.Fault("primary-mumbai", demo.Faults{})
	mended := time.Now()
	s.Until(testbed.Patience, "Mumbai answers all tools again", func() bool {
		tools := map[string]bool{}
		for _, c := range load.Since(mended) {
			if c.Good() && c.Via == "primary-mumbai" {
				tools[c.Tool] = true
			}
		}
		return len(tools) == 4
	})
	calls := load.Stop()
	requireAllGood(t, calls)
	t.Logf("%d calls, 0 failed; ejected after %v, back after %v", len(calls), ejected, time.Since(mended))
}

// TestFailingNowAndThen: a tool of which 30 in 100 calls fail keeps its breaker closed.
func TestFailingNowAndThen(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{Config: quickBreakers()})
	s.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultRPCError, Tools: []string{"get_order"}, Share: 0.3})
	load := s.StartLoad("/mcp", rate, func(n int) (string, map[string]any) { return mixed(n % 2) })
	s.Until(testbed.Patience, "1,000 calls of the tool", func() bool {
		own, _ := ofTool(load.Calls(), "get_order")
		return len(own) > 1000
	})
	if n := moves(t, s, "get_order", "open"); n != 0 {
		t.Errorf("the breaker opened %d times", n)
	}
	calls := load.Stop()
	requireAllGood(t, calls)
	if n := s.Ejections("orders"); n != 0 {
		t.Errorf("%d ejections", n)
	}
}

// TestOneCallerAlone: a caller whose calls always fail opens no breaker while others call
// the server, and theirs are answered as ever, also of the tool that fails for it.
func TestOneCallerAlone(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{Config: quickBreakers()})
	load := s.StartLoad("/mcp", rate, mixed)
	s.Until(testbed.Patience, "Mumbai answers under load", func() bool { return goodVia(load.Calls())["primary-mumbai"] > 50 })
	header := testbed.ModernHeaders("tools/call", "track_order")
	header.Set("Authorization", "Bearer the-caller-who-is-wrong")
	var wg sync.WaitGroup
	failures := make(chan error, 100)
	for range 4 {
		wg.Go(func() {
			for range 25 {
				answer, err := s.Post("/mcp", header, testbed.CallTool("1", "track_order", `{"order_id":"ORD-0"}`))
				if err == nil && !strings.Contains(string(answer.Body), "there is no order") {
					err = fmt.Errorf("answer %d %s", answer.Status, answer.Body)
				}
				failures <- err
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	if n := moves(t, s, "track_order", "open"); n != 0 {
		t.Errorf("a breaker opened %d times", n)
	}
	session := s.Connect("/mcp")
	if c := testbed.Do(session, "other", "track_order", map[string]any{"order_id": "ORD-7701", "step_ms": 1}); !c.Good() || c.Via != "primary-mumbai" {
		t.Errorf("another caller: %v", c)
	}
	requireAllGood(t, load.Stop())
	if n := s.Ejections("orders"); n != 0 {
		t.Errorf("%d ejections", n)
	}
}
