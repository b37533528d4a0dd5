package envoyadmin

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Types of resources, as NodeResource.type has them, in the order that they are shown.
const (
	Listeners = "listeners"
	Routes    = "routes"
	Clusters  = "clusters"
	Endpoints = "endpoints"
)

// Resource is one thing that the control plane gave to an Envoy.
type Resource struct {
	Type, Name string
	// Version is Envoy's version_info of it; empty for endpoints, for which Envoy keeps none.
	Version string
	// Warming is the version that waits to take its place; empty when there is none.
	Warming string
	// Failed is why Envoy refused the last change, in its own words; for listeners only.
	Failed string
}

// ConfigDump gives what the Envoy has by xDS (/config_dump?include_eds), in no order.
// What stands in its bootstrap is left out.
func (c *Client) ConfigDump(ctx context.Context) ([]Resource, error) {
	var dump struct {
		Configs []jsontext.Value `json:"configs"`
	}
	if err := c.get(ctx, "/config_dump?include_eds", &dump); err != nil {
		return nil, err
	}
	out, err := resources(dump.Configs)
	if err != nil {
		return nil, fmt.Errorf("reading what Envoy at %s says to /config_dump: %w", c.address, err)
	}
	return out, nil
}

// config is every part of a dump at once (envoy.admin.v3.*ConfigDump): their fields
// have different names.
type config struct {
	ActiveClusters  []dumped `json:"dynamic_active_clusters"`
	WarmingClusters []dumped `json:"dynamic_warming_clusters"`
	Routes          []dumped `json:"dynamic_route_configs"`
	Endpoints       []dumped `json:"dynamic_endpoint_configs"`
	Listeners       []struct {
		Name    string `json:"name"`
		Active  dumped `json:"active_state"`
		Warming dumped `json:"warming_state"`
		Error   struct {
			Details string `json:"details"`
		} `json:"error_state"`
	} `json:"dynamic_listeners"`
}

type dumped struct {
	Version string `json:"version_info"`
	Cluster named  `json:"cluster"`
	Route   named  `json:"route_config"`
	// Endpoint of a cluster without EDS is listed too, under the cluster's name.
	Endpoint struct {
		Name string `json:"cluster_name"`
	} `json:"endpoint_config"`
}

type named struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func resources(configs []jsontext.Value) ([]Resource, error) {
	set := map[[2]string]*Resource{}
	at := func(kind, name string) *Resource {
		key := [2]string{kind, name}
		if set[key] == nil {
			set[key] = &Resource{Type: kind, Name: name}
		}
		return set[key]
	}
	// Endpoints of these clusters came with the cluster itself.
	inline := map[string]bool{}
	var endpoints []string
	for _, value := range configs {
		var part config
		if err := json.Unmarshal(value, &part); err != nil {
			return nil, err //nolint:wrapcheck // the caller says what was read
		}
		for _, d := range part.ActiveClusters {
			at(Clusters, d.Cluster.Name).Version = d.Version
			inline[d.Cluster.Name] = d.Cluster.Type != "EDS"
		}
		for _, d := range part.WarmingClusters {
			at(Clusters, d.Cluster.Name).Warming = d.Version
		}
		for _, d := range part.Routes {
			at(Routes, d.Route.Name).Version = d.Version
		}
		for _, d := range part.Endpoints {
			endpoints = append(endpoints, d.Endpoint.Name)
		}
		for _, l := range part.Listeners {
			r := at(Listeners, l.Name)
			r.Version, r.Warming, r.Failed = l.Active.Version, l.Warming.Version, l.Error.Details
		}
	}
	for _, name := range endpoints {
		if !inline[name] {
			at(Endpoints, name)
		}
	}
	out := make([]Resource, 0, len(set))
	for _, r := range set {
		out = append(out, *r)
	}
	return out, nil
}
