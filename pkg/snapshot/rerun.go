package snapshot

import (
	"fmt"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	matcherxdsv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	customresponsev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/custom_response/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	redirectv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/custom_response/redirect_policy/v3"
	envoymatcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// A processor that is lost while it holds an answer of which it has seen body
// ends the call in Envoy: the bytes are gone with it, and Envoy answers at once,
// past its own retries. For a call that may run twice Envoy is told to begin
// again: the local reply redirects the request, body and all, to itself.

// rerunFilter stands between the edge point and the router, so that it sees the
// local reply before the edge point does. Which routes begin again is told route by route.
func rerunFilter() (*hcmv3.HttpFilter, error) {
	return packFilter(names.FilterRerun, &customresponsev3.CustomResponse{})
}

// rerunPerRoute begins a call of this route again when its answer was lost with a processor.
func rerunPerRoute(path string) (map[string]*anypb.Any, error) {
	input, err := anyOf(&envoymatcherv3.HttpResponseHeaderMatchInput{HeaderName: names.HeaderProcessor})
	if err != nil {
		return nil, err
	}
	// The redirect makes a GET of the request and drops its length; the edge point
	// puts both back.
	add := func(name, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: name, Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	action, err := anyOf(&redirectv3.RedirectPolicy{
		RedirectActionSpecifier: &redirectv3.RedirectPolicy_RedirectAction{RedirectAction: &routev3.RedirectAction{
			PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: names.PathRerun + path},
		}},
		RequestHeadersToAdd: []*corev3.HeaderValueOption{
			add(names.HeaderRerun, "%REQ(content-length)%"),
		},
	})
	if err != nil {
		return nil, err
	}
	out, err := anyOf(&customresponsev3.CustomResponse{CustomResponseMatcher: &matcherxdsv3.Matcher{
		MatcherType: &matcherxdsv3.Matcher_MatcherList_{MatcherList: &matcherxdsv3.Matcher_MatcherList{
			Matchers: []*matcherxdsv3.Matcher_MatcherList_FieldMatcher{{
				Predicate: &matcherxdsv3.Matcher_MatcherList_Predicate{MatchType: &matcherxdsv3.Matcher_MatcherList_Predicate_SinglePredicate_{
					SinglePredicate: &matcherxdsv3.Matcher_MatcherList_Predicate_SinglePredicate{
						Input: &xdscorev3.TypedExtensionConfig{Name: "processor", TypedConfig: input},
						Matcher: &matcherxdsv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &matcherxdsv3.StringMatcher{
							MatchPattern: &matcherxdsv3.StringMatcher_Exact{Exact: names.ProcessorLost},
						}},
					},
				}},
				OnMatch: &matcherxdsv3.Matcher_OnMatch{OnMatch: &matcherxdsv3.Matcher_OnMatch_Action{
					Action: &xdscorev3.TypedExtensionConfig{Name: "rerun", TypedConfig: action},
				}},
			}},
		}},
	}})
	if err != nil {
		return nil, fmt.Errorf("route %s: %w", path, err)
	}
	return map[string]*anypb.Any{names.FilterRerun: out}, nil
}

// rerunRoute is where a request that begins again arrives, until the edge point has
// chosen its route anew. It takes rerunFilter out of the chain: that would give
// every answer of the second time the status of the lost one. So nothing begins a
// third time either.
func rerunRoute() (*routev3.Route, error) {
	off, err := anyOf(&routev3.FilterConfig{Disabled: true})
	if err != nil {
		return nil, err
	}
	route := fallback()
	route.Name = "holdfast.rerun"
	route.Match = &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: names.PathRerun}}
	route.TypedPerFilterConfig = map[string]*anypb.Any{names.FilterRerun: off}
	return route, nil
}
