package snapshot

import (
	"fmt"
	"net/http"

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
// again: the local reply redirects the request, body and all, to itself. The same
// helps a call, whichever, whose route or cluster a change of the configuration has
// taken away, or not brought yet, between its decision and Envoy's router.

// rerunFilter stands between the edge point and the router, so that it sees the
// local reply before the edge point does. Which routes begin again is told route by route.
func rerunFilter() (*hcmv3.HttpFilter, error) {
	return packFilter(names.FilterRerun, &customresponsev3.CustomResponse{})
}

// rerunPerRoute begins a call of this route again for what was lost (names.HeaderLost).
func rerunPerRoute(path string, lost ...string) (map[string]*anypb.Any, error) {
	input, err := anyOf(&envoymatcherv3.HttpResponseHeaderMatchInput{HeaderName: names.HeaderLost})
	if err != nil {
		return nil, err
	}
	match, err := beginAgain(path)
	if err != nil {
		return nil, err
	}
	list := &matcherxdsv3.Matcher_MatcherList{}
	for _, l := range lost {
		list.Matchers = append(list.Matchers, &matcherxdsv3.Matcher_MatcherList_FieldMatcher{
			Predicate: &matcherxdsv3.Matcher_MatcherList_Predicate{MatchType: &matcherxdsv3.Matcher_MatcherList_Predicate_SinglePredicate_{
				SinglePredicate: &matcherxdsv3.Matcher_MatcherList_Predicate_SinglePredicate{
					Input: &xdscorev3.TypedExtensionConfig{Name: "lost", TypedConfig: input},
					Matcher: &matcherxdsv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &matcherxdsv3.StringMatcher{
						MatchPattern: &matcherxdsv3.StringMatcher_Exact{Exact: l},
					}},
				},
			}},
			OnMatch: match,
		})
	}
	return customResponse(path, &matcherxdsv3.Matcher{MatcherType: &matcherxdsv3.Matcher_MatcherList_{MatcherList: list}})
}

// beginAgain redirects the request, body and all, to Envoy itself.
func beginAgain(path string) (*matcherxdsv3.Matcher_OnMatch, error) {
	// The redirect makes a GET of the request and drops its length; the edge point
	// puts both back.
	action, err := anyOf(&redirectv3.RedirectPolicy{
		RedirectActionSpecifier: &redirectv3.RedirectPolicy_RedirectAction{RedirectAction: &routev3.RedirectAction{
			PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: names.PathRerun + path},
		}},
		RequestHeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: names.HeaderRerun, Value: "%REQ(content-length)%"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	})
	if err != nil {
		return nil, err
	}
	return &matcherxdsv3.Matcher_OnMatch{OnMatch: &matcherxdsv3.Matcher_OnMatch_Action{
		Action: &xdscorev3.TypedExtensionConfig{Name: "rerun", TypedConfig: action},
	}}, nil
}

func customResponse(path string, matcher *matcherxdsv3.Matcher) (map[string]*anypb.Any, error) {
	out, err := anyOf(&customresponsev3.CustomResponse{CustomResponseMatcher: matcher})
	if err != nil {
		return nil, fmt.Errorf("route %s: %w", path, err)
	}
	return map[string]*anypb.Any{names.FilterRerun: out}, nil
}

// unknownStamp takes the calls of a path whose stamp no other route has, and begins
// them again. Envoy keeps to the route table that was there when a request began; a
// processor may have decided on it by policies that are newer, or older, than that.
// No server has been asked, so any call may begin again. Once: see rerunRoute.
func unknownStamp(path string) (*routev3.Route, error) {
	again, err := beginAgain(path)
	if err != nil {
		return nil, err
	}
	route := fallback()
	route.Name = "holdfast.unknown"
	route.Match = &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_Path{Path: path},
		Headers: []*routev3.HeaderMatcher{
			{Name: names.HeaderRoute, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}},
			{Name: names.HeaderRerun, InvertMatch: true, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}},
			{Name: ":method", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &envoymatcherv3.StringMatcher{
				MatchPattern: &envoymatcherv3.StringMatcher_Exact{Exact: http.MethodPost},
			}}},
		},
	}
	route.TypedPerFilterConfig, err = customResponse(path, &matcherxdsv3.Matcher{OnNoMatch: again})
	return route, err
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
