package snapshot

import (
	"time"

	mutationrulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlymutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// ListenerName is the one listener of a Gateway.
const ListenerName = "holdfast"

func listener(m *model.Model) (*listenerv3.Listener, error) {
	hcm, err := connectionManager(m)
	if err != nil {
		return nil, err
	}
	packed, err := anyOf(hcm)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:                          ListenerName,
		Address:                       socketAddress(m.Gateway.Host, m.Gateway.Port),
		PerConnectionBufferLimitBytes: u32(noWatermark),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
		}}}},
	}, nil
}

// connectionManager follows Envoy's edge-proxy practice; paths are normalised
// before routing, so that /mcp/../x is not taken for /mcp.
func connectionManager(m *model.Model) (*hcmv3.HttpConnectionManager, error) {
	filters, err := httpFilters(m)
	if err != nil {
		return nil, err
	}
	early, err := stripReservedHeaders()
	if err != nil {
		return nil, err
	}
	replies, err := localReplies(m.Gateway)
	if err != nil {
		return nil, err
	}
	traces, err := tracing(m.Gateway.Traces)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpConnectionManager{
		Tracing:    traces,
		StatPrefix: "holdfast",
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: adsSource(), RouteConfigName: names.RouteConfigName,
		}},
		HttpFilters:                   filters,
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{early},
		LocalReplyConfig:              replies,
		UseRemoteAddress:              boolean(true),
		NormalizePath:                 boolean(true),
		MergeSlashes:                  true,
		PathWithEscapedSlashesAction:  hcmv3.HttpConnectionManager_REJECT_REQUEST,
		// Generous for a stream without a route of its own; every real route names its idle time.
		StreamIdleTimeout:     duration(5 * time.Minute),
		RequestTimeout:        duration(30 * time.Second),
		RequestHeadersTimeout: duration(10 * time.Second),
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout:                  duration(time.Hour),
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_REJECT_REQUEST,
		},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams:        u32(1024),
			InitialStreamWindowSize:     u32(noWindow),
			InitialConnectionWindowSize: u32(noWindow),
		},
		// Shutting the server name off keeps the Server header that a client sees
		// that of the MCP server.
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
	}, nil
}

func httpFilters(m *model.Model) ([]*hcmv3.HttpFilter, error) {
	var filters []*hcmv3.HttpFilter
	if access := accessFilter(m.Gateway); access != nil {
		f, err := packFilter("envoy.filters.http.rbac", access)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	if m.Gateway.JWT != nil {
		f, err := tokenFilter(m.Gateway.JWT)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	unseen, err := unseenFilter()
	if err != nil {
		return nil, err
	}
	edge, err := edgeFilter(m.Gateway.ProcessorTimeout)
	if err != nil {
		return nil, err
	}
	router, err := packFilter("envoy.filters.http.router", &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	rerun, err := rerunFilter()
	if err != nil {
		return nil, err
	}
	filters = append(filters, unseen, edge, rerun)
	if replicated(m) {
		sessions, err := sessionFilters()
		if err != nil {
			return nil, err
		}
		filters = append(filters, sessions...)
	}
	return append(filters, router), nil
}

// stripReservedHeaders removes what only Holdfast and Envoy may say, before the
// first route is chosen; a header_mutation filter would come after that.
func stripReservedHeaders() (*corev3.TypedExtensionConfig, error) {
	cfg := &earlymutationv3.HeaderMutation{}
	for _, prefix := range []string{names.HeaderPrefix, names.EnvoyHeaderPrefix} {
		cfg.Mutations = append(cfg.Mutations, &mutationrulesv3.HeaderMutation{
			Action: &mutationrulesv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &mutationrulesv3.HeaderMutation_RemoveOnMatch{
				KeyMatcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}},
			}},
		})
	}
	packed, err := anyOf(cfg)
	if err != nil {
		return nil, err
	}
	return &corev3.TypedExtensionConfig{Name: "envoy.http.early_header_mutation.header_mutation", TypedConfig: packed}, nil
}
