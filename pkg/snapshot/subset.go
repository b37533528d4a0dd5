package snapshot

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// subsets let the edge point leave out a region, or name the only one, for a call
// whose tool is broken somewhere. {avoid: region} is every endpoint outside a region: an
// endpoint lists all other regions there (list_as_any), so that priorities, health and
// retries go on among what is left. A call without such metadata sees every
// endpoint. nil for a server with one region, which has nowhere else to go.
func subsets(s model.Server) *clusterv3.Cluster_LbSubsetConfig {
	if len(s.Regions) < 2 {
		return nil
	}
	return &clusterv3.Cluster_LbSubsetConfig{
		FallbackPolicy: clusterv3.Cluster_LbSubsetConfig_ANY_ENDPOINT,
		// A caller that is sent away from a region goes there all the same when nothing else is up.
		MetadataFallbackPolicy: clusterv3.Cluster_LbSubsetConfig_FALLBACK_LIST,
		ListAsAny:              true,
		SubsetSelectors: []*clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{
			{Keys: []string{names.LBAvoid}},
			{Keys: []string{names.LBRegion}},
		},
	}
}

// subsetMetadata puts an endpoint into the subsets.
func subsetMetadata(s model.Server, region string) *corev3.Metadata {
	if len(s.Regions) < 2 {
		return nil
	}
	others := make([]*structpb.Value, 0, len(s.Regions)-1)
	for _, r := range s.Regions {
		if r != region {
			others = append(others, structpb.NewStringValue(r))
		}
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		names.LBNamespace: {Fields: map[string]*structpb.Value{
			names.LBRegion: structpb.NewStringValue(region),
			names.LBAvoid:  structpb.NewListValue(&structpb.ListValue{Values: others}),
		}},
	}}
}
