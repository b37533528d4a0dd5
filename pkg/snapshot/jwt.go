package snapshot

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const (
	// jwtProvider names the one issuer of a Gateway.
	jwtProvider = "issuer"
	// jwtSkew is by how much clocks may differ.
	jwtSkew = time.Minute
	// keysTimeout bounds one fetch of keys, keysAge how long they are used.
	keysTimeout = 5 * time.Second
	keysAge     = 5 * time.Minute
	// keysRetry is how soon keys that could not be got are asked for again.
	keysRetry = time.Second
)

// tokenFilter checks tokens and leaves their subject in a header, which clients cannot
// send (stripReservedHeaders). It stands before the edge point.
func tokenFilter(j *model.JWT) (*hcmv3.HttpFilter, error) {
	provider := &jwtv3.JwtProvider{
		Issuer: j.Issuer, Audiences: j.Audiences, Forward: j.Forward, ClockSkewSeconds: uint32(jwtSkew / time.Second),
		// Without it a token in the query would be taken too, where logs keep it.
		FromHeaders:    []*jwtv3.JwtHeader{{Name: "Authorization", ValuePrefix: "Bearer "}},
		ClaimToHeaders: []*jwtv3.JwtClaimToHeader{{HeaderName: names.HeaderSubject, ClaimName: "sub"}},
	}
	switch {
	case j.URL != nil:
		provider.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: &jwtv3.RemoteJwks{
			HttpUri: &corev3.HttpUri{
				Uri: j.URL.URL, HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: names.ClusterKeys}, Timeout: duration(keysTimeout),
			},
			CacheDuration: duration(keysAge),
			// The listener does not wait for an issuer that is away.
			AsyncFetch: &jwtv3.JwksAsyncFetch{FastListener: true, FailedRefetchDuration: duration(keysRetry)},
		}}
	case j.File != "":
		provider.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{
			Specifier: &corev3.DataSource_Filename{Filename: j.File},
		}}
	default:
		provider.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: j.Inline},
		}}
	}
	all := &routev3.RouteMatch_Prefix{Prefix: "/"}
	return packFilter("envoy.filters.http.jwt_authn", &jwtv3.JwtAuthentication{
		Providers: map[string]*jwtv3.JwtProvider{jwtProvider: provider},
		Rules: []*jwtv3.RequirementRule{
			// What Envoy begins again was checked the first time, and may have no token any more.
			{Match: &routev3.RouteMatch{PathSpecifier: all, Headers: []*routev3.HeaderMatcher{{
				Name: names.HeaderRerun, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
			}}}},
			{Match: &routev3.RouteMatch{PathSpecifier: all}, RequirementType: &jwtv3.RequirementRule_Requires{Requires: requirement(j)}},
		},
	})
}

func requirement(j *model.JWT) *jwtv3.JwtRequirement {
	good := &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: jwtProvider}}
	if !j.AllowMissing {
		return good
	}
	missing := &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}}
	return &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAny{
		RequiresAny: &jwtv3.JwtRequirementOrList{Requirements: []*jwtv3.JwtRequirement{good, missing}},
	}}
}

// keysCluster is where keys are got.
func keysCluster(u *model.KeyURL) (*clusterv3.Cluster, error) {
	c := &clusterv3.Cluster{
		Name:                 names.ClusterKeys,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_LOGICAL_DNS},
		ConnectTimeout:       duration(keysTimeout),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: names.ClusterKeys,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(u.Host, u.Port)}},
			}}}},
		},
	}
	if u.CA == "" {
		return c, nil
	}
	var err error
	c.TransportSocket, err = tlsSocket(model.TLS{CA: u.CA, ServerName: u.Host})
	return c, err
}
