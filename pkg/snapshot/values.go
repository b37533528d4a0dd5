package snapshot

import (
	"iter"
	"maps"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func u32(v uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(v) }

func boolean(v bool) *wrapperspb.BoolValue { return wrapperspb.Bool(v) }

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// anyOf packs m deterministically.
func anyOf(m proto.Message) (*anypb.Any, error) {
	b, err := marshal(m)
	if err != nil {
		return nil, err
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: b}, nil
}

// adsSource tells Envoy to ask for a resource on the stream it already has.
func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

func clusters(r *Resources) iter.Seq2[string, *clusterv3.Cluster] {
	return func(yield func(string, *clusterv3.Cluster) bool) {
		for name, res := range maps.All(r.Clusters) {
			if c, ok := res.(*clusterv3.Cluster); ok && !yield(name, c) {
				return
			}
		}
	}
}

// routesOf is the one route configuration, nil where there is none.
func routesOf(r *Resources) *routev3.RouteConfiguration {
	rc, _ := r.Routes[names.RouteConfigName].(*routev3.RouteConfiguration)
	return rc
}
