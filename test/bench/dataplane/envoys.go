package main

import (
	"errors"
	"fmt"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	mcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/mcp/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// variant is an Envoy that differs from Holdfast's in what stands around the
// router, and in nothing else.
type variant struct {
	name string
	// prefix of the paths of its row.
	prefix string
	// edge and attempt: the points that stay.
	edge, attempt bool
	// mcp puts Envoy's own MCP filter in.
	mcp bool
	// floor: the points are asked of the processor that does nothing.
	floor bool
}

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// bootstrap makes the static configuration of a variant out of Holdfast's own.
func (v variant) bootstrap(holdfast []byte, listen, admin string, floorSocket string) ([]byte, error) {
	b := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(holdfast, b); err != nil {
		return nil, fmt.Errorf("reading Holdfast's configuration: %w", err)
	}
	adminAddress, err := address(admin)
	if err != nil {
		return nil, err
	}
	b.Admin = &bootstrapv3.Admin{Address: adminAddress}
	for _, c := range b.GetStaticResources().GetClusters() {
		if err := v.cluster(c, floorSocket); err != nil {
			return nil, fmt.Errorf("cluster %q: %w", c.GetName(), err)
		}
	}
	listener := b.GetStaticResources().GetListeners()[0]
	if listener.Address, err = address(listen); err != nil {
		return nil, err
	}
	if err := v.listener(listener); err != nil {
		return nil, err
	}
	out, err := protojson.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("writing the bootstrap: %w", err)
	}
	return out, nil
}

func (v variant) cluster(c *clusterv3.Cluster, floorSocket string) error {
	if c.GetName() == names.ClusterExtproc {
		if v.floor {
			c.LoadAssignment.Endpoints = []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
					Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: floorSocket}}},
				}},
			}}}}
		}
		return nil
	}
	if v.attempt {
		return nil
	}
	return edit(c.GetTypedExtensionProtocolOptions()[httpOptions], &httpv3.HttpProtocolOptions{}, func(o *httpv3.HttpProtocolOptions) {
		o.HttpFilters = slices.DeleteFunc(o.GetHttpFilters(), func(f *hcmv3.HttpFilter) bool { return f.GetName() == names.FilterAttempt })
		if len(o.GetHttpFilters()) == 1 {
			// Nothing but the codec, which is what Envoy has by itself.
			o.HttpFilters = nil
		}
	})
}

func (v variant) listener(l *listenerv3.Listener) error {
	return edit(l.GetFilterChains()[0].GetFilters()[0].GetTypedConfig(), &hcmv3.HttpConnectionManager{}, func(h *hcmv3.HttpConnectionManager) {
		h.HttpFilters = slices.DeleteFunc(h.GetHttpFilters(), func(f *hcmv3.HttpFilter) bool {
			// Only the edge point gives sessions ids that may be seen.
			return f.GetName() == names.FilterEdge && !v.edge || f.GetName() == names.FilterUnseen && (!v.edge || v.floor)
		})
		if v.mcp {
			h.HttpFilters = slices.Insert(h.GetHttpFilters(), len(h.GetHttpFilters())-1, mcpFilter())
		}
		if v.edge && !v.floor {
			return
		}
		for _, host := range h.GetRouteConfig().GetVirtualHosts() {
			host.Routes = unstamped(host.GetRoutes())
		}
	})
}

// unstamped takes the edge point's stamp away: the first route of each path is
// for everybody.
func unstamped(routes []*routev3.Route) []*routev3.Route {
	seen := map[string]bool{}
	return slices.DeleteFunc(routes, func(r *routev3.Route) bool {
		path := r.GetMatch().GetPath()
		if path == "" || seen[path] {
			return true
		}
		seen[path] = true
		r.Match.Headers = nil
		return false
	})
}

func mcpFilter() *hcmv3.HttpFilter {
	packed, err := anypb.New(&mcpv3.Mcp{})
	if err != nil {
		return nil
	}
	return &hcmv3.HttpFilter{Name: "envoy.filters.http.mcp", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}
}

// edit changes a message inside an Any.
func edit[T proto.Message](packed *anypb.Any, into T, change func(T)) error {
	if packed == nil {
		return errors.New("it is not there")
	}
	if err := packed.UnmarshalTo(into); err != nil {
		return fmt.Errorf("unpacking %s: %w", packed.GetTypeUrl(), err)
	}
	change(into)
	if err := packed.MarshalFrom(into); err != nil {
		return fmt.Errorf("packing %s: %w", packed.GetTypeUrl(), err)
	}
	return nil
}
