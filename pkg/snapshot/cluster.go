package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamcodecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// httpProtocolOptions is the key under which a cluster names its HTTP options.
const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// bufferSlack is what fits into Envoy's buffers beside a body of the largest size.
const bufferSlack = 64 << 10

// An endpoint that a health check has found well again begins with slowStartPercent of its part.
const (
	slowStart        = 30 * time.Second
	slowStartPercent = 10
)

// serverCluster is one cluster a server, its regions priorities of the same
// cluster, so that Envoy's own retries and priority failover move calls.
func serverCluster(s model.Server, g gatewayInput) (*clusterv3.Cluster, error) {
	options, err := serverHTTPOptions(g.processorTimeout)
	if err != nil {
		return nil, err
	}
	c := &clusterv3.Cluster{
		Name:                          s.Name,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		ConnectTimeout:                duration(s.ConnectTimeout),
		PerConnectionBufferLimitBytes: u32(g.maxBody + bufferSlack),
		LbPolicy:                      clusterv3.Cluster_LEAST_REQUEST,
		// An endpoint that is back gets its full part of a region's calls little by little.
		LbConfig: &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{
			SlowStartConfig: &clusterv3.Cluster_SlowStartConfig{
				SlowStartWindow: duration(slowStart), MinWeightPercent: &typev3.Percent{Value: slowStartPercent},
			},
		}},
		// A region takes no calls at all once its endpoints are down; the panic
		// threshold of 50 % would keep sending to dead hosts.
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			HealthyPanicThreshold: &typev3.Percent{Value: 0},
			OverrideHostStatus:    overrideStatuses(),
			// Envoy would hold back what it finds out about health for up to a second
			// after the last change, while its workers go on by what was true before.
			UpdateMergeWindow: duration(0),
		},
		LbSubsetConfig:   subsets(s),
		CircuitBreakers:  circuitBreakers(),
		OutlierDetection: outlierDetection(s.Outlier),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			httpProtocolOptions: options,
		},
	}
	if s.HealthCheck != nil {
		c.HealthChecks = []*corev3.HealthCheck{healthCheck(s.HealthCheck)}
	}
	if s.TLS != nil {
		if c.TransportSocket, err = tlsSocket(*s.TLS); err != nil {
			return nil, err
		}
	}
	// The service name carries a hash of the cluster, so that a changed cluster
	// asks for endpoints anew: otherwise the EDS answer never comes and the
	// cluster warms until its time limit, every later CDS update behind it.
	b, err := marshal(c)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{
		EdsConfig:   adsSource(),
		ServiceName: fmt.Sprintf("%s@%s", s.Name, hex.EncodeToString(sum[:6])),
	}
	return c, nil
}

// ServiceName is the name under which a cluster's endpoints are asked for
// (EdsClusterConfig.service_name); "" for a cluster that has its endpoints inline.
func ServiceName(c *clusterv3.Cluster) string { return c.GetEdsClusterConfig().GetServiceName() }

// serverHTTPOptions speak HTTP/1.1, the one version that every MCP server has,
// and put the attempt point in front of the codec.
func serverHTTPOptions(processorTimeout time.Duration) (*anypb.Any, error) {
	attempt, err := attemptFilter(processorTimeout)
	if err != nil {
		return nil, err
	}
	codec, err := anyOf(&upstreamcodecv3.UpstreamCodec{})
	if err != nil {
		return nil, err
	}
	return anyOf(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
				},
			},
		},
		HttpFilters: []*hcmv3.HttpFilter{
			attempt,
			{
				Name:       "envoy.filters.http.upstream_codec",
				ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: codec},
			},
		},
	})
}

// circuitBreakers raise Envoy's defaults: 3 retries at a time refused four of
// five retries of a failover under load, and one cluster's limits are shared by
// its regions, so that a hung primary starves the standby.
func circuitBreakers() *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		Priority:           corev3.RoutingPriority_DEFAULT,
		MaxConnections:     u32(16384),
		MaxPendingRequests: u32(16384),
		MaxRequests:        u32(16384),
		MaxRetries:         u32(16384),
		TrackRemaining:     true,
	}}}
}

// healthCheck keeps the same pace with and without traffic: Envoy's default of a
// minute between checks of an idle cluster hides a hung endpoint.
func healthCheck(hc *model.HealthCheck) *corev3.HealthCheck {
	statuses := []*typev3.Int64Range{{Start: 200, End: 300}}
	if hc.AcceptMissing {
		statuses = append(statuses, &typev3.Int64Range{Start: 400, End: 500})
	} else {
		// Strained, not down: what follows of it is up to the control plane's own probes.
		statuses = append(statuses, &typev3.Int64Range{Start: http.StatusTooManyRequests, End: http.StatusTooManyRequests + 1})
	}
	return &corev3.HealthCheck{
		Timeout:            duration(hc.Timeout),
		Interval:           duration(hc.Interval),
		NoTrafficInterval:  duration(hc.Interval),
		UnhealthyThreshold: u32(2),
		HealthyThreshold:   u32(1),
		HealthChecker: &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &corev3.HealthCheck_HttpHealthCheck{
			Path:             hc.Path,
			ExpectedStatuses: statuses,
		}},
	}
}

func loadAssignment(s model.Server, service string) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: service}
	for priority, localities := range s.Priorities {
		for _, l := range localities {
			group := &endpointv3.LocalityLbEndpoints{
				// The attempt point reads there whose endpoint a try goes to, where a cluster
				// joins those of two servers.
				Locality: &corev3.Locality{Region: l.Region, SubZone: s.Name},
				Priority: uint32(priority), //nolint:gosec // at most 16 regions
			}
			for _, e := range l.Endpoints {
				group.LbEndpoints = append(group.LbEndpoints, lbEndpoint(s, l.Region, e))
			}
			out.Endpoints = append(out.Endpoints, group)
		}
	}
	weigh(out, nil)
	return out
}

// lbEndpoint names the endpoint's own host:port as its hostname, which becomes
// the Host header (auto_host_rewrite): MCP servers on loopback refuse other names.
func lbEndpoint(s model.Server, region string, e model.Endpoint) *endpointv3.LbEndpoint {
	host := net.JoinHostPort(e.Host, strconv.FormatUint(uint64(e.Port), 10))
	return &endpointv3.LbEndpoint{
		Metadata: withPlace(subsetMetadata(s, region), region, e),
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address:           socketAddress(e.Host, e.Port),
			Hostname:          host,
			HealthCheckConfig: &endpointv3.Endpoint_HealthCheckConfig{Hostname: host},
		}},
	}
}

func socketAddress(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
