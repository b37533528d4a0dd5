package control

import (
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

func TestMetrics(t *testing.T) {
	site := newSite(t)
	site.write(shop{}.yaml())
	p := site.start()
	p.settled("")
	s := p.share("extproc-1")
	s.say(&outcomev1.Summary{
		Processor: "extproc-1", Counts: []*outcomev1.Count{{}},
		Breakers: []*outcomev1.Breaker{{
			Server: "orders", Tool: "get_order", Region: "asia-south1", State: outcomev1.BreakerState_BREAKER_STATE_OPEN, Since: timestamppb.New(time.Unix(1, 0)),
		}},
	})
	p.until("breaker", func(s status.Status) bool { return len(s.Breakers) == 1 })
	if _, err := p.setBreaker(&adminv1.SetBreakerRequest{Server: "orders", Tool: "report", Hold: adminv1.BreakerHold_BREAKER_HOLD_OPEN}); err != nil {
		t.Fatal(err)
	}
	w := p.world("envoy-1")
	first := w.next()
	w.send(&discoveryv3.DiscoveryRequest{TypeUrl: resourcev3.ClusterType, ResponseNonce: first.GetNonce(), ErrorDetail: &statuspb.Status{Message: "no"}})
	p.until("refusal", func(s status.Status) bool { return len(s.Nodes) == 1 && s.Nodes[0].Sync == status.Rejecting })
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(p.Metrics())
	want := `
# HELP holdfast_breaker_override 1 for each breaker that an operator holds, by the state that it is held in. An empty region is every one.
# TYPE holdfast_breaker_override gauge
holdfast_breaker_override{region="",server="orders",state="open",tool="report"} 1
# HELP holdfast_control_plane_ready 1 once there is a revision to serve.
# TYPE holdfast_control_plane_ready gauge
holdfast_control_plane_ready 1
# HELP holdfast_fleet_breaker_state Breakers that are not closed, over all processors: 1 half open, 2 open. What an operator holds is in holdfast_breaker_override instead.
# TYPE holdfast_fleet_breaker_state gauge
holdfast_fleet_breaker_state{region="asia-south1",server="orders",tool="get_order"} 2
# HELP holdfast_fleet_breakers Breakers that are not closed, by state.
# TYPE holdfast_fleet_breakers gauge
holdfast_fleet_breakers{state="half-open"} 0
holdfast_fleet_breakers{state="open"} 1
# HELP holdfast_fleet_dropped_total Entries of processors' summaries that were not taken: beyond a bound, or not usable.
# TYPE holdfast_fleet_dropped_total counter
holdfast_fleet_dropped_total 1
# HELP holdfast_fleet_processors Processors that share what tools answer.
# TYPE holdfast_fleet_processors gauge
holdfast_fleet_processors 1
# HELP holdfast_xds_acks_total Responses that nodes acknowledged, by type of resource.
# TYPE holdfast_xds_acks_total counter
holdfast_xds_acks_total{type="clusters"} 0
# HELP holdfast_xds_nacks_total Responses that nodes refused, by type of resource. The last good resources stay in force.
# TYPE holdfast_xds_nacks_total counter
holdfast_xds_nacks_total{type="clusters"} 1
# HELP holdfast_xds_nodes Connected nodes, by kind (envoy, extproc) and by how they stand (synced, pending, silent, rejected).
# TYPE holdfast_xds_nodes gauge
holdfast_xds_nodes{kind="envoy",sync="rejected"} 1
# HELP holdfast_revision Number of the newest revision.
# TYPE holdfast_revision gauge
holdfast_revision 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "holdfast_breaker_override", "holdfast_control_plane_ready",
		"holdfast_fleet_breaker_state", "holdfast_fleet_breakers", "holdfast_fleet_dropped_total", "holdfast_fleet_processors", "holdfast_revision",
		"holdfast_xds_acks_total", "holdfast_xds_nacks_total", "holdfast_xds_nodes"); err != nil {
		t.Error(err)
	}
}

func TestPromisesAreShown(t *testing.T) {
	site := newSite(t)
	site.write(strings.Replace(shop{}.yaml(), "  regions:", "  slo: {availability: 99.95%, p95: 100ms}\n  regions:", 1))
	p := site.start()
	p.settled("")
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(p.Metrics())
	want := `
# HELP holdfast_slo_availability_ratio Share of calls that a server's callers are promised an answer to, from 0 to 1.
# TYPE holdfast_slo_availability_ratio gauge
holdfast_slo_availability_ratio{server="orders"} 0.9995
# HELP holdfast_slo_p95_seconds Time in which 95 of 100 answers of a server are promised to begin.
# TYPE holdfast_slo_p95_seconds gauge
holdfast_slo_p95_seconds{server="orders"} 0.1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "holdfast_slo_availability_ratio", "holdfast_slo_p95_seconds"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(r, "holdfast_snapshot_info"); n != 1 {
		t.Errorf("%d snapshots", n)
	}
}
