package snapshot

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Overlay gives a server's load assignment with what was measured and ordered of its endpoints;
// the assignment itself where that changes nothing. Envoy's own checks and its outlier
// detection go on: an endpoint gets calls where none of the three says otherwise. Neither
// argument is changed; the same arguments give the same bytes.
func Overlay(base *endpointv3.ClusterLoadAssignment, h model.Health) *endpointv3.ClusterLoadAssignment {
	all := healths(base, h)
	if !weighted(base, all) && !anyBut(all, model.Healthy) {
		return base
	}
	out := proto.CloneOf(base)
	i := 0
	for _, group := range out.GetEndpoints() {
		for _, e := range group.GetLbEndpoints() {
			e.HealthStatus = healthStatus(all[i].State)
			i++
		}
	}
	weigh(out, all)
	return out
}

// weightUnit is what one hundredth of an endpoint's full part weighs; what is below it tells endpoints apart.
const weightUnit = 10_000

// weigh gives endpoints that share a priority weights by their part, none of them quite the same: Envoy then
// takes endpoints in turn by their weight and by what is under way at each of them. With equal weights it takes
// the less busy of two at random, which is even only in the long run. health is in the order of the
// endpoints; nil: all of them have their full part.
func weigh(a *endpointv3.ClusterLoadAssignment, health []model.EndpointHealth) {
	of := map[uint32]int{}
	for _, group := range a.GetEndpoints() {
		of[group.GetPriority()] += len(group.GetLbEndpoints())
	}
	i := 0
	for _, group := range a.GetEndpoints() {
		for _, e := range group.GetLbEndpoints() {
			part := model.MaxWeight
			if health != nil {
				part = health[i].Part()
			}
			if of[group.GetPriority()] > 1 {
				e.LoadBalancingWeight = u32(uint32(part*weightUnit + i%weightUnit)) //nolint:gosec // at most 4096 endpoints
			}
			i++
		}
	}
}

// healths gives those of all endpoints in order.
func healths(base *endpointv3.ClusterLoadAssignment, h model.Health) []model.EndpointHealth {
	var all []model.EndpointHealth
	ordered, left := false, false
	for _, group := range base.GetEndpoints() {
		region := h.Regions[group.GetLocality().GetRegion()]
		for _, e := range group.GetLbEndpoints() {
			is := h.Endpoints[EndpointName(e)]
			if region != model.Healthy {
				is.State, is.Ordered = max(is.State, region), true
			}
			ordered = ordered || is.Ordered
			left = left || !is.Ordered && is.State < model.Draining
			all = append(all, is)
		}
	}
	if ordered && !left {
		for i, is := range all {
			if !is.Ordered {
				all[i].State = min(is.State, model.Degraded)
			}
		}
	}
	return all
}

// weighted says whether weights differ within a priority, which is all that weights mean.
func weighted(base *endpointv3.ClusterLoadAssignment, all []model.EndpointHealth) bool {
	first, i := map[uint32]int{}, 0
	for _, group := range base.GetEndpoints() {
		for range group.GetLbEndpoints() {
			if part, ok := first[group.GetPriority()]; !ok {
				first[group.GetPriority()] = all[i].Part()
			} else if part != all[i].Part() {
				return true
			}
			i++
		}
	}
	return false
}

func anyBut(all []model.EndpointHealth, state model.HealthState) bool {
	for _, is := range all {
		if is.State != state {
			return true
		}
	}
	return false
}

func healthStatus(s model.HealthState) corev3.HealthStatus {
	switch s {
	case model.Degraded:
		return corev3.HealthStatus_DEGRADED
	case model.Draining:
		return corev3.HealthStatus_DRAINING
	case model.Unhealthy:
		return corev3.HealthStatus_UNHEALTHY
	default:
		return corev3.HealthStatus_UNKNOWN
	}
}

// EndpointName is the name that people gave an endpoint of a load assignment of ours; "" for any other.
func EndpointName(e *endpointv3.LbEndpoint) string {
	return e.GetMetadata().GetFilterMetadata()[names.MetadataNamespace].GetFields()[names.MetadataEndpoint].GetStringValue()
}

// ServerOf is the server whose endpoints have that EDS service name.
func ServerOf(service string) string {
	for i := range len(service) {
		if service[i] == '@' {
			return service[:i]
		}
	}
	return service
}

// RegionsOf are the regions that a load assignment has, in its order; nil for any other resource.
func RegionsOf(m types.Resource) []string {
	assignment, _ := m.(*endpointv3.ClusterLoadAssignment)
	var out []string
	for _, group := range assignment.GetEndpoints() {
		if region := group.GetLocality().GetRegion(); !slices.Contains(out, region) {
			out = append(out, region)
		}
	}
	return out
}
