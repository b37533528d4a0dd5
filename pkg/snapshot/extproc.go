package snapshot

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutationrulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Envoy 1.40.0 crashes when a buffer fills up while the attempt point still holds
// the body of an answer whose server has already finished: the pause is passed on
// to a stream that is gone. So no buffer on the way of an answer may ever fill up:
// that of the processors' connections, that of the listener, and the windows of
// HTTP/2 on both. What bounds memory instead: request bodies announce their length
// and are refused by it (decide), and the overload manager stops taking requests.
const (
	noWatermark = 1 << 30
	noWindow    = 1<<31 - 1
)

// maxMessageTimeout is how far a processor may put the Gateway's processorTimeout off for one message; no less than the longest of those.
const maxMessageTimeout = 10 * time.Second

// maxQueueWait is the longest that a call may wait for its turn (config.Concurrency), and waitGrace what the
// processor asks for on top of that.
const (
	maxQueueWait = 30 * time.Second
	waitGrace    = 500 * time.Millisecond
)

// edgeFilter is the downstream attachment point. failure_mode_allow is safe: a
// request that no processor stamped matches no route that reaches a server.
func edgeFilter(processorTimeout time.Duration) (*hcmv3.HttpFilter, error) {
	return extprocFilter(names.FilterEdge, &extprocv3.ExternalProcessor{
		GrpcService:      grpcService(names.PointEdge),
		FailureModeAllow: true,
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode: extprocv3.ProcessingMode_SEND,
			RequestBodyMode:   extprocv3.ProcessingMode_BUFFERED,
			// The processor turns response headers on for requests it has accepted.
			// A static SEND would swallow the replies that Envoy gives before the
			// processor has seen the request.
			ResponseHeaderMode:  extprocv3.ProcessingMode_SKIP,
			RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
			ResponseTrailerMode: extprocv3.ProcessingMode_SKIP,
		},
		AllowModeOverride: true,
		ResponseAttributes: []string{
			"upstream.address", "response.flags", "response.code_details", "upstream.request_attempt_count",
		},
		MetadataOptions: &extprocv3.MetadataOptions{ReceivingNamespaces: edgeNamespaces()},
		MessageTimeout:  duration(processorTimeout),
		// A call that waits for its turn asks for the time that this takes.
		MaxMessageTimeout: duration(maxQueueWait + waitGrace),
		MutationRules:     &mutationrulesv3.HeaderMutationRules{DisallowSystem: boolean(false), AllowAllRouting: boolean(true)},
	})
}

// attemptFilter is the attachment point in the cluster's upstream filter chain,
// run once a try.
func attemptFilter(processorTimeout time.Duration) (*hcmv3.HttpFilter, error) {
	return extprocFilter(names.FilterAttempt, &extprocv3.ExternalProcessor{
		GrpcService:      grpcService(names.PointAttempt),
		FailureModeAllow: true,
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
			RequestBodyMode:     extprocv3.ProcessingMode_NONE,
			RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
			ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
			ResponseBodyMode:    extprocv3.ProcessingMode_FULL_DUPLEX_STREAMED,
			ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
		},
		RequestAttributes: []string{
			"upstream.address", "upstream.locality", "upstream.request_attempt_count",
			names.AttributeCall, names.AttributeFailed,
		},
		// A try that fails leaves word for the next one.
		MetadataOptions: &extprocv3.MetadataOptions{ReceivingNamespaces: callNamespace()},
		MessageTimeout:  duration(processorTimeout),
		// What the attempt point may ask for while it opens a session again.
		MaxMessageTimeout: duration(maxMessageTimeout),
		// The verdict travels in :status; x-envoy-* of a server is taken off.
		MutationRules: &mutationrulesv3.HeaderMutationRules{DisallowSystem: boolean(false), AllowAllRouting: boolean(true), AllowEnvoy: boolean(true)},
		// Unchanged JSON answers keep their content-length and are not chunked.
		AllowContentLengthHeader: true,
	})
}

// callNamespace is where the edge point leaves what the tries of a call have to know.
func callNamespace() *extprocv3.MetadataOptions_MetadataNamespaces {
	return &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{names.MetadataNamespace}}
}

// attemptHeadersOnly turns the attempt point's body processing off for a route: GET streams.
func attemptHeadersOnly() (map[string]*anypb.Any, error) {
	perRoute, err := anyOf(&extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{
		Overrides: &extprocv3.ExtProcOverrides{ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
			RequestBodyMode:     extprocv3.ProcessingMode_NONE,
			RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
			ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
			ResponseBodyMode:    extprocv3.ProcessingMode_NONE,
			ResponseTrailerMode: extprocv3.ProcessingMode_SKIP,
		}},
	}})
	if err != nil {
		return nil, err
	}
	return map[string]*anypb.Any{names.FilterAttempt: perRoute}, nil
}

func extprocFilter(name string, cfg *extprocv3.ExternalProcessor) (*hcmv3.HttpFilter, error) {
	packed, err := anyOf(cfg)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, nil
}

func grpcService(point string) *corev3.GrpcService {
	return &corev3.GrpcService{
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
			ClusterName: names.ClusterExtproc,
		}},
		InitialMetadata: []*corev3.HeaderValue{{Key: names.PointKey, Value: point}},
		// With a policy here Envoy keeps what it has said until the first reply, which a stream
		// that is opened again needs. It would also compile the policy anew for each stream, so this one is
		// the shortest there is; the cluster's takes its place (processorRetries).
		RetryPolicy: &corev3.RetryPolicy{RetryOn: "reset"},
	}
}

// processorRetries open a stream that could not be opened, or was lost before the first
// reply, at the other processor: nothing was done with what it said.
func processorRetries() (*routev3.RetryPolicy, error) {
	hosts, err := anyOf(&previoushostsv3.PreviousHostsPredicate{})
	if err != nil {
		return nil, err
	}
	return &routev3.RetryPolicy{
		RetryOn:    "connect-failure,refused-stream,reset-before-request,reset,unavailable",
		NumRetries: u32(3),
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: hosts},
		}},
		// The dead processor has the fewest requests, so the balancer draws it three
		// times of four: after five draws still in every sixth case.
		HostSelectionRetryMaxAttempts: 30,
		RetryBackOff:                  &routev3.RetryPolicy_RetryBackOff{BaseInterval: duration(5 * time.Millisecond), MaxInterval: duration(50 * time.Millisecond)},
	}, nil
}

// extprocCluster holds the processors. One failure ejects one: the other takes
// over, and the health check brings it back.
func extprocCluster(g model.Gateway) (*clusterv3.Cluster, error) {
	retries, err := processorRetries()
	if err != nil {
		return nil, err
	}
	options, err := anyOf(&httpv3.HttpProtocolOptions{
		RetryPolicy: retries,
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
						InitialStreamWindowSize: u32(noWindow), InitialConnectionWindowSize: u32(noWindow),
						ConnectionKeepalive: &corev3.KeepaliveSettings{Interval: duration(10 * time.Second), Timeout: duration(2 * time.Second)},
					},
				},
			},
		},
	})
	if err != nil {
		return nil, err
	}
	group := &endpointv3.LocalityLbEndpoints{}
	for _, p := range g.Processors {
		address, err := processorAddress(p)
		if err != nil {
			return nil, err
		}
		group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
		})
	}
	return &clusterv3.Cluster{
		Name:                 names.ClusterExtproc,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       duration(250 * time.Millisecond),
		LbPolicy:             clusterv3.Cluster_LEAST_REQUEST,
		// As in serverCluster.
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{UpdateMergeWindow: duration(0)},

		PerConnectionBufferLimitBytes: u32(noWatermark),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: names.ClusterExtproc, Endpoints: []*endpointv3.LocalityLbEndpoints{group},
		},
		// Every open stream of a client holds one or two requests here for as long as it lives.
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections: u32(1 << 20), MaxPendingRequests: u32(1 << 20), MaxRequests: u32(1 << 20), MaxRetries: u32(1 << 20),
		}}},
		HealthChecks: []*corev3.HealthCheck{{
			Timeout: duration(500 * time.Millisecond), Interval: duration(500 * time.Millisecond),
			NoTrafficInterval:  duration(500 * time.Millisecond),
			UnhealthyThreshold: u32(2), HealthyThreshold: u32(1),
			HealthChecker: &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{}},
		}},
		OutlierDetection: &clusterv3.OutlierDetection{
			Interval:                               duration(time.Second),
			BaseEjectionTime:                       duration(30 * time.Second),
			MaxEjectionPercent:                     u32(50),
			SplitExternalLocalOriginErrors:         true,
			ConsecutiveLocalOriginFailure:          u32(1),
			EnforcingConsecutiveLocalOriginFailure: u32(100),
			// A processor that answers its health check again is used again.
			SuccessfulActiveHealthCheckUnejectHost: boolean(true),
		},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpProtocolOptions: options},
	}, nil
}

func processorAddress(p string) (*corev3.Address, error) {
	if path, ok := strings.CutPrefix(p, "unix://"); ok {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}, nil
	}
	host, port, err := net.SplitHostPort(p)
	if err != nil {
		return nil, fmt.Errorf("processor %q is neither unix:///path nor host:port: %w", p, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of processor %q: %w", p, err)
	}
	return socketAddress(host, uint32(n)), nil
}

// edgeNamespaces are what the edge point may write: the call for its tries, and the
// subset of endpoints that Envoy's load balancer may use.
func edgeNamespaces() *extprocv3.MetadataOptions_MetadataNamespaces {
	return &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{names.MetadataNamespace, names.LBNamespace}}
}
