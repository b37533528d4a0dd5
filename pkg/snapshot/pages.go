package snapshot

import (
	"fmt"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// pageTimeout bounds a page as a whole; it is no event stream.
const pageTimeout = 30 * time.Second

// pages takes paths that are no MCP to the route's first server as they are. No processor
// sees them, neither at the edge point nor at a try; a region that is down is passed over.
func (b *routeBuilder) pages(r model.Route) error {
	for i, page := range r.Pages {
		plain := r.Entire().OtherMethod
		action := b.action(plain)
		action.PrefixRewrite = ""
		action.Timeout = duration(pageTimeout)
		retry, err := retryPolicy(plain)
		if err != nil {
			return err
		}
		retry.PerTryTimeout = nil
		action.RetryPolicy = retry
		perFilter, err := b.unprocessed()
		if err != nil {
			return err
		}
		b.routes = append(b.routes, &routev3.Route{
			Name:                   fmt.Sprintf("%s.pages[%d]", r.Name, i),
			Match:                  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: page}},
			Action:                 &routev3.Route_Route{Route: action},
			RequestHeadersToRemove: removedUpstream(),
			TypedPerFilterConfig:   perFilter,
		})
	}
	return nil
}

// unheard turns off, for the route of requests that no processor has seen, what follows a processor's word.
func (b *routeBuilder) unheard(route *routev3.Route) error {
	route.TypedPerFilterConfig = map[string]*anypb.Any{}
	if b.sessions {
		off, err := withoutSessions()
		if err != nil {
			return err
		}
		route.TypedPerFilterConfig = off
	}
	var err error
	route.TypedPerFilterConfig[names.FilterUnseen], err = withoutUnseen()
	return err
}

// unprocessed turns off, for a route, all filters that ask a processor or follow one's word.
func (b *routeBuilder) unprocessed() (map[string]*anypb.Any, error) {
	out := map[string]*anypb.Any{}
	if b.sessions {
		off, err := withoutSessions()
		if err != nil {
			return nil, err
		}
		out = off
	}
	off, err := anyOf(&extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Disabled{Disabled: true}})
	if err != nil {
		return nil, err
	}
	out[names.FilterEdge], out[names.FilterAttempt] = off, off
	if out[names.FilterUnseen], err = withoutUnseen(); err != nil {
		return nil, err
	}
	return out, nil
}
