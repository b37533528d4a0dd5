package snapshot

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Retry conditions. A safe call is tried again on everything that went wrong; any
// other only where the server provably never saw it: plain "reset" means "before
// response bytes" and would run a call twice.
const (
	retryOnSafe   = "5xx,gateway-error,connect-failure,refused-stream,reset,reset-before-request,retriable-status-codes"
	retryOnUnsafe = "connect-failure,refused-stream,reset-before-request"
)

const (
	// tryGrace is added to the per-try timeout that Envoy enforces, so that the
	// attempt point's own timer, which knows whose fault silence is, fires first.
	tryGrace = 25 * time.Millisecond
	// maxRetryAfter is the longest wait before a retry; the attempt point asks for none that
	// the call has no time for.
	maxRetryAfter = time.Hour
	// minIdle is the least bound of Envoy's own on silence, also while a request is held.
	minIdle = 5 * time.Minute
	// idleGrace is added to it, so that the attempt point's timers, which end an answer in
	// whole events, fire first.
	idleGrace = time.Minute
)

// FallbackRouteName names the last route: a direct 503 for everything unstamped.
const FallbackRouteName = "holdfast.unstamped"

// routeConfiguration has one Envoy route for each action of each MCPRoute. Every
// route that reaches a cluster requires the edge point's stamp (or is the pass
// route or a page that an operator asked for); the last one refuses.
func routeConfiguration(m *model.Model) (*routev3.RouteConfiguration, error) {
	b := routeBuilder{paths: map[string]string{}, sessions: replicated(m)}
	for _, s := range m.Servers {
		b.paths[s.Name] = s.Path
	}
	for _, r := range m.Routes {
		if err := b.add(r); err != nil {
			return nil, err
		}
	}
	for _, r := range m.Routes {
		if r.PassOnProcessorFailure {
			pass := b.pass(r)
			if err := b.unheard(pass); err != nil {
				return nil, err
			}
			b.routes = append(b.routes, pass)
		}
	}
	for _, r := range m.Routes {
		if err := b.pages(r); err != nil {
			return nil, err
		}
	}
	again, err := rerunRoute()
	if err != nil {
		return nil, err
	}
	b.routes = append(b.routes, again, fallback())
	return &routev3.RouteConfiguration{
		Name: names.RouteConfigName,
		VirtualHosts: []*routev3.VirtualHost{{
			Name: "holdfast", Domains: []string{"*"}, Routes: b.routes,
			// Tells the attempt point which try it is looking at, and the caller how many there were.
			IncludeRequestAttemptCount: false,
		}},
		// A route may come before its cluster only by a mistake of ours; Envoy says so.
		ValidateClusters: boolean(true),
	}, nil
}

type routeBuilder struct {
	paths  map[string]string
	routes []*routev3.Route
	// sessions: the listener has the filters that follow sessions.
	sessions bool
}

// Actions of a route in the order in which their Envoy routes stand, without repetition.
func actions(r model.Route) []model.Action {
	all := allActions(r)
	if r.Next != nil {
		all = append(all, allActions(*r.Next)...)
	}
	seen := make(map[string]bool, len(all))
	out := make([]model.Action, 0, len(all))
	for _, a := range all {
		if seen[a.Stamp] {
			continue
		}
		seen[a.Stamp] = true
		out = append(out, a)
		if twin, ok := a.Twin(); ok {
			out = append(out, twin)
		}
	}
	return out
}

func allActions(r model.Route) []model.Action {
	all := make([]model.Action, 0, 6+2*len(r.Rules)+2*len(r.Methods))
	for _, rule := range r.Rules {
		all = append(all, rule.Action, rule.Once)
		if f := rule.Fallback; f != nil {
			all = append(all, f.Action, f.Once, f.Direct, f.DirectOnce)
		}
	}
	for _, rule := range r.Methods {
		all = append(all, rule.Safe, rule.Once)
	}
	return append(all, r.UnmatchedTool, r.SafeMethod, r.SafeMethodOnce, r.OtherMethod, r.Stream, r.ListenTasks, r.Delete)
}

func (b *routeBuilder) add(r model.Route) error {
	for _, a := range actions(r) {
		route := &routev3.Route{
			Name:                   a.Stamp,
			Match:                  stamped(r.Path, a.Stamp),
			Action:                 &routev3.Route_Route{Route: b.action(a)},
			RequestHeadersToRemove: removedUpstream(),
		}
		if a.Class == model.Stream {
			perFilter, err := attemptHeadersOnly()
			if err != nil {
				return err
			}
			route.TypedPerFilterConfig = perFilter
		}
		if !a.Class.Streams() || a.Reopen {
			retry, err := retryPolicy(a)
			if err != nil {
				return err
			}
			route.GetRoute().RetryPolicy = retry
			lost := []string{names.LostCluster}
			if a.Class == model.Safe {
				lost = append(lost, names.LostProcessor)
			}
			if !a.Class.Streams() {
				if route.TypedPerFilterConfig, err = rerunPerRoute(r.Path, lost...); err != nil {
					return err
				}
			}
		}
		b.routes = append(b.routes, route)
	}
	unknown, err := unknownStamp(r.Path)
	if err != nil {
		return err
	}
	b.routes = append(b.routes, unknown)
	return nil
}

// removedUpstream are client headers that a server must not see: it would
// compress bodies that have to be read, or compare an Origin that was checked
// here with a Host that was rewritten.
func removedUpstream() []string {
	return []string{"accept-encoding", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", names.HeaderRoute, names.HeaderEndpointOnly, names.HeaderEndpointFirst, names.HeaderSessionToken}
}

func (b *routeBuilder) action(a model.Action) *routev3.RouteAction {
	out := &routev3.RouteAction{
		ClusterSpecifier:     &routev3.RouteAction_Cluster{Cluster: clusterOf(a)},
		PrefixRewrite:        b.paths[a.Server],
		HostRewriteSpecifier: &routev3.RouteAction_AutoHostRewrite{AutoHostRewrite: boolean(true)},
		// Envoy's route timeout covers the whole answer and cuts streams in
		// mid-event; tries are bounded one by one instead.
		Timeout: duration(0),
	}
	switch a.Class {
	case model.Stream, model.Listen:
		out.IdleTimeout = duration(0)
	case model.Safe, model.Unsafe:
		out.IdleTimeout = duration(max(minIdle, a.Timeout, a.IdleTimeout) + idleGrace)
	}
	return out
}

func retryPolicy(a model.Action) (*routev3.RetryPolicy, error) {
	priorities, err := anyOf(&previousprioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: int32(max(a.Spread, 1))}) //nolint:gosec // at most 16
	if err != nil {
		return nil, err
	}
	hosts, err := anyOf(&previoushostsv3.PreviousHostsPredicate{})
	if err != nil {
		return nil, err
	}
	out := &routev3.RetryPolicy{
		RetryOn:       retryOnUnsafe,
		NumRetries:    u32(uint32(a.Attempts - 1)), //nolint:gosec // 1 to 10
		PerTryTimeout: duration(a.PerTryTimeout + tryGrace),
		RetryPriority: &routev3.RetryPolicy_RetryPriority{
			Name:       "envoy.retry_priorities.previous_priorities",
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{TypedConfig: priorities},
		},
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: hosts},
		}},
		HostSelectionRetryMaxAttempts: 5,
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: duration(a.BackOff.Base), MaxInterval: duration(a.BackOff.Max),
		},
	}
	if a.Reopen {
		reopen(a, out)
	}
	if a.Class == model.Safe {
		out.RateLimitedRetryBackOff = &routev3.RetryPolicy_RateLimitedRetryBackOff{
			ResetHeaders: []*routev3.RetryPolicy_ResetHeader{{Name: names.HeaderRetryAfter, Format: routev3.RetryPolicy_SECONDS}},
			MaxInterval:  duration(maxRetryAfter),
		}
		out.RetryOn = retryOnSafe
		out.RetriableStatusCodes = []uint32{names.StatusToolFailed, names.StatusBusy}
	}
	return out, nil
}

// stamped matches the exact path with the exact stamp.
func stamped(path, stamp string) *routev3.RouteMatch {
	return &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_Path{Path: path},
		Headers: []*routev3.HeaderMatcher{{
			Name: names.HeaderRoute,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: stamp},
			}},
		}},
	}
}

// pass takes requests that no processor has seen to the route's first server, as
// calls that may not run twice.
func (b *routeBuilder) pass(r model.Route) *routev3.Route {
	action := b.action(r.Entire().OtherMethod)
	action.IdleTimeout = duration(0)
	return &routev3.Route{
		Name: r.Name + ".pass",
		Match: &routev3.RouteMatch{
			PathSpecifier: &routev3.RouteMatch_Path{Path: r.Path},
			Headers: []*routev3.HeaderMatcher{{
				Name: names.HeaderRoute, InvertMatch: true,
				HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
			}},
		},
		Action:                 &routev3.Route_Route{Route: action},
		RequestHeadersToRemove: removedUpstream(),
	}
}

func fallback() *routev3.Route {
	return &routev3.Route{
		Name:  FallbackRouteName,
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 503,
			Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "service unavailable"}},
		}},
	}
}
