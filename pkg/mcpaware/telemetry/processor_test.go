package telemetry

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
)

func TestProcessorState(t *testing.T) {
	now := time.Date(2026, 8, 22, 12, 0, 0, 0, time.UTC)
	list := func(server, method string, age time.Duration) *policyv1.CatalogEntry {
		return &policyv1.CatalogEntry{Server: server, Method: method, AsOf: timestamppb.New(now.Add(-age))}
	}
	r := prometheus.NewPedanticRegistry()
	Processor{
		Streams:   func() int64 { return 7 },
		Policies:  func() (string, int) { return "abc", 2 },
		Refusals:  func() uint64 { return 1 },
		Connected: func() bool { return true },
		Lists: func() []*policyv1.CatalogEntry {
			return []*policyv1.CatalogEntry{
				list("orders", "tools/list", time.Hour), list("orders", "tools/list", time.Minute), list("orders", "prompts/list", 0), list("inventory", "tools/list", -time.Second),
			}
		},
		Tools:    func(server string) int { return len(server) },
		Rooms:    func() []admit.Room { return []admit.Room{{Server: "orders", Active: 3, Waiting: 1, Limit: 4}} },
		Shedding: func() int { return 0 },
		Now:      func() time.Time { return now },
	}.Register(r)
	want := `
# HELP holdfast_catalog_age_seconds Time since a server last gave a list of its tools that all callers may share.
# TYPE holdfast_catalog_age_seconds gauge
holdfast_catalog_age_seconds{server="inventory"} 0
holdfast_catalog_age_seconds{server="orders"} 60
# HELP holdfast_catalog_tools Tools that a server has listed since the processor began.
# TYPE holdfast_catalog_tools gauge
holdfast_catalog_tools{server="inventory"} 9
holdfast_catalog_tools{server="orders"} 6
# HELP holdfast_concurrency_calls Calls under way to a server that has a bound, at this processor.
# TYPE holdfast_concurrency_calls gauge
holdfast_concurrency_calls{server="orders"} 3
# HELP holdfast_concurrency_limit How many calls may be under way, at this processor.
# TYPE holdfast_concurrency_limit gauge
holdfast_concurrency_limit{server="orders"} 4
# HELP holdfast_concurrency_waiting Calls that wait for one of those to end.
# TYPE holdfast_concurrency_waiting gauge
holdfast_concurrency_waiting{server="orders"} 1
# HELP holdfast_control_plane_connected 1 while there is a stream to the control plane.
# TYPE holdfast_control_plane_connected gauge
holdfast_control_plane_connected 1
# HELP holdfast_policies Policies in force, one for each route.
# TYPE holdfast_policies gauge
holdfast_policies 2
# HELP holdfast_policy_info 1, with the version of the policies in force: a hash of all of them, the same in all processors that have the same.
# TYPE holdfast_policy_info gauge
holdfast_policy_info{version="abc"} 1
# HELP holdfast_policy_refused_total Updates of the control plane that were refused. The last good policies stay in force.
# TYPE holdfast_policy_refused_total counter
holdfast_policy_refused_total 1
# HELP holdfast_shedding_level Calls of a priority below this one are turned away, since the processor cannot keep up; 0: none.
# TYPE holdfast_shedding_level gauge
holdfast_shedding_level 0
# HELP holdfast_streams Streams of Envoy under way: one for each request, and one for each try.
# TYPE holdfast_streams gauge
holdfast_streams 7
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
