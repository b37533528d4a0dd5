package decide_test

import (
	"fmt"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// The time of a decision must not grow with the number of exact rules.
func BenchmarkBody(b *testing.B) {
	for _, count := range []int{1, 100, 10_000} {
		policy := shopmax()
		policy.Rules = nil
		for i := range count {
			policy.Rules = append(policy.Rules, &policyv1.ToolRule{Id: fmt.Sprint(i), Glob: fmt.Sprintf("tool_%d", i), Action: policy.GetUnmatchedTool()})
		}
		rules := table(b, policy)
		last := fmt.Sprintf("tool_%d", count-1)
		request := modern("tools/call", `"name":"`+last+`","arguments":{"order_id":"ORD-7701"}`, last)
		b.Run(fmt.Sprintf("%d rules", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if decision := rules.Body(request); decision.Rule != fmt.Sprint(count-1) {
					b.Fatal(decision.Rule)
				}
			}
		})
	}
}

func BenchmarkHeaders(b *testing.B) {
	rules := table(b)
	request := modern("tools/call", `"name":"get_order"`, "get_order")
	b.ReportAllocs()
	for b.Loop() {
		if decision := rules.Headers(request); !decision.NeedBody {
			b.Fatal("refused")
		}
	}
}
