package snapshot

import (
	"fmt"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// twoRegions is a server with two endpoints in each of two regions.
func twoRegions(mode model.Failover) model.Server {
	s := model.Server{Name: "orders", Failover: mode, Regions: []string{"asia-south1", "asia-south2"}}
	for i, region := range s.Regions {
		l := model.Locality{Region: region}
		for j := range 2 {
			l.Endpoints = append(l.Endpoints, model.Endpoint{Name: fmt.Sprintf("%c%d", "md"[i], j), Host: "127.0.0.1", Port: uint32(7000 + 10*i + j)})
		}
		if mode == model.Shared && i > 0 {
			s.Priorities[0] = append(s.Priorities[0], l)
			continue
		}
		s.Priorities = append(s.Priorities, []model.Locality{l})
	}
	return s
}

func overlayWords(a *endpointv3.ClusterLoadAssignment) string {
	var out []string
	for _, group := range a.GetEndpoints() {
		for _, e := range group.GetLbEndpoints() {
			out = append(out, fmt.Sprintf("%s:%.3s:%d", EndpointName(e), strings.ToLower(e.GetHealthStatus().String()), e.GetLoadBalancingWeight().GetValue()/weightUnit))
		}
	}
	return strings.Join(out, " ")
}

func TestOverlay(t *testing.T) {
	type eps = map[string]model.EndpointHealth
	type regions = map[string]model.HealthState
	const unchanged = "m0:unk:100 m1:unk:100 d0:unk:100 d1:unk:100"
	for _, c := range []struct {
		name string
		mode model.Failover
		h    model.Health
		want string
	}{
		{"nothing", model.InOrder, model.Health{}, unchanged},
		{"shares are the edge's", model.InOrder, model.Health{Shares: map[string]int{"asia-south1": 50}}, unchanged},
		{"names that are not there", model.InOrder, model.Health{Endpoints: eps{"x": {State: model.Unhealthy}}}, unchanged},
		{
			"states", model.InOrder,
			model.Health{Endpoints: eps{"m0": {State: model.Degraded}, "m1": {State: model.Unhealthy}, "d0": {State: model.Draining}}},
			"m0:deg:100 m1:unh:100 d0:dra:100 d1:unk:100",
		},
		{"a weight inside its region", model.InOrder, model.Health{Endpoints: eps{"m0": {Weight: 50}}}, "m0:unk:50 m1:unk:100 d0:unk:100 d1:unk:100"},
		{"weights that are the same say nothing", model.InOrder, model.Health{Endpoints: eps{"m0": {Weight: 50}, "m1": {Weight: 50}}}, unchanged},
		{"but between regions that share", model.Shared, model.Health{Endpoints: eps{"m0": {Weight: 50}, "m1": {Weight: 50}}}, "m0:unk:50 m1:unk:50 d0:unk:100 d1:unk:100"},
		{
			"the worse of two words", model.InOrder,
			model.Health{Endpoints: eps{"m0": {State: model.Unhealthy}, "m1": {State: model.Degraded}}, Regions: regions{"asia-south1": model.Draining}},
			"m0:unh:100 m1:dra:100 d0:unk:100 d1:unk:100",
		},
		{
			"all that was measured", model.InOrder,
			model.Health{Endpoints: eps{"m0": {State: model.Unhealthy}, "m1": {State: model.Unhealthy}, "d0": {State: model.Unhealthy}, "d1": {State: model.Unhealthy}}},
			"m0:unh:100 m1:unh:100 d0:unh:100 d1:unh:100",
		},
		{
			"what operators left is not taken out by what was measured", model.InOrder,
			model.Health{Endpoints: eps{"d0": {State: model.Unhealthy}, "d1": {State: model.Unhealthy}}, Regions: regions{"asia-south1": model.Draining}},
			"m0:dra:100 m1:dra:100 d0:deg:100 d1:deg:100",
		},
		{
			"an endpoint that was ordered out", model.InOrder,
			model.Health{Endpoints: eps{"m0": {State: model.Unhealthy}, "m1": {State: model.Unhealthy}, "d0": {State: model.Unhealthy}, "d1": {State: model.Draining, Ordered: true}}},
			"m0:deg:100 m1:deg:100 d0:deg:100 d1:dra:100",
		},
	} {
		base := loadAssignment(twoRegions(c.mode), "orders@1")
		got := Overlay(base, c.h)
		if words := overlayWords(got); words != c.want {
			t.Errorf("%s: %s, want %s", c.name, words, c.want)
		}
		if overlayWords(base) != unchanged {
			t.Errorf("%s: the revision's own is changed", c.name)
		}
		if c.want == unchanged && got != base {
			t.Errorf("%s: a copy that differs in nothing", c.name)
		}
		if err := got.ValidateAll(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
