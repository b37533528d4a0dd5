package resources

import (
	"fmt"
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// Union joins the sets of revisions, the preferred one first in each list, into
// what one Envoy is shown.
//
// Clusters are those of all sets in clusters; of two with one name the first
// wins. The load assignments of all of them are present, the losers' too: a
// changed cluster has an EDS service name of its own, and its predecessor keeps
// its endpoints until Envoy has warmed the successor and let go of it.
//
// Routes are those of all sets in routes (MergeRoutes). Listeners are those of
// the first set alone: two revisions' listeners may want the same address.
func Union(routes, clusters []*Set) (*Set, error) {
	if len(routes) == 0 || len(clusters) == 0 {
		return nil, fmt.Errorf("a union of no sets")
	}
	if len(routes) == 1 && len(clusters) == 1 && routes[0] == clusters[0] {
		return routes[0], routes[0].Usable()
	}
	out := &Set{Clusters: clusters[0].Clusters, Endpoints: clusters[0].Endpoints, Listeners: routes[0].Listeners}
	for _, s := range clusters[1:] {
		out.Clusters, out.Endpoints = joined(out.Clusters, s.Clusters), joined(out.Endpoints, s.Endpoints)
	}
	var err error
	if out.Routes, err = unionRoutes(routes); err != nil {
		return nil, err
	}
	for _, s := range slices.Concat(clusters, routes) {
		out.sameVersions(s)
	}
	return out, out.Usable()
}

// joined gives a group with what is in either; of two with one name the first. It is the
// first group itself where the other has nothing to add. Neither is changed.
func joined(first, second Group) Group {
	if first.Is(second) {
		return first
	}
	for name := range second {
		if _, ok := first[name]; !ok {
			out := maps.Clone(first)
			addMissing(out, second)
			return out
		}
	}
	return first
}

func addMissing(to, from Group) {
	for name, r := range from {
		if _, ok := to[name]; !ok {
			to[name] = r
		}
	}
}

func unionRoutes(sets []*Set) (Group, error) {
	if !slices.ContainsFunc(sets, func(s *Set) bool { return !s.Routes.Is(sets[0].Routes) }) {
		return sets[0].Routes, nil
	}
	merged := make(map[string]*routev3.RouteConfiguration)
	out := Group{}
	for _, s := range sets {
		for name, r := range s.Routes {
			current, ok := r.Message.(*routev3.RouteConfiguration)
			if !ok {
				return nil, fmt.Errorf("resource %q among the routes is a %T", name, r.Message)
			}
			target, seen := merged[name]
			if !seen {
				merged[name], out[name] = current, r
				continue
			}
			if next := MergeRoutes(target, current); next != target {
				merged[name] = next
				delete(out, name)
			}
		}
	}
	changed := make(map[string]*routev3.RouteConfiguration)
	for name, config := range merged {
		if _, ok := out[name]; !ok {
			changed[name] = config
		}
	}
	fresh, err := NewGroup(changed)
	if err != nil {
		return nil, err
	}
	addMissing(out, fresh)
	return out, nil
}

// Referenced gives the set without the load assignments that none of its clusters
// names. State-of-the-world Envoys get it: go-control-plane answers an EDS request
// of theirs only when it names every assignment there is, and what a response of
// theirs leaves out is not a removal.
func (s *Set) Referenced() *Set {
	wanted := make(map[string]bool, len(s.Clusters))
	for name, r := range s.Clusters {
		if c, ok := r.Message.(*clusterv3.Cluster); ok && c.GetType() == clusterv3.Cluster_EDS {
			service := c.GetEdsClusterConfig().GetServiceName()
			if service == "" {
				service = name
			}
			wanted[service] = true
		}
	}
	out := &Set{Clusters: s.Clusters, Endpoints: Group{}, Listeners: s.Listeners, Routes: s.Routes}
	for name, r := range s.Endpoints {
		if wanted[cachev3.GetResourceName(r.Message)] {
			out.Endpoints[name] = r
		}
	}
	return out
}
