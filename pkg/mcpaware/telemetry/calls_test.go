package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

func knownTools(names ...string) func(server, tool string) bool {
	return func(_, tool string) bool {
		for _, name := range names {
			if tool == name {
				return true
			}
		}
		return false
	}
}

func TestCallsByHowTheyEnded(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	c := NewCalls(r, CallOptions{Known: knownTools("get_order")})
	call := func(tool string, status Status, code, source string) {
		c.Ended(&Call{
			Server: "orders", Method: "tools/call", Tool: tool, Status: status, Error: code, Source: source,
			Region: "asia-south2", Home: "asia-south1", Took: 30 * time.Millisecond,
		})
	}
	call("get_order", OK, "", "")
	call("get_order", OK, "", "")
	call("get_order", Failed, "timeout", "error")
	call("invented", Refused, "invalid_input", "")
	c.Ended(&Call{Server: "orders", Method: "tools/list", Status: Degraded, Error: "service_unavailable", Source: "stale"})
	c.Retried("orders", "asia-south2")
	want := `
# HELP holdfast_degraded_answers_total Answers that were not the server's own, by what stood in for it (stale, error and so on) and by the code of why it was missing.
# TYPE holdfast_degraded_answers_total counter
holdfast_degraded_answers_total{reason="service_unavailable",server="orders",source="stale"} 1
holdfast_degraded_answers_total{reason="timeout",server="orders",source="error"} 1
# HELP holdfast_failovers_total Calls that were answered by another region than the one that they prefer. Servers whose regions share all calls have none.
# TYPE holdfast_failovers_total counter
holdfast_failovers_total{from="asia-south1",server="orders",to="asia-south2"} 4
# HELP holdfast_refused_total Requests that were turned away without asking a server, by code.
# TYPE holdfast_refused_total counter
holdfast_refused_total{reason="invalid_input"} 1
# HELP holdfast_retries_total Tries after the first one of their call, by the region that they went to.
# TYPE holdfast_retries_total counter
holdfast_retries_total{region="asia-south2",server="orders"} 1
# HELP holdfast_slo_calls_total Calls that a server's SLO counts: good where the caller got an answer, be it a remembered one or another server's, else bad. Those that were refused, limited or cancelled are not among them.
# TYPE holdfast_slo_calls_total counter
holdfast_slo_calls_total{result="bad",server="orders"} 1
holdfast_slo_calls_total{result="good",server="orders"} 3
# HELP mcp_tool_calls_total Calls of tools, by how they ended for the caller: ok, error, degraded, limited, refused, cancelled.
# TYPE mcp_tool_calls_total counter
mcp_tool_calls_total{status="error",tool_name="get_order"} 1
mcp_tool_calls_total{status="ok",tool_name="get_order"} 2
mcp_tool_calls_total{status="refused",tool_name="other"} 1
`
	counted := []string{
		"holdfast_degraded_answers_total", "holdfast_failovers_total", "holdfast_refused_total", "holdfast_retries_total", "holdfast_slo_calls_total", "mcp_tool_calls_total",
	}
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), counted...); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(r, "mcp_tool_duration_seconds"); n != 2 {
		t.Errorf("%d series of times by tool", n)
	}
	if n := testutil.CollectAndCount(r, "mcp_server_operation_duration_seconds"); n != 4 {
		t.Errorf("%d series of operations", n)
	}
}

func TestInventedNamesShareSeries(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	c := NewCalls(r, CallOptions{Known: func(_, tool string) bool { return strings.HasPrefix(tool, "listed-") }})
	for i := range 3 * maxCalls {
		c.Ended(&Call{Server: "orders", Method: "tools/call", Tool: fmt.Sprint("invented-", i)})
		c.Ended(&Call{Server: "orders", Method: fmt.Sprint("invented/", i)})
		c.Ended(&Call{Server: "orders", Method: fmt.Sprint("notifications/invented", i)})
	}
	if n := testutil.CollectAndCount(r, "mcp_server_operation_duration_seconds"); n != 3 {
		t.Errorf("%d series of invented names", n)
	}
	for i := range 3 * maxCalls {
		c.Ended(&Call{Server: "orders", Method: "tools/call", Tool: fmt.Sprint("listed-", i)})
	}
	if n := len(c.series); n != maxCalls {
		t.Errorf("%d kinds of calls", n)
	}
	if n := testutil.ToFloat64(c.toolCalls.WithLabelValues(telemetry.Other, "")); n < 3*maxCalls {
		t.Errorf("%v calls of other tools", n)
	}
}

func TestNativeHistogramsAreOnRequest(t *testing.T) {
	for _, native := range []bool{false, true} {
		r := prometheus.NewPedanticRegistry()
		c := NewCalls(r, CallOptions{Native: native})
		c.Ended(&Call{Server: "orders", Method: "tools/list", Took: time.Second})
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		h := families[0].GetMetric()[0].GetHistogram()
		if got := len(h.GetPositiveSpan()) > 0; got != native || len(h.GetBucket()) != len(buckets) {
			t.Errorf("native %v: %v", native, h)
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	c := NewCalls(prometheus.NewRegistry(), CallOptions{Known: knownTools("get_order")})
	call := Call{Server: "orders", Method: "tools/call", Tool: "get_order", Status: OK, Took: time.Millisecond}
	if n := testing.AllocsPerRun(100, func() { c.Ended(&call) }); n > 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkEnded(b *testing.B) {
	c := NewCalls(prometheus.NewRegistry(), CallOptions{Known: knownTools("get_order")})
	call := Call{Server: "orders", Method: "tools/call", Tool: "get_order", Status: OK, Took: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		c.Ended(&call)
	}
}
