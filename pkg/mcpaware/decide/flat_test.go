package decide_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

// TestDecisionsStayFlat: among 10,000 tools of a route a decision takes no more than a fifth longer than among ten. The
// shortest time of many counts, in turns, since whatever else the machine does only makes them longer.
func TestDecisionsStayFlat(t *testing.T) {
	few, many := withTools(t, 10), withTools(t, 10_000)
	shortest := [2]time.Duration{math.MaxInt64, math.MaxInt64}
	const rounds, calls = 2000, 50
	for n := range rounds {
		for i, one := range []*toolRoute{few, many} {
			shortest[i] = min(shortest[i], one.time(t, calls))
		}
		if n >= 200 && float64(shortest[1]) <= 1.2*float64(shortest[0]) {
			return
		}
	}
	t.Errorf("%d decisions took %s among 10 tools, %s among 10,000", calls, shortest[0], shortest[1])
}

// toolRoute is a route with one rule a tool, and a call of the last one.
type toolRoute struct {
	rules   *decide.Table
	request *decide.Request
	last    string
}

func withTools(t *testing.T, count int) *toolRoute {
	t.Helper()
	policy := shopmax()
	policy.Rules = nil
	for i := range count {
		policy.Rules = append(policy.Rules, &policyv1.ToolRule{Id: fmt.Sprint(i), Glob: fmt.Sprintf("tool_%05d", i), Action: policy.GetUnmatchedTool()})
	}
	name := fmt.Sprintf("tool_%05d", count-1)
	return &toolRoute{
		rules: table(t, policy), request: modern("tools/call", `"name":"`+name+`","arguments":{"order_id":"ORD-7701"}`, name), last: fmt.Sprint(count - 1),
	}
}

func (r *toolRoute) time(t *testing.T, calls int) time.Duration {
	t.Helper()
	began := time.Now()
	for range calls {
		if d := r.rules.Body(r.request); d.Rule != r.last {
			t.Fatalf("rule %q", d.Rule)
		}
	}
	return time.Since(began)
}
