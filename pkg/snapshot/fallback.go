package snapshot

import (
	"fmt"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// clusterOf is the cluster that an action's Envoy route leads to.
func clusterOf(a model.Action) string {
	if a.Second == "" {
		return a.Server
	}
	return names.ClusterFallbackPrefix + a.Server + "." + a.Second
}

// fallbackClusters are the clusters that join two servers: the priorities of the second
// come after those of the first, so that Envoy's own failover and retries go on to it.
func fallbackClusters(m *model.Model) ([]*clusterv3.Cluster, error) {
	var out []*clusterv3.Cluster
	done := map[string]bool{}
	for _, r := range m.Routes {
		rules := r.Rules
		if r.Next != nil {
			rules = slices.Concat(rules, r.Next.Rules)
		}
		for _, rule := range rules {
			if rule.Fallback == nil {
				continue
			}
			a := rule.Fallback.Action
			if name := clusterOf(a); !done[name] {
				done[name] = true
				c, err := aggregateCluster(name, m.Gateway.ProcessorTimeout, a.Server, a.Second)
				if err != nil {
					return nil, fmt.Errorf("building cluster %q: %w", name, err)
				}
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// aggregateCluster takes endpoints, health and outlier detection from its parts. The
// filters of a try and the bounds on retries are its own.
func aggregateCluster(name string, processorTimeout time.Duration, parts ...string) (*clusterv3.Cluster, error) {
	options, err := serverHTTPOptions(processorTimeout)
	if err != nil {
		return nil, err
	}
	config, err := anyOf(&aggregatev3.ClusterConfig{Clusters: parts})
	if err != nil {
		return nil, err
	}
	return &clusterv3.Cluster{
		Name: name,
		ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
			Name: "envoy.clusters.aggregate", TypedConfig: config,
		}},
		ConnectTimeout:                duration(time.Second),
		PerConnectionBufferLimitBytes: u32(noWatermark),
		LbPolicy:                      clusterv3.Cluster_CLUSTER_PROVIDED,
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			HealthyPanicThreshold: &typev3.Percent{Value: 0},
		},
		CircuitBreakers:               circuitBreakers(),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpProtocolOptions: options},
	}, nil
}

// offer tells the actions of a rule where their calls go when their server cannot answer.
func offer(f *model.Fallback, action, once *policyv1.Action) {
	if f == nil {
		return
	}
	action.Fallback = policyFallback(f, f.Action, f.Direct)
	once.Fallback = policyFallback(f, f.Once, f.DirectOnce)
}

func policyFallback(f *model.Fallback, on, direct model.Action) *policyv1.Fallback {
	return &policyv1.Fallback{
		Server: f.Server, Tool: f.Tool, Path: f.Path, FirstPath: f.FirstPath, Route: on.Stamp, Direct: direct.Stamp, Unretried: f.Once.Stamp,
		Arguments: policyMoves(f.Arguments), Result: policyMoves(f.Result),
	}
}

func policyMoves(moves []model.Move) []*policyv1.Move {
	out := make([]*policyv1.Move, 0, len(moves))
	for _, m := range moves {
		out = append(out, &policyv1.Move{From: m.From, To: m.To})
	}
	return out
}
