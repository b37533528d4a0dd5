package snapshot

import (
	"net"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	samplersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const (
	// traceService is Envoy's service.name.
	traceService = "holdfast-envoy"
	// tracePath is where OTLP over HTTP goes (OTLP specification, section "OTLP/HTTP request").
	tracePath = "/v1/traces"
	// traceTimeout bounds one export.
	traceTimeout = 5 * time.Second
	// maxTracedSpans is how many spans Envoy keeps for a receiver that is away.
	maxTracedSpans = 2048
	// maxTracedPath bounds the path in a span; MCP's are short.
	maxTracedPath = 256
)

// tracing is Envoy's own part in the traces: a span for each request and one for each
// try. nil where there are none.
func tracing(t *model.Traces) (*hcmv3.HttpConnectionManager_Tracing, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // Envoy's word for no tracing
	}
	cfg := &tracev3.OpenTelemetryConfig{ServiceName: traceService, MaxCacheSize: u32(maxTracedSpans)}
	if t.HTTP {
		cfg.HttpService = &corev3.HttpService{HttpUri: &corev3.HttpUri{
			Uri:              "http://" + receiver(t) + tracePath,
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: names.ClusterTraces}, Timeout: duration(traceTimeout),
		}}
	} else {
		cfg.GrpcService = &corev3.GrpcService{Timeout: duration(traceTimeout), TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: names.ClusterTraces},
		}}
	}
	var err error
	if cfg.Sampler, err = sampler(t); err != nil {
		return nil, err
	}
	packed, err := anyOf(cfg)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpConnectionManager_Tracing{
		// The sampler decides.
		RandomSampling:    &typev3.Percent{Value: 100},
		OverallSampling:   &typev3.Percent{Value: 100},
		ClientSampling:    &typev3.Percent{Value: 0},
		MaxPathTagLength:  u32(maxTracedPath),
		SpawnUpstreamSpan: boolean(true),
		CustomTags:        []*tracingv3.CustomTag{placeTag(names.AttributeRegion, names.MetadataRegion), placeTag(names.AttributeEndpoint, names.MetadataEndpoint)},
		Provider: &tracev3.Tracing_Http{
			Name: "envoy.tracers.opentelemetry", ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: packed},
		},
	}, nil
}

// placeTag says in a span where its try went, also if it was over before a processor heard of it.
func placeTag(attribute, key string) *tracingv3.CustomTag {
	return &tracingv3.CustomTag{Tag: attribute, Type: &tracingv3.CustomTag_Metadata_{Metadata: &tracingv3.CustomTag_Metadata{
		Kind: &metadatav3.MetadataKind{Kind: &metadatav3.MetadataKind_Host_{Host: &metadatav3.MetadataKind_Host{}}},
		MetadataKey: &metadatav3.MetadataKey{Key: names.MetadataNamespace, Path: []*metadatav3.MetadataKey_PathSegment{
			{Segment: &metadatav3.MetadataKey_PathSegment_Key{Key: key}},
		}},
	}}}
}

// withPlace adds to an endpoint's metadata what placeTag and Overlay read.
func withPlace(m *corev3.Metadata, region string, e model.Endpoint) *corev3.Metadata {
	if m == nil {
		m = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{}}
	}
	m.FilterMetadata[names.MetadataNamespace] = &structpb.Struct{Fields: map[string]*structpb.Value{
		names.MetadataRegion: structpb.NewStringValue(region), names.MetadataEndpoint: structpb.NewStringValue(e.Name),
	}}
	return m
}

// sampler takes the caller's decision, where it is to be followed, else a share of the traces by
// their ids. Envoy's own random sampling would overrule a caller that traces.
func sampler(t *model.Traces) (*corev3.TypedExtensionConfig, error) {
	ratio, err := anyOf(&samplersv3.TraceIdRatioBasedSamplerConfig{
		SamplingPercentage: &typev3.FractionalPercent{Numerator: t.Ratio, Denominator: typev3.FractionalPercent_HUNDRED},
	})
	if err != nil {
		return nil, err
	}
	byRatio := &corev3.TypedExtensionConfig{Name: "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based", TypedConfig: ratio}
	if !t.FollowParent {
		return byRatio, nil
	}
	parent, err := anyOf(&samplersv3.ParentBasedSamplerConfig{WrappedSampler: byRatio})
	if err != nil {
		return nil, err
	}
	return &corev3.TypedExtensionConfig{Name: "envoy.tracers.opentelemetry.samplers.parent_based", TypedConfig: parent}, nil
}

func receiver(t *model.Traces) string {
	return net.JoinHostPort(t.Host, strconv.FormatUint(uint64(t.Port), 10))
}

// traceCluster is the receiver of Envoy's spans.
func traceCluster(t *model.Traces) (*clusterv3.Cluster, error) {
	protocol := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
	}
	if t.HTTP {
		protocol.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}}
	}
	options, err := anyOf(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: protocol},
	})
	if err != nil {
		return nil, err
	}
	return &clusterv3.Cluster{
		Name:                 names.ClusterTraces,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       duration(time.Second),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: names.ClusterTraces,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(t.Host, t.Port)}},
			}}}},
		},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpProtocolOptions: options},
	}, nil
}

func policyTraces(t *model.Traces) *policyv1.Traces {
	if t == nil {
		return nil
	}
	return &policyv1.Traces{Address: receiver(t), Http: t.HTTP, FollowParent: t.FollowParent, KeepFailures: t.KeepFailures}
}
