package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// budgetTry is the per-try timeout of budgetConfig: whoever is refused a retry does not wait for one.
const budgetTry = 10 * time.Second

// budgetConfig bounds retries tightly, and leaves breakers and outlier detection out of it.
var budgetConfig = strings.Replace(testbed.DefaultConfig, "  healthCheck:", `  retryBudget: {ratio: 20%, floor: 20}
  breaker: {disabled: true}
  outlier: {consecutiveFailures: 1000, failurePercentage: 100%}
  healthCheck:`, 1)

// TestRetryBudget: six of ten calls of a tool fail everywhere, after the work was done, so that the journals
// hold every try. The retries stay within the budget; the calls that have none left fail at once.
func TestRetryBudget(t *testing.T) {
	s := testbed.Start(t, testbed.Options{Config: budgetConfig})
	for _, name := range []string{"primary-mumbai", "standby-delhi"} {
		s.Fault(name, demo.Faults{Mode: demo.FaultRPCError, Share: 0.6, Tools: []string{"get_order"}, After: true})
	}
	// Each processor counts for itself. How evenly Envoy spreads calls and tries over several of them is not what
	// this is about, and not certain on a busy machine.
	s.Kill(testbed.Extproc2)
	s.Eventually(testbed.Patience, "the other processor has the whole floor", func() error {
		text, err := s.Metrics(s.Addr(testbed.Extproc1))
		if err != nil || !strings.Contains(text, "\nholdfast_fleet_processors 1\n") {
			return fmt.Errorf("not yet, %w", err)
		}
		return nil
	})
	before := len(s.RunsByCall())
	start := time.Now()
	// Every fifth call is for a tool that works: were the failing one the only one, a row of its failures would be
	// the endpoint's, and retries away from such an endpoint are free.
	load := s.StartLoad("/mcp", rate, func(n int) (string, map[string]any) {
		if n%5 == 0 {
			return "list_orders", nil
		}
		return testbed.GetOrder(n)
	})
	s.Until(testbed.Patience, "1200 answers", func() bool { return len(load.Calls()) >= 1200 })
	calls := load.Stop()
	tries := 0
	for id, n := range s.RunsByCall() {
		if strings.HasPrefix(id, "load") {
			tries += n
		}
	}
	failed, quick := 0, 0
	for _, c := range calls {
		if !c.Good() {
			failed++
			if c.Took < budgetTry {
				quick++
			}
		}
	}
	retries, windows := tries-len(calls), int(time.Since(start)/(10*time.Second))+1
	// Beside the budget: what calls under way may still do when it ends, in each window anew. Without one, there
	// would be three retries for four calls. The server's calls are also those by which clients begin.
	served := int(s.Stat("cluster.orders.upstream_rq_total")) - retries
	most := served/5 + (20+2*mostAtOnce(calls))*windows
	if retries > most || retries < len(calls)/10 {
		t.Errorf("%d retries of %d calls in %d windows, want at most %d and not next to none", retries, len(calls), windows, most)
	}
	if failed == 0 || quick*10 < failed*9 {
		t.Errorf("%d calls failed, %d of them at once: the budget was not spent, or refused calls wait", failed, quick)
	}
	t.Logf("%d calls (%d before), %d retries, at most %d allowed, %d failed", len(calls), before, retries, most, failed)
}

// mostAtOnce is how many of the calls were under way at the same time, at most.
func mostAtOnce(calls []testbed.Call) int {
	changes := make(map[time.Time]int, 2*len(calls))
	for _, c := range calls {
		changes[c.Start]++
		changes[c.Start.Add(c.Took)]--
	}
	under, most := 0, 0
	for _, at := range slices.SortedFunc(maps.Keys(changes), time.Time.Compare) {
		under += changes[at]
		most = max(most, under)
	}
	return most
}

// TestHungRegion: every call that was under way at the hung primary gets the standby's answer by its second try, and
// the standby is not starved by the first tries that hang.
func TestHungRegion(t *testing.T) {
	s := testbed.Start(t, testbed.Options{Config: testbed.Hasty(testbed.DefaultConfig)})
	load := s.StartLoad("/mcp", rate, testbed.GetOrder)
	s.Until(testbed.Patience, "the primary answers under load", func() bool { return goodVia(load.Calls())["primary-mumbai"] > 300 })
	hung := time.Now()
	if err := s.Child("primary-mumbai").Pause(); err != nil {
		t.Fatal(err)
	}
	s.Until(testbed.Patience, "the standby answers", func() bool { return goodVia(load.Since(hung))["standby-delhi"] > 300 })
	calls := load.Stop()
	requireAllGood(t, calls)
	first, retried := time.Duration(0), 0
	for _, c := range calls {
		if c.Start.After(hung) && c.Took >= testbed.HastyTry {
			if first == 0 || c.Took < first {
				first = c.Took
			}
			retried++
		}
	}
	if retried == 0 {
		t.Error("no call waited for the hung primary")
	}
	t.Logf("%d calls were tried twice; the first good answer came after %v, one try of %v and %v", retried, first, testbed.HastyTry, first-testbed.HastyTry)
}

// timesConfig gives tools and methods times of their own.
var timesConfig = strings.Replace(pairConfig, "  tools:\n", `  methods:
    - {match: {name: tools/list}, timeout: 400ms, retry: {attempts: 1}}
    - {match: {name: "resources/*"}, timeout: 1500ms, retry: {attempts: 1}}
  tools:
    - {match: {name: "brief_*"}, safe: true, timeout: 400ms, retry: {attempts: 1}}
    - {match: {name: "again_*"}, safe: true, timeout: 40s, retry: {attempts: 3, perTryTimeout: 10s}}
`, 1)

// hang answers nothing until the try is given up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// timed posts a message and returns the code of the error, or the body, and how long it took.
func (p *pair) timed(t *testing.T, method, tool, body string, header http.Header) (string, time.Duration) {
	t.Helper()
	h := testbed.ModernHeaders(method, tool)
	for name, values := range header {
		h[name] = values
	}
	start := time.Now()
	got, err := p.Post("/mcp", h, body)
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"timeout", "rate_limited", "service_unavailable", "dependency_failed"} {
		if strings.Contains(string(got.Body), fmt.Sprintf("%q:%q", "code", code)) {
			return code, took
		}
	}
	return string(got.Body), took
}

// TestTimeouts: each tool and method is given up after its own time, and earlier where the caller says that it
// will not wait that long, by header or in the message. Nobody is cut before that, and nobody waits for any
// of the other times, all of which are longer than other.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	p := startPairWith(t, timesConfig)
	p.set(hang, hang)
	call := func(tool string) string { return testbed.CallTool("1", tool, "{}") }
	read := strings.Replace(testbed.ListTools, `"tools/list","params":{`, `"resources/read","params":{"uri":"x:y",`, 1)
	impatient := strings.Replace(call("slow_get"), `"_meta":{`, `"_meta":{"holdfast/timeoutMs":300,`, 1)
	for _, c := range []struct {
		name               string
		method, tool, body string
		header             http.Header
		least              time.Duration
	}{
		{"a tool's own", "tools/call", "brief_get", call("brief_get"), nil, 400 * time.Millisecond},
		{"a method's own", "tools/list", "", testbed.ListTools, nil, 400 * time.Millisecond},
		{"another method's own", "resources/read", "x:y", read, nil, 1500 * time.Millisecond},
		{"the caller's, in the message", "tools/call", "slow_get", impatient, nil, 300 * time.Millisecond},
		{"the caller's, as a preference", "tools/call", "slow_get", call("slow_get"), http.Header{"Prefer": {"respond-async, wait=1"}}, time.Second},
		{"the caller's is longer", "tools/call", "brief_get", call("brief_get"), http.Header{"Prefer": {"wait=60"}}, 400 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			const other = 25 * time.Second
			code, took := p.timed(t, c.method, c.tool, c.body, c.header)
			if code != "timeout" || took < c.least || took >= other {
				t.Errorf("%q after %v, want timeout after %v, and none of the times from %v on", code, took, c.least, other)
			}
		})
	}
}

// askLater answers 429 with Retry-After.
func askLater(seconds string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", seconds)
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// TestRetryAfter: the other region is asked at once; a region that has asked for time is asked again only
// after that time, and not at all where the call has less.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	p := startPairWith(t, timesConfig)
	at := func(u *upstream) int { return len(u.requests()) }
	p.set(askLater("60"), nil)
	body := testbed.CallTool("1", "again_get", "{}")
	if got, took := p.timed(t, "tools/call", "again_get", body, nil); got != goodText(t, got) || took >= 40*time.Second || at(p.mumbai) != 1 || at(p.delhi) != 1 {
		t.Errorf("one busy region: %q after %v, %d and %d requests", got, took, at(p.mumbai), at(p.delhi))
	}
	p.set(askLater("60"), askLater("60"))
	tool := strings.ReplaceAll(body, "again_get", "again_list")
	if got, _ := p.timed(t, "tools/call", "again_list", tool, nil); got != "rate_limited" || at(p.mumbai) != 1 || at(p.delhi) != 1 {
		t.Errorf("both for longer than the call: %q, %d and %d requests", got, at(p.mumbai), at(p.delhi))
	}
	p.set(askLater("2"), askLater("2"))
	tool = strings.ReplaceAll(body, "again_get", "again_read")
	_, took := p.timed(t, "tools/call", "again_read", tool, nil)
	if n := at(p.mumbai) + at(p.delhi); n != 3 || took < 2*time.Second {
		t.Errorf("both for two seconds: %d requests in %v, want a third after two seconds", n, took)
	}
}

// goodText is got where it is a result, else why not.
func goodText(t *testing.T, got string) string {
	t.Helper()
	var answer struct {
		Result *struct {
			IsError bool `json:"isError"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.Result == nil || answer.Result.IsError {
		return "no result"
	}
	return got
}
