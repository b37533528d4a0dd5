package extproc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// counted plays a test with the metrics of calls, and holds some of them to what is wanted.
func counted(t *testing.T, policy *policyv1.RoutePolicy, region, want string, play func(t *testing.T, e *envoy)) {
	t.Helper()
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		r := prometheus.NewPedanticRegistry()
		e.service.opts.Calls = telemetry.NewCalls(r, telemetry.CallOptions{Known: func(_, tool string) bool { return tool == "get_order" }})
		e.service.opts.Region = region
		play(t, e)
		synctest.Wait()
		metrics := []string{
			"mcp_tool_calls_total", "holdfast_refused_total", "holdfast_retries_total", "holdfast_failovers_total", "holdfast_degraded_answers_total",
		}
		text, err := testutil.CollectAndFormat(r, expfmt.TypeTextPlain, metrics...)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if got := strings.Join(lines, "\n"); got != strings.TrimSpace(want) {
			t.Errorf("got\n%s\nwant\n%s", got, strings.TrimSpace(want))
		}
	})
}

func inRegions(policy *policyv1.RoutePolicy, mode policyv1.Failover) *policyv1.RoutePolicy {
	policy.Servers[0].Regions, policy.Servers[0].Failover = []string{"asia-south1", "asia-south2"}, mode
	return policy
}

func TestEdgeCountsCalls(t *testing.T) {
	t.Parallel()
	good := responseHeaders(false, ":status: 200", "content-type: application/json", names.HeaderRegion+": asia-south1")
	good.Attributes = attributeMap(map[string]any{"response.code_details": "via_upstream", "upstream.request_attempt_count": 1})
	elsewhere := responseHeaders(false, ":status: 200", "content-type: application/json", names.HeaderRegion+": asia-south2")
	elsewhere.Attributes = good.Attributes
	fallback := responseHeaders(false, ":status: 200", names.HeaderRegion+": asia-south1", names.HeaderDegraded+": fallback")
	fallback.Attributes = good.Attributes
	failing := responseHeaders(false, ":status: 424", "content-type: application/json", names.HeaderRegion+": asia-south1",
		names.HeaderVerdict+": "+outcome.Report{Verdict: outcome.ToolFailed, Status: 200, Usable: true}.String())
	failing.Attributes = good.Attributes
	counted(t, inRegions(shopmax(), policyv1.Failover_FAILOVER_ORDER), "asia-south2", `
holdfast_degraded_answers_total{reason="",server="orders",source="fallback"} 1
holdfast_degraded_answers_total{reason="service_unavailable",server="orders",source="error"} 1
holdfast_failovers_total{from="asia-south1",server="orders",to="asia-south2"} 1
holdfast_refused_total{reason="invalid_input"} 1
mcp_tool_calls_total{status="cancelled",tool_name="get_order"} 1
mcp_tool_calls_total{status="degraded",tool_name="get_order"} 1
mcp_tool_calls_total{status="error",tool_name="get_order"} 2
mcp_tool_calls_total{status="ok",tool_name="get_order"} 2
mcp_tool_calls_total{status="ok",tool_name="other"} 1`, func(t *testing.T, e *envoy) {
		accepted(t, e, callBody).ask(good)
		accepted(t, e, writeBody).ask(good)
		accepted(t, e, callBody).ask(elsewhere)
		accepted(t, e, callBody).ask(failing)
		accepted(t, e, callBody).ask(fallback)
		accepted(t, e, callBody).ask(localReply("503", 2, "no_healthy_upstream", 1))
		accepted(t, e, callBody).hangUp()
		x := e.open(names.PointEdge)
		x.ask(requestHeaders(false, postHeaders...))
		x.ask(requestBody("{"))
	})
}

func TestWhichRegionIsHome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode            policyv1.Failover
		own, home, from string
	}{
		{policyv1.Failover_FAILOVER_ORDER, "asia-south2", "asia-south1", "asia-south2"},
		{policyv1.Failover_FAILOVER_NEAREST, "asia-south2", "asia-south2", "asia-south1"},
		{policyv1.Failover_FAILOVER_NEAREST, "elsewhere", "asia-south1", "asia-south2"},
		{policyv1.Failover_FAILOVER_SHARED, "asia-south2", "", "asia-south1"},
	} {
		want := `mcp_tool_calls_total{status="ok",tool_name="get_order"} 1`
		if tt.home != "" {
			want = `holdfast_failovers_total{from="` + tt.home + `",server="orders",to="` + tt.from + `"} 1` + "\n" + want
		}
		counted(t, inRegions(shopmax(), tt.mode), tt.own, want, func(t *testing.T, e *envoy) {
			answer := responseHeaders(false, ":status: 200", names.HeaderRegion+": "+tt.from)
			answer.Attributes = attributeMap(map[string]any{"response.code_details": "via_upstream", "upstream.request_attempt_count": 1})
			accepted(t, e, callBody).ask(answer)
		})
	}
}

func TestAttemptCountsRetries(t *testing.T) {
	t.Parallel()
	counted(t, shopmax(), "", `holdfast_retries_total{region="asia-south2",server="orders"} 1`, func(t *testing.T, e *envoy) {
		for attempt, address := range map[int]string{1: mumbai, 2: delhi} {
			x := e.open(names.PointAttempt)
			req := tryHeaders(t, "POST", getOrder(nil))
			setPlace(req, map[string]any{"upstream.address": address, "upstream.request_attempt_count": attempt})
			x.ask(req)
			x.hangUp()
		}
	})
}

func TestTimeIsUntilTheAnswerBegins(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		r := prometheus.NewPedanticRegistry()
		e.service.opts.Calls = telemetry.NewCalls(r, telemetry.CallOptions{})
		x := accepted(t, e, callBody)
		time.Sleep(90 * time.Millisecond) // of the bubble
		answer := responseHeaders(false, ":status: 200")
		answer.Attributes = attributeMap(map[string]any{"response.code_details": "via_upstream"})
		x.ask(answer)
		synctest.Wait()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]float64{}
		for _, f := range families {
			sums[f.GetName()] = f.GetMetric()[0].GetHistogram().GetSampleSum()
		}
		for _, name := range []string{"mcp_server_operation_duration_seconds", "mcp_tool_duration_seconds"} {
			if sums[name] != 0.09 {
				t.Errorf("%s: %v s", name, sums[name])
			}
		}
	})
}
