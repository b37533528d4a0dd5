package telemetry

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

func TestVerdictsAndBreakers(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	o := NewOutcomes(r, knownTools("get_order"), func() bool { return true })
	for range 2 {
		o.Count([]*outcomev1.Count{
			{Server: "orders", Method: "tools/call", Tool: "get_order", Region: "asia-south1", Good: 3, Failed: 2},
			{Server: "orders", Method: "tools/list", Region: "asia-south1", Good: 1},
		})
	}
	key := breaker.Key{Server: "orders", Tool: "get_order", Region: "asia-south1"}
	o.Moved(breaker.Transition{Key: key, To: outcomev1.BreakerState_BREAKER_STATE_OPEN})
	o.Moved(breaker.Transition{Key: key, To: outcomev1.BreakerState_BREAKER_STATE_HALF_OPEN})
	o.Moved(breaker.Transition{Key: key, To: outcomev1.BreakerState_BREAKER_STATE_OPEN})
	want := `
# HELP holdfast_breaker_state What answers say about a tool in a region: 0 closed, 1 half open, 2 open. A breaker that has never opened has no series; what operators hold is in holdfast_breaker_override.
# TYPE holdfast_breaker_state gauge
holdfast_breaker_state{region="asia-south1",server="orders",tool="get_order"} 2
# HELP holdfast_breaker_transitions_total Changes of breakers, by the state that they came to.
# TYPE holdfast_breaker_transitions_total counter
holdfast_breaker_transitions_total{region="asia-south1",server="orders",to="half_open",tool="get_order"} 1
holdfast_breaker_transitions_total{region="asia-south1",server="orders",to="open",tool="get_order"} 2
# HELP holdfast_fleet_connected 1 while this processor hears from the others through the control plane; 0 while it decides alone.
# TYPE holdfast_fleet_connected gauge
holdfast_fleet_connected 1
# HELP holdfast_verdicts_total Answers of servers, a try each, by what they say about the tool: good, failed, or busy (429). Methods other than tools/call stand with their name as tool.
# TYPE holdfast_verdicts_total counter
holdfast_verdicts_total{region="asia-south1",server="orders",tool="get_order",verdict="failed"} 4
holdfast_verdicts_total{region="asia-south1",server="orders",tool="get_order",verdict="good"} 6
holdfast_verdicts_total{region="asia-south1",server="orders",tool="tools/list",verdict="good"} 2
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestToolsAreBounded(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	o := NewOutcomes(r, func(_, tool string) bool { return strings.HasPrefix(tool, "listed-") }, func() bool { return false })
	for i := range 2 * maxTools {
		o.Count([]*outcomev1.Count{{Server: "orders", Method: "tools/call", Tool: fmt.Sprint("listed-", i), Region: "asia-south1", Failed: 1}})
	}
	o.Count([]*outcomev1.Count{{Server: "orders", Method: "tools/call", Tool: "invented", Region: "asia-south1", Good: 1}})
	o.Moved(breaker.Transition{Key: breaker.Key{Server: "orders", Tool: "invented", Region: "asia-south1"}, To: outcomev1.BreakerState_BREAKER_STATE_OPEN})
	if n := testutil.ToFloat64(o.state.WithLabelValues("orders", telemetry.Other, "asia-south1")); n != 2 {
		t.Errorf("the breaker of an invented tool is at %v", n)
	}
	if n := testutil.ToFloat64(o.verdicts.WithLabelValues("orders", telemetry.Other, "asia-south1", "good")); n != 1 {
		t.Errorf("%v answers of an invented tool", n)
	}
	if n := testutil.CollectAndCount(o.verdicts); n != maxTools+2 {
		t.Errorf("%d series", n)
	}
	if n := testutil.ToFloat64(o.verdicts.WithLabelValues("orders", telemetry.Other, "asia-south1", "failed")); n != maxTools {
		t.Errorf("%v others", n)
	}
}
