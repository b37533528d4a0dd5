package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/health"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// limitsConfig is testbed.DefaultConfig with limits on two tools.
func limitsConfig() string {
	config := strings.Replace(testbed.DefaultConfig, "\n  timeout: 31s", "\n  timeout: 31s\n  rateLimits: [{requests: 1000, per: 1s, by: [principal]}]", 1)
	const rule = "- {match: {name: create_order}, timeout: 20s}"
	return strings.Replace(config, rule, "- {match: {name: create_order}, timeout: 20s, rateLimits: [{requests: 4, per: 1h, by: [principal, /customer_id]}]}", 1)
}

// TestRateLimits: what is too much is refused without a call to a server, in words that say when to come back; other
// values, callers and methods are not touched.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	bed := testbed.Start(t, testbed.Options{Config: limitsConfig()})
	processorsSay(bed, "holdfast_fleet_processors 2")
	call := func(customer, token string) testbed.Answer {
		header := testbed.ModernHeaders("tools/call", "create_order")
		header.Set("Authorization", token)
		answer, err := bed.Post("/mcp", header, testbed.CallTool("17", "create_order", fmt.Sprintf(`{"customer_id":%q,"total_rs":100}`, customer)))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	refused := func(a testbed.Answer) bool { return strings.Contains(string(a.Body), `"rate_limited"`) }
	// The processors share the limit: each keeps one half, and the last ones are admitted by the one that has some left.
	admitted, last := 0, testbed.Answer{}
	for range 40 {
		if last = call("C-1201", "alice"); !refused(last) {
			admitted++
			if last.Header.Get("Ratelimit-Limit") == "" {
				t.Errorf("an admitted call is not told the limit: %v", last.Header)
			}
		}
	}
	if admitted != 4 {
		t.Errorf("%d calls admitted, want 4", admitted)
	}
	body := string(last.Body)
	for _, want := range []string{
		"the tool create_order of orders takes 4 requests in any 1h from each caller, for each value of /customer_id",
		`"id":17`, `"isError":true`, `"outcome":"not_executed"`, `"retryAfterMs":3`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the refusal lacks %q: %s", want, body)
		}
	}
	if last.Status != http.StatusOK || last.Header.Get("Retry-After") == "" || last.Header.Get("Ratelimit-Remaining") != "0" {
		t.Errorf("status %d, headers %v", last.Status, last.Header)
	}
	if n := len(bed.Executions("primary-mumbai")); n != admitted {
		t.Errorf("the server ran %d calls, %d were admitted", n, admitted)
	}
	if a := call("C-1202", "alice"); refused(a) {
		t.Errorf("another customer is refused: %s", a.Body)
	}
	if a := call("C-1201", "bob"); refused(a) {
		t.Errorf("another caller is refused: %s", a.Body)
	}
	var pages []limit.Page
	for _, processor := range []string{testbed.Extproc1, testbed.Extproc2} {
		pages = append(pages, limitPage(t, bed.Addr(processor)))
	}
	top := limit.Join(pages, 1).Uses
	if len(top) != 1 || top[0].Used != 4 || top[0].Requests != 4 || top[0].Refused != 36 || top[0].Principal == "" || top[0].Argument == "" {
		t.Errorf("who is over the limit: %+v", top)
	}
	bed.Eventually(testbed.Patience, "the metrics say so", func() error {
		sum := 0.0
		for _, processor := range []string{testbed.Extproc1, testbed.Extproc2} {
			text, err := bed.Metrics(bed.Addr(processor))
			if err != nil {
				return err
			}
			for _, m := range regexp.MustCompile(`(?m)^holdfast_limit_decisions_total{decision="refused",limit="orders tools\[3\].rateLimits\[0\]"} (\d+)`).FindAllStringSubmatch(text, -1) {
				var n float64
				if _, err := fmt.Sscan(m[1], &n); err != nil {
					return err
				}
				sum += n
			}
		}
		if int(sum) != 36 {
			return fmt.Errorf("%v refused", sum)
		}
		return nil
	})
}

// processorsSay waits until the metrics of both processors have a line.
func processorsSay(bed *testbed.Bed, line string) {
	bed.Eventually(testbed.Patience, "both processors say "+line, func() error {
		for _, processor := range []string{testbed.Extproc1, testbed.Extproc2} {
			text, err := bed.Metrics(bed.Addr(processor))
			if err != nil {
				return err
			}
			if !strings.Contains(text, "\n"+line+"\n") {
				return fmt.Errorf("%s does not", processor)
			}
		}
		return nil
	})
}

// TestRedisDies: the Redis of both processors is killed while a limit is in use, and started again without its memory.
// All the time calls are answered, and not one more than the limit is admitted.
func TestRedisDies(t *testing.T) {
	t.Parallel()
	const requests = 40
	redis, child := stacktest.StartRedis(t)
	config := strings.Replace(testbed.DefaultConfig, "\n  timeout: 31s", fmt.Sprintf("\n  timeout: 31s\n  rateLimits: [{requests: %d, per: 1h, by: [principal]}]", requests), 1)
	bed := testbed.Start(t, testbed.Options{Config: config, ExtprocArgs: []string{"--redis", redis}})
	processorsSay(bed, "holdfast_fleet_processors 2")
	processorsSay(bed, "holdfast_limit_redis_shared 1")
	admitted := 0
	call := func(n int) (refused int) {
		for range n {
			header := testbed.ModernHeaders("tools/call", "get_order")
			header.Set("Authorization", "mallory")
			answer, err := bed.Post("/mcp", header, testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`))
			switch {
			case err != nil:
				t.Fatal(err)
			case strings.Contains(string(answer.Body), `"rate_limited"`):
				refused++
			case strings.Contains(string(answer.Body), "ORD-7701"):
				admitted++
			default:
				t.Fatalf("neither an answer nor a refusal: %s", answer.Body)
			}
		}
		return refused
	}
	if call(requests/4) > 0 {
		t.Error("refused below the limit")
	}
	if _, err := child.Kill(); err != nil {
		t.Fatal(err)
	}
	// A quarter is used; a share of a half has room for another quarter, whichever processor is asked.
	if call(requests/8) > 0 {
		t.Error("refused for that Redis is away")
	}
	call(requests * 2)
	alone := admitted
	processorsSay(bed, "holdfast_limit_redis_shared 0")
	// They are in use all the same: degraded, not unhealthy.
	for _, processor := range []string{testbed.Extproc1, testbed.Extproc2} {
		response, err := http.Get("http://" + bed.Addr(processor) + health.PathReady) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		var report health.Report
		if err := errors.Join(json.NewDecoder(response.Body).Decode(&report), response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != health.Degraded.Code() || !slices.ContainsFunc(report.Checks, func(c health.Check) bool { return c.Name == "redis" && c.State == health.Degraded }) {
			t.Errorf("%s: %d %+v", processor, response.StatusCode, report)
		}
	}
	if err := child.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	processorsSay(bed, "holdfast_limit_redis_shared 1")
	call(requests * 2)
	if admitted != requests {
		t.Errorf("%d admitted (%d before Redis came back), want %d", admitted, alone, requests)
	}
	t.Logf("%d of %d admitted before Redis came back", alone, requests)
}

// limitPage is what 'holdfast limits top' asks a processor.
func limitPage(t *testing.T, address string) limit.Page {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+limit.PagePath, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := limit.ReadPage(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// attackTime is how long TestAttack lasts: a short while, or longer by this variable. Then
// it holds others' latency to its bound, too.
const attackTime = "HOLDFAST_ATTACK_TIME"

// TestAttack: a caller who sends ten times the limit gets the limit and no more, counted in a Redis that both processors
// share, and others are answered as before.
func TestAttack(t *testing.T) {
	lasts, absolute := 8*time.Second, false
	if text := os.Getenv(attackTime); text != "" {
		absolute = true
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	const requests = 20
	redis, _ := stacktest.StartRedis(t)
	config := strings.Replace(testbed.DefaultConfig, "\n  timeout: 31s", fmt.Sprintf("\n  timeout: 31s\n  rateLimits: [{requests: %d, per: 1s, by: [principal]}]", requests), 1)
	bed := testbed.Start(t, testbed.Options{Config: config, ExtprocArgs: []string{"--redis", redis}})
	processorsSay(bed, "holdfast_limit_redis_shared 1")
	quiet := askEvery(bed, "bob", 100*time.Millisecond, lasts/2)
	var attack []asked
	done := make(chan struct{})
	go func() {
		defer close(done)
		attack = askEvery(bed, "mallory", time.Second/(10*requests), lasts)
	}()
	others := askEvery(bed, "bob", 100*time.Millisecond, lasts)
	<-done
	admitted := 0
	for i, first := range attack {
		if first.err != nil {
			t.Fatal(first.err)
		}
		if first.refused {
			continue
		}
		admitted++
		within := 0
		for _, one := range attack[i:] {
			if !one.refused && one.end < first.begin+time.Second {
				within++
			}
		}
		if within > requests {
			t.Errorf("%d calls admitted within a second", within)
		}
	}
	// Calls are admitted as the window frees: nearly all of the limit in each second.
	if least := requests * int(lasts/time.Second) * 8 / 10; admitted < least {
		t.Errorf("%d of %d calls admitted, want at least %d", admitted, len(attack), least)
	}
	for _, one := range slices.Concat(quiet, others) {
		if one.err != nil || one.refused {
			t.Fatalf("another caller: %v, refused %v", one.err, one.refused)
		}
	}
	t.Logf("attack: %d calls, %d admitted; others: median %v before, %v during it, 99 of 100 within %v before, %v during it",
		len(attack), admitted, quantile(quiet, 0.5), quantile(others, 0.5), quantile(quiet, 0.99), quantile(others, 0.99))
	if !absolute {
		return
	}
	slower := bed.Calibration("primary-mumbai", 100, testbed.GetOrder)
	if added, most := quantile(others, 0.99)-quantile(quiet, 0.99), time.Duration(slower*float64(10*time.Millisecond)); added > most {
		t.Errorf("the attack adds %v to 99 of 100 calls of others, want at most %v (this machine is %.1f times as slow as it was expected to be)", added, most, slower)
	}
}

// asked is one call of a caller.
type asked struct {
	begin, end time.Duration
	refused    bool
	err        error
}

// askEvery sends a call when it is due, whether or not the ones before have been answered.
func askEvery(bed *testbed.Bed, token string, interval, lasts time.Duration) []asked {
	header := testbed.ModernHeaders("tools/call", "get_order")
	header.Set("Authorization", token)
	out := make([]asked, int(lasts/interval))
	start := time.Now()
	var wg sync.WaitGroup
	timer := time.NewTicker(interval)
	defer timer.Stop()
	for i := range out {
		wg.Go(func() {
			one := &out[i]
			one.begin = time.Since(start)
			var answer testbed.Answer
			answer, one.err = bed.Post("/mcp", header, testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`))
			one.end, one.refused = time.Since(start), strings.Contains(string(answer.Body), `"rate_limited"`)
		})
		<-timer.C
	}
	wg.Wait()
	return out
}

func quantile(all []asked, q float64) time.Duration {
	var took []time.Duration
	for _, one := range all {
		took = append(took, one.end-one.begin)
	}
	slices.Sort(took)
	return took[int(float64(len(took)-1)*q)]
}
