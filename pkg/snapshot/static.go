package snapshot

import (
	"fmt"
	"maps"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Static renders r as a bootstrap that needs no control plane, for
// `envoy --mode validate`: endpoints and routes stand inside the clusters and
// listeners that would ask for them. r is not changed.
func Static(r *Resources) ([]byte, error) {
	static := &bootstrapv3.Bootstrap_StaticResources{}
	for _, name := range slices.Sorted(maps.Keys(r.Clusters)) {
		c, ok := r.Clusters[name].(*clusterv3.Cluster)
		if !ok {
			return nil, fmt.Errorf("cluster %q is a %T", name, r.Clusters[name])
		}
		c = proto.CloneOf(c)
		if service := ServiceName(c); service != "" {
			cla, ok := r.Endpoints[service].(*endpointv3.ClusterLoadAssignment)
			if !ok {
				return nil, fmt.Errorf("cluster %q: no endpoints %q", name, service)
			}
			cla = proto.CloneOf(cla)
			cla.ClusterName = name
			c.EdsClusterConfig = nil
			c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
			c.LoadAssignment = cla
		}
		static.Clusters = append(static.Clusters, c)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Listeners)) {
		l, ok := r.Listeners[name].(*listenerv3.Listener)
		if !ok {
			return nil, fmt.Errorf("listener %q is a %T", name, r.Listeners[name])
		}
		l, err := inlineRoutes(proto.CloneOf(l), r)
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", name, err)
		}
		static.Listeners = append(static.Listeners, l)
	}
	out, err := protojson.Marshal(&bootstrapv3.Bootstrap{StaticResources: static})
	if err != nil {
		return nil, fmt.Errorf("rendering the bootstrap: %w", err)
	}
	return out, nil
}

func inlineRoutes(l *listenerv3.Listener, r *Resources) (*listenerv3.Listener, error) {
	rc := routesOf(r)
	for _, chain := range l.GetFilterChains() {
		for _, f := range chain.GetFilters() {
			hcm := &hcmv3.HttpConnectionManager{}
			if err := f.GetTypedConfig().UnmarshalTo(hcm); err != nil {
				return nil, fmt.Errorf("filter %q: %w", f.GetName(), err)
			}
			hcm.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: rc}
			packed, err := anyOf(hcm)
			if err != nil {
				return nil, err
			}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
		}
	}
	return l, nil
}
