package degrade_test

import (
	"strings"
	"testing"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
)

// standIns are the answers that are remembered or written by operators.
func standIns(t *testing.T) map[string]degrade.Answer {
	down := degrade.Local{Status: 503, Flags: "UH", CodeDetails: "no_healthy_upstream"}
	why := func(call *policyv1.CallContext) degrade.Cause { return degrade.FromEnvoy(down, call, "req-1") }
	cached := func(call *policyv1.CallContext, result string, age time.Duration, warn bool) degrade.Answer {
		answer, err := degrade.Cached(call, degrade.Remembered{
			Result: []byte(result), AsOf: time.Date(2026, 8, 22, 10, 30, 0, 0, time.UTC), Age: age, Warn: warn,
		}, why(call))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	static := func(call *policyv1.CallContext, s *policyv1.StaticAnswer) degrade.Answer {
		answer, err := degrade.Static(call, s, why(call))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	full := `{"resultType":"complete","content":[{"type":"text","text":"SHIPPED"} ] ,"structuredContent":{"n":9007199254740993},"_meta":{"theirs":1,"x":{}}}`
	legacy := unsafeCall()
	legacy.Safe = true
	return map[string]degrade.Answer{
		"cached-modern":        cached(safeCall(), full, 754*time.Second+900*time.Millisecond, true),
		"cached-quietly":       cached(safeCall(), full, 0, false),
		"cached-empty-content": cached(legacy, ` {"content":[]}`, 26*time.Hour+90*time.Second, true),
		"cached-no-content":    cached(legacy, `{"structuredContent":{}}`, -time.Second, true),
		"static-structured":    static(safeCall(), &policyv1.StaticAnswer{StructuredContent: []byte(`{"status":"UNKNOWN"}`)}),
		"static-error":         static(legacy, &policyv1.StaticAnswer{Text: "Orders are \"away\".", IsError: true}),
		"static-unsafe":        static(unsafeCall(), &policyv1.StaticAnswer{Text: "Your order was not placed."}),
	}
}

func TestStandInsRefuse(t *testing.T) {
	why := degrade.New(degrade.Timeout, degrade.Unknown, safeCall(), "")
	nameless := safeCall()
	nameless.Id = nil
	for name, c := range map[string]struct {
		call   *policyv1.CallContext
		result string
	}{
		"no id":            {nameless, `{}`},
		"not JSON":         {safeCall(), `{},"id":2`},
		"no object":        {safeCall(), `[]`},
		"two _meta":        {safeCall(), `{"_meta":{},"_meta":{}}`},
		"content is twice": {safeCall(), `{"content":[],"content":[]}`},
	} {
		if answer, err := degrade.Cached(c.call, degrade.Remembered{Result: []byte(c.result), Warn: true}, why); err == nil {
			t.Errorf("%s: answered %s", name, answer.Body)
		}
	}
	for name, c := range map[string]struct {
		call    *policyv1.CallContext
		content string
	}{"no id": {nameless, `{}`}, "not JSON": {safeCall(), `{},"isError":false`}} {
		if answer, err := degrade.Static(c.call, &policyv1.StaticAnswer{StructuredContent: []byte(c.content)}, why); err == nil {
			t.Errorf("static, %s: answered %s", name, answer.Body)
		}
	}
}

// An operator's answer never hides that a call may have been carried out.
func TestStaticNeverHidesAnOutcome(t *testing.T) {
	for _, c := range []struct {
		call    *policyv1.CallContext
		outcome string
		want    bool
	}{
		{safeCall(), degrade.Unknown, true},
		{safeCall(), degrade.NotExecuted, true},
		{unsafeCall(), degrade.NotExecuted, true},
		{unsafeCall(), degrade.Unknown, false},
		{&policyv1.CallContext{Safe: true}, degrade.NotExecuted, false},
	} {
		cause := degrade.New(degrade.Timeout, c.outcome, c.call, "")
		if got := degrade.StaticMayStandIn(c.call, &cause); got != c.want {
			t.Errorf("%v, %s: %v", c.call, c.outcome, got)
		}
	}
}

// FuzzCached: results are what servers answered.
func FuzzCached(f *testing.F) {
	f.Add([]byte(`{"content":[{"type":"text","text":"x"}],"_meta":{"a":1}}`))
	f.Add([]byte(`{"content":[ ] }`))
	f.Add([]byte(`{"content":[[],{"content":[]}]}`))
	f.Fuzz(func(t *testing.T, result []byte) {
		cause := degrade.New(degrade.ServiceUnavailable, degrade.NotExecuted, safeCall(), "")
		answer, err := degrade.Cached(safeCall(), degrade.Remembered{Result: result, Warn: true}, cause)
		if err != nil {
			return
		}
		body := string(answer.Body)
		if !strings.HasPrefix(body, `{"jsonrpc":"2.0","id":"a\u0062c","result":`) || !strings.Contains(body, `"source":"cache"`) {
			t.Errorf("%s", body)
		}
	})
}
