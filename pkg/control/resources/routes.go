package resources

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// MergeRoutes gives target together with the routes that only current has, so
// that an Envoy serves the stamps of both. Neither argument is changed; target
// itself is returned when current has nothing to add.
//
// A virtual host of both has the target's stamped routes, then those of current
// whose stamp the target does not know, then the target's routes without a stamp:
// they answer whatever no processor has stamped and must come last. A virtual
// host that only current has stays, with the domains that the target does not
// claim for another one (Envoy refuses a domain that occurs twice).
func MergeRoutes(target, current *routev3.RouteConfiguration) *routev3.RouteConfiguration {
	out, _ := proto.Clone(target).(*routev3.RouteConfiguration)
	changed := false
	known := make(map[string]*routev3.VirtualHost, len(out.GetVirtualHosts()))
	domains := make(map[string]bool)
	for _, host := range out.GetVirtualHosts() {
		known[host.GetName()] = host
		for _, d := range host.GetDomains() {
			domains[d] = true
		}
	}
	for _, old := range current.GetVirtualHosts() {
		if host, ok := known[old.GetName()]; ok {
			changed = addStamped(host, old) || changed
			continue
		}
		host, _ := proto.Clone(old).(*routev3.VirtualHost)
		host.Domains = slices.DeleteFunc(host.Domains, func(d string) bool { return domains[d] })
		if len(host.Domains) > 0 {
			out.VirtualHosts = append(out.VirtualHosts, host)
			changed = true
		}
	}
	if !changed {
		return target
	}
	return out
}

// addStamped adds the stamped routes of old that host lacks before the routes of
// host that have no stamp. It says whether there were any.
func addStamped(host, old *routev3.VirtualHost) bool {
	var stamped, unstamped []*routev3.Route
	have := make(map[string]bool, len(host.GetRoutes()))
	for _, r := range host.GetRoutes() {
		if Stamped(r) {
			stamped = append(stamped, r)
			have[r.GetName()] = true
		} else {
			unstamped = append(unstamped, r)
		}
	}
	added := false
	for _, r := range old.GetRoutes() {
		if Stamped(r) && !have[r.GetName()] {
			clone, _ := proto.Clone(r).(*routev3.Route)
			stamped = append(stamped, clone)
			have[r.GetName()] = true
			added = true
		}
	}
	if added {
		host.Routes = append(stamped, unstamped...)
	}
	return added
}

// Stamped says whether a route demands a certain stamp (names.HeaderRoute), which
// only a processor can have set. A route that demands that there be none is not
// stamped.
func Stamped(r *routev3.Route) bool {
	return slices.ContainsFunc(r.GetMatch().GetHeaders(), func(h *routev3.HeaderMatcher) bool {
		return h.GetName() == names.HeaderRoute && !h.GetInvertMatch() && h.GetStringMatch().GetExact() != ""
	})
}
