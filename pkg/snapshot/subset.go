package snapshot

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// subsets let the edge point keep a call away from the regions where its tool is
// broken. {avoid: regions} is every endpoint outside them: an endpoint lists there what it
// is outside of (list_as_any), so that priorities, health and retries go on among
// what is left. A call without such metadata sees every endpoint. nil for a server
// with one region, which has nowhere else to go.
func subsets(s model.Server) *clusterv3.Cluster_LbSubsetConfig {
	if len(s.Regions) < 2 {
		return nil
	}
	out := &clusterv3.Cluster_LbSubsetConfig{
		FallbackPolicy: clusterv3.Cluster_LbSubsetConfig_ANY_ENDPOINT,
		// A caller that is sent away from a region goes there all the same when nothing else is up.
		MetadataFallbackPolicy: clusterv3.Cluster_LbSubsetConfig_FALLBACK_LIST,
		ListAsAny:              true,
		SubsetSelectors:        []*clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{{Keys: []string{names.LBAvoid}}},
	}
	if _, only := names.SubsetValues(s.Name, s.Regions, s.Regions[0]); len(only) > 0 {
		out.SubsetSelectors = append(out.SubsetSelectors, &clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{Keys: []string{names.LBRegion}})
	}
	return out
}

// subsetMetadata puts an endpoint into the subsets.
func subsetMetadata(s model.Server, region string) *corev3.Metadata {
	if len(s.Regions) < 2 {
		return nil
	}
	avoid, only := names.SubsetValues(s.Name, s.Regions, region)
	fields := map[string]*structpb.Value{names.LBAvoid: listOf(avoid)}
	if len(only) > 0 {
		fields[names.LBRegion] = listOf(only)
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{names.LBNamespace: {Fields: fields}}}
}

func listOf(words []string) *structpb.Value {
	values := make([]*structpb.Value, len(words))
	for i, word := range words {
		values[i] = structpb.NewStringValue(word)
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values})
}
