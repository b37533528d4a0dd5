package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// standInRules stand behind fallbackConfig's own.
const standInRules = `    - match: {name: find_order}
      safe: true
      timeout: 9s
      retry: {attempts: 2, perTryTimeout: 4s}
      degrade:
        cachedResult: {maxAge: 1h}
        staticAnswer: {text: "Nobody can look orders up right now.", isError: true}
    - {match: {name: list_shops}, safe: true, timeout: 9s, degrade: {cachedResult: {maxAge: 1h, shared: true, warn: off}}}
    - match: {name: price}
      safe: true
      timeout: 9s
      fallback: {server: archive, tool: price}
      degrade:
        cachedResult: {maxAge: 1h}
        staticAnswer: {structuredContent: {price: null}}
    - match: {name: rate}
      safe: true
      timeout: 9s
      fallback: {server: archive, tool: rate}
      degrade: {cachedResult: {maxAge: 1h, beforeFallback: true}}
    - {match: {name: cancel_order}, timeout: 1s, degrade: {staticAnswer: {text: "Your order stands as it is."}}}
    - {match: {name: stock}, safe: true, timeout: 9s, degrade: {staticAnswer: {structuredContent: {left: "none"}}}}
`

// standIns is a pair with a second provider and a Redis.
type standIns struct {
	*providers
	redis *supervise.Child
}

func startStandIns(t *testing.T) *standIns {
	t.Helper()
	redis, child := stacktest.StartRedis(t)
	p := &providers{pair: &pair{mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil)}, archive: newUpstream(t, nil)}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address(), "ARCHIVE", p.archive.address()).Replace(fallbackConfig + standInRules)
	// What is tested is what calls get, not where they are kept away from.
	config = strings.Replace(config, "  healthCheck: {", "  breaker: {disabled: true}\n  healthCheck: {", 1)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config, ExtprocArgs: []string{"--redis", redis}})
	return &standIns{providers: p, redis: child}
}

// call asks for a tool as a caller with a token, or none.
func (s *standIns) call(t *testing.T, tool, arguments, token, more string) testbed.Answer {
	t.Helper()
	header := testbed.ModernHeaders("tools/call", tool)
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	body := strings.Replace(testbed.CallTool(exactID, tool, arguments), `"arguments":`, more+`"arguments":`, 1)
	answer, err := s.Post("/mcp", header, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// result is a good answer of a tool.
func result(text string) string {
	return `{"jsonrpc":"2.0","id":` + exactID + `,"result":{"content":[{"type":"text","text":"` + text + `"}],"resultType":"complete","_meta":{"theirs":"x"}}}`
}

// sum adds what a metric says at both processors.
func (s *standIns) sum(t *testing.T, line string) (total int) {
	t.Helper()
	for _, processor := range []string{testbed.Extproc1, testbed.Extproc2} {
		text, err := s.Metrics(s.Addr(processor))
		if err != nil {
			t.Fatal(err)
		}
		for one := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(one, line+" "); ok {
				var n int
				if _, err := fmt.Sscan(rest, &n); err != nil {
					t.Fatal(err)
				}
				total += n
			}
		}
	}
	return total
}

const (
	written = `holdfast_remembered_writes_total{result="ok",tier="redis"}`
	kept    = `holdfast_remembered_writes_total{result="ok",tier="memory"}`
)

// remember has a tool answer well, until its result is where all processors find it.
func (s *standIns) remember(t *testing.T, tool, arguments, token, text string, as func(string) http.HandlerFunc) {
	t.Helper()
	before := s.sum(t, written)
	s.set(as(result(text)), as(result(text)))
	var asked time.Time
	s.Eventually(testbed.Patience, "the result is in Redis", func() error {
		if !asked.IsZero() && s.sum(t, written) != before {
			return nil
		}
		// What a purge overtakes is not remembered, and the processors hear of one in their own time: the call is
		// made again where its result is long overdue.
		if time.Since(asked) > 5*time.Second {
			asked = time.Now()
			if got := s.call(t, tool, arguments, token, ""); !strings.Contains(string(got.Body), text) || got.Header.Get("x-holdfast-degraded") != "" {
				t.Fatalf("%s while all is well: %v %s", tool, got.Header, got.Body)
			}
		}
		return errors.New("not yet")
	})
}

// mark is _meta["holdfast/degraded"].
type mark struct {
	Reason  string `json:"reason"`
	Source  string `json:"source"`
	AsOf    string `json:"asOf"`
	Age     *int   `json:"age"`
	Outcome string `json:"outcome"`
}

type degradedReply struct {
	ID     json.RawMessage `json:"id"`
	Result struct {
		IsError    bool            `json:"isError"`
		Structured json.RawMessage `json:"structuredContent"`
		Type       string          `json:"resultType"`
		Content    []struct {
			Text string `json:"text"`
		} `json:"content"`
		Meta map[string]json.RawMessage `json:"_meta"`
	} `json:"result"`
}

// want holds a degraded answer against what each of them has to say, and gives it. An empty reason is
// any: whose fault a page of nonsense is depends on what was answered before it.
func want(t *testing.T, got testbed.Answer, source, reason string) (degradedReply, mark) {
	t.Helper()
	var r degradedReply
	var m mark
	if err := json.Unmarshal(got.Body, &r); err != nil {
		t.Fatalf("status %d, %v: %s", got.Status, err, got.Body)
	}
	if err := json.Unmarshal(r.Result.Meta["holdfast/degraded"], &m); err != nil {
		t.Fatalf("no mark: %s", got.Body)
	}
	if got.Status != http.StatusOK || string(r.ID) != exactID || got.Header.Get("x-holdfast-degraded") != source || m.Source != source || (m.Reason != reason && reason != "") || r.Result.Type != "complete" {
		t.Fatalf("status %d, headers %v, want %s for %s: %s", got.Status, got.Header, source, reason, got.Body)
	}
	return r, m
}

// wantCached is want for a remembered result.
func wantCached(t *testing.T, got testbed.Answer, reason, text string, warns bool) {
	t.Helper()
	r, m := want(t, got, "cache", reason)
	asOf, err := time.Parse(time.RFC3339, m.AsOf)
	if err != nil || time.Since(asOf) > time.Hour || m.Age == nil || got.Header.Get("Age") != fmt.Sprint(*m.Age) || !strings.HasPrefix(got.Header.Get("Warning"), "110 ") {
		t.Errorf("age %v, as of %q, headers %v", m.Age, m.AsOf, got.Header)
	}
	if len(r.Result.Meta) != 1 || r.Result.IsError || len(r.Result.Content) == 0 || r.Result.Content[0].Text != text {
		t.Fatalf("want %q and no _meta of the server's: %s", text, got.Body)
	}
	if last := r.Result.Content[len(r.Result.Content)-1].Text; warns != strings.Contains(last, "remembered") || len(r.Result.Content) > 2 {
		t.Errorf("content %v", r.Result.Content)
	}
}

// TestRememberedResults: where a rule says so, a good result stands in for one that nobody gives, for
// the same arguments and the same caller, whichever processor is asked.
func TestRememberedResults(t *testing.T) {
	t.Parallel()
	s := startStandIns(t)
	failing := jsonAnswer(broken)
	page := statusAnswer(http.StatusInternalServerError, "text/html", "<h1>oops</h1>")
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	reset := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	isError := jsonAnswer(`{"jsonrpc":"2.0","id":` + exactID + `,"result":{"content":[{"type":"text","text":"{\"error\":\"dependency_failed\"}"}],"isError":true,"resultType":"complete"}}`)
	refusedBusy := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	s.remember(t, "find_order", `{"a":1,"b":"x"}`, "asha", "of asha", jsonAnswer)
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		reason string
	}{
		{"a JSON-RPC error", failing, "dependency_failed"},
		{"isError", isError, "dependency_failed"},
		{"an error page", page, ""},
		{"a broken connection", reset, "service_unavailable"},
		{"silence", hang, "timeout"},
		{"events that end early", sseAnswer(": hello\n\n"), "dependency_failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// In between all is well, so that nothing is held against the endpoints.
			s.set(jsonAnswer(result("fine")), jsonAnswer(result("fine")))
			s.call(t, "find_order", `{"a":9}`, "asha", "")
			s.set(c.answer, c.answer)
			wantCached(t, s.call(t, "find_order", ` {"b":"\u0078" , "a":1}`, "asha", ""), c.reason, "of asha", true)
		})
	}
	t.Run("429 everywhere", func(t *testing.T) {
		s.remember(t, "find_order", `{}`, "hasty", "of hasty", jsonAnswer)
		s.set(refusedBusy, refusedBusy)
		for range 3 {
			wantCached(t, s.call(t, "find_order", `{}`, "hasty", ""), "rate_limited", "of hasty", true)
		}
	})
	s.set(failing, failing)
	t.Run("what a caller has done wrong is its own business", func(t *testing.T) {
		s.set(jsonAnswer(`{"jsonrpc":"2.0","id":`+exactID+`,"error":{"code":-32602,"message":"no such order"}}`), failing)
		if got := s.call(t, "find_order", `{"a":1,"b":"x"}`, "asha", ""); !strings.Contains(string(got.Body), "no such order") {
			t.Errorf("%s", got.Body)
		}
		s.set(failing, failing)
	})
	t.Run("other callers and arguments get nothing of it", func(t *testing.T) {
		for name, c := range map[string][2]string{
			"another caller": {`{"a":1,"b":"x"}`, "akhil"}, "nobody": {`{"a":1,"b":"x"}`, ""}, "another value": {`{"a":2,"b":"x"}`, "asha"}, "another type": {`{"a":"1","b":"x"}`, "asha"},
		} {
			r, _ := want(t, s.call(t, "find_order", c[0], c[1], ""), "static", "dependency_failed")
			if !r.Result.IsError || strings.Contains(r.Result.Content[0].Text, "of asha") {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
	t.Run("calls that continue an earlier one neither get nor leave any", func(t *testing.T) {
		before := s.sum(t, kept)
		for _, more := range []string{`"requestState":"s",`, `"inputResponses":{},`} {
			s.set(jsonAnswer(result("continued")), jsonAnswer(result("continued")))
			if got := s.call(t, "find_order", `{"a":1,"b":"x"}`, "asha", more); !strings.Contains(string(got.Body), "continued") {
				t.Fatalf("%s", got.Body)
			}
			s.set(failing, failing)
			// Sent once, it may have run: nothing but the error itself is honest.
			if got := s.call(t, "find_order", `{"a":1,"b":"x"}`, "asha", more); got.Header.Get("x-holdfast-degraded") == "cache" || strings.Contains(string(got.Body), "of asha") {
				t.Errorf("%s: %v %s", more, got.Header, got.Body)
			}
		}
		if after := s.sum(t, kept); after != before {
			t.Errorf("%d results were remembered", after-before)
		}
	})
	t.Run("errors and questions are not remembered", func(t *testing.T) {
		before := s.sum(t, kept)
		for _, answer := range []string{
			`{"jsonrpc":"2.0","id":` + exactID + `,"result":{"content":[{"type":"text","text":"no such order"}],"isError":true,"resultType":"complete"}}`,
			`{"jsonrpc":"2.0","id":` + exactID + `,"result":{"resultType":"input_required","requestState":"s"}}`,
			`{"jsonrpc":"2.0","id":` + exactID + `,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 70<<10) + `"}],"resultType":"complete"}}`,
		} {
			s.set(jsonAnswer(answer), jsonAnswer(answer))
			if got := s.call(t, "find_order", `{"a":3}`, "asha", ""); got.Status != http.StatusOK || got.Header.Get("x-holdfast-degraded") != "" {
				t.Fatalf("%d %v", got.Status, got.Header)
			}
		}
		if after := s.sum(t, kept); after != before {
			t.Errorf("%d results were remembered", after-before)
		}
	})
	t.Run("events, and callers that share", func(t *testing.T) {
		s.remember(t, "list_shops", `{}`, "asha", "Mumbai, Delhi", func(body string) http.HandlerFunc {
			return sseAnswer(": hello\n\nevent: message\ndata: " + body + "\n\n")
		})
		s.set(failing, failing)
		for _, token := range []string{"asha", "akhil", ""} {
			wantCached(t, s.call(t, "list_shops", `{}`, token, ""), "dependency_failed", "Mumbai, Delhi", false)
		}
	})
	t.Run("counted", func(t *testing.T) {
		if n := s.sum(t, `holdfast_degraded_answers_total{reason="timeout",server="orders",source="cache"}`); n != 1 {
			t.Errorf("%d for timeouts", n)
		}
		hits := s.sum(t, `holdfast_remembered_lookups_total{result="hit",tier="memory"}`) + s.sum(t, `holdfast_remembered_lookups_total{result="hit",tier="redis"}`)
		if hits != 12 {
			t.Errorf("%d hits", hits)
		}
	})
	t.Run("what a server takes back is given by nobody", func(t *testing.T) {
		s.remember(t, "find_order", `{"gone":1}`, "asha", "soon gone", jsonAnswer)
		s.set(failing, failing)
		wantCached(t, s.call(t, "find_order", `{"gone":1}`, "asha", ""), "dependency_failed", "soon gone", true)
		admin := adminv1connect.NewAdminClient(http.DefaultClient, "http://"+s.XDSAdmin)
		if _, err := admin.PurgeCache(t.Context(), &adminv1.PurgeCacheRequest{Server: "orders", Tool: "no_such_tool_listed", Reason: "x"}); err != nil && connect.CodeOf(err) != connect.CodeNotFound {
			t.Error(err)
		}
		if _, err := admin.PurgeCache(t.Context(), &adminv1.PurgeCacheRequest{Server: "ordres"}); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("a server that is not there: %v", err)
		}
		answer, err := admin.PurgeCache(t.Context(), &adminv1.PurgeCacheRequest{Server: "orders", Tool: "find_order", Reason: "wrong prices", Author: "asha"})
		if err != nil || answer.GetSerial() == 0 || len(answer.GetProcessors()) != 2 {
			t.Fatalf("%v, %v", answer, err)
		}
		s.Eventually(testbed.Patience, "no processor gives it", func() error {
			for range 8 {
				if got := s.call(t, "find_order", `{"gone":1}`, "asha", ""); got.Header.Get("x-holdfast-degraded") != "static" {
					return errBody(got.Body)
				}
			}
			return nil
		})
		wantCached(t, s.call(t, "list_shops", `{}`, "", ""), "dependency_failed", "Mumbai, Delhi", false)
		s.remember(t, "find_order", `{"a":1,"b":"x"}`, "asha", "of asha", jsonAnswer)
		// A server that says so itself, in the answer to a call, is believed.
		s.remember(t, "list_shops", `{"gone":1}`, "", "soon gone", jsonAnswer)
		told := sseAnswer("event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\nevent: message\ndata: " + result("changed") + "\n\n")
		s.set(told, told)
		s.call(t, "stock", `{}`, "", "")
		s.set(failing, failing)
		s.Eventually(testbed.Patience, "no processor gives what was before", func() error {
			for range 8 {
				if got := s.call(t, "list_shops", `{"gone":1}`, "", ""); got.Header.Get("x-holdfast-degraded") == "cache" {
					return errBody(got.Body)
				}
			}
			return nil
		})
		s.remember(t, "find_order", `{"a":1,"b":"x"}`, "asha", "of asha", jsonAnswer)
		s.remember(t, "list_shops", `{}`, "", "Mumbai, Delhi", jsonAnswer)
		s.set(failing, failing)
	})
	t.Run("a processor that starts anew is warm", func(t *testing.T) {
		s.set(failing, failing)
		for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
			s.Kill(name)
		}
		for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
			s.Restart(name)
		}
		s.Eventually(testbed.Patience, "both have read what there was", func() error {
			if n := s.sum(t, "holdfast_remembered_results"); n < 2*2 {
				return fmt.Errorf("%d results", n)
			}
			return nil
		})
		if err := s.redis.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Eventually(testbed.Patience, "calls are decided again", func() error {
			got := s.call(t, "find_order", `{"a":1,"b":"x"}`, "asha", "")
			if got.Header.Get("x-holdfast-degraded") != "cache" {
				return fmt.Errorf("%d %s", got.Status, got.Body)
			}
			return nil
		})
		wantCached(t, s.call(t, "find_order", `{"a":1,"b":"x"}`, "asha", ""), "dependency_failed", "of asha", true)
	})
}

// TestOrderOfStandIns: a second provider, then what is remembered, then what the operator has
// written, then a refusal; each says which it is.
func TestOrderOfStandIns(t *testing.T) {
	t.Parallel()
	s := startStandIns(t)
	failing := jsonAnswer(broken)
	s.remember(t, "price", `{}`, "", "one rupee", jsonAnswer)
	s.remember(t, "rate", `{}`, "", "two rupees", jsonAnswer)
	s.set(failing, failing)
	s.archive.set(jsonAnswer(result("of the archive")))
	t.Run("the second provider comes first", func(t *testing.T) {
		got := s.call(t, "price", `{}`, "", "")
		if !strings.Contains(string(got.Body), "of the archive") || got.Header.Get("x-holdfast-degraded") != "fallback" {
			t.Errorf("%v %s", got.Header, got.Body)
		}
	})
	t.Run("unless the rule says otherwise", func(t *testing.T) {
		// One of the two processors has the result in memory; the other asks the archive.
		s.archive.set(jsonAnswer(result("of the archive")))
		sources := map[string]int{}
		s.Eventually(testbed.Patience, "the processor that has it is asked", func() error {
			got := s.call(t, "rate", `{}`, "", "")
			sources[got.Header.Get("x-holdfast-degraded")]++
			if sources["cache"] == 0 {
				return fmt.Errorf("%v", sources)
			}
			return nil
		})
		if len(s.archive.requests()) != sources["fallback"] {
			t.Errorf("the archive was asked %d times: %v", len(s.archive.requests()), sources)
		}
	})
	s.archive.set(failing)
	t.Run("then what is remembered", func(t *testing.T) {
		wantCached(t, s.call(t, "price", `{}`, "", ""), "dependency_failed", "one rupee", true)
	})
	t.Run("then what the operator has written", func(t *testing.T) {
		r, m := want(t, s.call(t, "price", `{"of":"tea"}`, "", ""), "static", "dependency_failed")
		if string(r.Result.Structured) != `{"price":null}` || r.Result.Content[0].Text != `{"price":null}` || r.Result.IsError || m.Outcome != "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("then a refusal", func(t *testing.T) {
		if got := s.call(t, "rate", `{"of":"tea"}`, "", ""); !strings.Contains(string(got.Body), "database gone") {
			t.Errorf("a server's own words are better: %s", got.Body)
		}
		nothing := statusAnswer(http.StatusOK, "application/json", "")
		s.set(nothing, nothing)
		s.archive.set(nothing)
		r, _ := want(t, s.call(t, "rate", `{"of":"tea"}`, "", ""), "error", "dependency_failed")
		if !r.Result.IsError {
			t.Errorf("%+v", r)
		}
	})
	t.Run("of what may have run, only that it may have", func(t *testing.T) {
		s.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, failing)
		r, _ := want(t, s.call(t, "cancel_order", `{}`, "", ""), "error", "service_unavailable")
		if !strings.Contains(string(r.Result.Meta["holdfast/error"]), `"outcome":"unknown"`) {
			t.Errorf("%+v", r)
		}
		s.set(failing, failing)
	})
	s.mumbai.Close()
	s.delhi.Close()
	s.archive.Close()
	t.Run("of what has not run, the operator's words", func(t *testing.T) {
		r, m := want(t, s.call(t, "cancel_order", `{}`, "", ""), "static", "service_unavailable")
		if r.Result.Content[0].Text != "Your order stands as it is." || m.Outcome != "not_executed" {
			t.Errorf("%+v %+v", r, m)
		}
	})
	t.Run("all of it with every server gone", func(t *testing.T) {
		wantCached(t, s.call(t, "price", `{}`, "", ""), "service_unavailable", "one rupee", true)
		want(t, s.call(t, "price", `{"of":"tea"}`, "", ""), "static", "service_unavailable")
		want(t, s.call(t, "rate", `{"of":"tea"}`, "", ""), "error", "service_unavailable")
	})
}
