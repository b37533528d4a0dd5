package model

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// Options are what the configuration does not say: where this build is for and
// what the command line changed.
type Options struct {
	// Region of the Envoys, for failover mode "nearest"; may be empty.
	Region string
	// Processors are used where the Gateway names none.
	Processors []string
	// Traces is the OTLP receiver (gRPC, host:port) of a Gateway that names none; empty: no traces.
	Traces string
	// Remap replaces host:port addresses, of the listener, of endpoints and of the receiver of traces, for
	// runs on a machine where a configured port is taken.
	Remap map[string]string
}

// Build resolves cfg for one region. cfg must come from pkg/config without an
// error; what can still fail is said with the resource's name. Build is pure and
// safe for concurrent use.
func Build(cfg *config.Config, opts Options) (*Model, error) {
	b := builder{opts: opts, paths: map[string]string{}, servers: map[string]Server{}, reopens: map[string]bool{}, gatewayLimits: cfg.Gateway.Spec.RateLimits}
	m := &Model{Region: opts.Region}
	m.Gateway = b.gateway(cfg.Gateway)
	for _, s := range cfg.Servers {
		resolved := b.server(s)
		m.Servers = append(m.Servers, resolved)
		b.servers[s.Metadata.Name] = resolved
		b.paths[s.Metadata.Name] = s.Spec.Path
		b.reopens[s.Metadata.Name] = s.Spec.Sessions == config.SessionsReinitialize
	}
	next := successors(cfg.Servers)
	for _, r := range cfg.Routes {
		m.Routes = append(m.Routes, b.succeeded(r, next))
	}
	slices.SortFunc(m.Servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(m.Routes, func(a, b Route) int { return strings.Compare(a.Path, b.Path) })
	return m, errors.Join(b.errs...)
}

type builder struct {
	opts    Options
	servers map[string]Server
	// paths of servers by name, part of what a stamp stands for.
	paths map[string]string
	// reopens says which servers' sessions are opened again where they are lost.
	reopens map[string]bool
	// gatewayLimits are those of every route.
	gatewayLimits []config.RateLimit
	errs          []error
}

func (b *builder) address(owner, address string) (string, uint32) {
	if to, ok := b.opts.Remap[address]; ok {
		address = to
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("%s: address %q: %w", owner, address, err))
		return "", 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("%s: port of %q: %w", owner, address, err))
		return "", 0
	}
	return host, uint32(n)
}

func (b *builder) gateway(g config.Gateway) Gateway {
	host, port := b.address("Gateway "+g.Metadata.Name, g.Spec.Address)
	out := Gateway{
		Host: host, Port: port,
		MaxBodyBytes:     uint32(g.Spec.MaxBodyBytes), //nolint:gosec // validated: at most 4 MiB
		Processors:       g.Spec.Processors,
		ProcessorTimeout: time.Duration(g.Spec.ProcessorTimeout),
		Callers:          callers(g.Spec),
	}
	out.Traces = b.traces(g)
	out.JWT = b.jwt(g)
	if len(out.Processors) == 0 {
		out.Processors = b.opts.Processors
	}
	if len(out.Processors) == 0 {
		b.errs = append(b.errs, fmt.Errorf(
			"gateway %q: no processors: neither spec.processors nor the control plane's --processors names one", g.Metadata.Name))
	}
	if !slices.Contains(g.Spec.AllowedHosts, "*") {
		out.AllowedHosts = g.Spec.AllowedHosts
	}
	if !slices.Contains(g.Spec.AllowedOrigins, "*") {
		out.AllowedOrigins = make([]Origin, 0, len(g.Spec.AllowedOrigins))
		for _, o := range g.Spec.AllowedOrigins {
			out.AllowedOrigins = append(out.AllowedOrigins, splitOrigin(o))
		}
	}
	return out
}

// splitOrigin takes apart a validated scheme://host[:port]; an IPv6 host keeps its brackets.
func splitOrigin(origin string) Origin {
	scheme, rest, _ := strings.Cut(origin, "://")
	colon := strings.LastIndexByte(rest, ':')
	if colon > strings.LastIndexByte(rest, ']') {
		return Origin{Scheme: scheme, Host: rest[:colon], Port: rest[colon+1:]}
	}
	return Origin{Scheme: scheme, Host: rest}
}

func (b *builder) server(s config.MCPServer) Server {
	out := Server{
		Name: s.Metadata.Name, Path: s.Spec.Path,
		ConnectTimeout: time.Duration(s.Spec.ConnectTimeout),
		Outlier:        outlier(s.Spec.Outlier),
		RetryBudget: RetryBudget{
			Percent: uint32(*s.Spec.RetryBudget.Ratio), //nolint:gosec // 0 to 100
			Floor:   uint32(*s.Spec.RetryBudget.Floor), //nolint:gosec // 0 to 100000
		},
		Sessions: Sessions{
			MaxAge:       time.Duration(s.Spec.SessionMaxAge),
			Reinitialize: s.Spec.Sessions == config.SessionsReinitialize,
		},
	}
	if s.Spec.SessionPrincipal != config.SessionUnbound {
		out.Sessions.PrincipalHeader = s.Spec.SessionPrincipal
	}
	out.Concurrency = concurrency(s.Spec.Concurrency)
	out.Breaker = breaker(s.Spec.Breaker)
	out.VerifiesHeaders = s.Spec.VerifiesHeaders
	out.TLS = upstreamTLS(s.Spec.TLS)
	out.Residency = s.Spec.Residency
	localities := b.localities(s)
	for _, l := range localities {
		out.Regions = append(out.Regions, l.Region)
	}
	out.Failover = failover(s.Spec.Failover.Mode)
	out.Priorities = priorities(s.Spec.Failover.Mode, localities, b.opts.Region)
	if hc := s.Spec.HealthCheck; !hc.Disabled {
		out.HealthCheck = &HealthCheck{
			Path: hc.Path, Interval: time.Duration(hc.Interval), Timeout: time.Duration(hc.Timeout),
			AcceptMissing: hc.Path == config.DefaultHealthPath,
		}
	}
	return out
}

func (b *builder) localities(s config.MCPServer) []Locality {
	out := make([]Locality, 0, len(s.Spec.Regions))
	for _, r := range s.Spec.Resident() {
		l := Locality{Region: r.Name}
		for _, e := range r.Endpoints {
			host, port := b.address(fmt.Sprintf("MCPServer %s, endpoint %s", s.Metadata.Name, e.Name), e.Address)
			l.Endpoints = append(l.Endpoints, Endpoint{Name: e.Name, Host: host, Port: port})
		}
		out = append(out, l)
	}
	return out
}

func concurrency(c *config.Concurrency) *Concurrency {
	if c == nil {
		return nil
	}
	return &Concurrency{Limit: c.Limit, Queue: c.Queue, MaxWait: time.Duration(c.MaxWait)}
}

func failover(mode config.FailoverMode) Failover {
	switch mode {
	case config.Nearest:
		return Nearest
	case config.ActiveActive:
		return Shared
	default:
		return InOrder
	}
}

func priorities(mode config.FailoverMode, localities []Locality, region string) [][]Locality {
	if mode == config.ActiveActive {
		return [][]Locality{localities}
	}
	ordered := slices.Clone(localities)
	if mode == config.Nearest {
		slices.SortStableFunc(ordered, func(a, b Locality) int {
			return boolToInt(a.Region != region) - boolToInt(b.Region != region)
		})
	}
	out := make([][]Locality, 0, len(ordered))
	for _, l := range ordered {
		out = append(out, []Locality{l})
	}
	return out
}

func boolToInt(v bool) int {
	if v {
		return 1
	}
	return 0
}

func (b *builder) route(r config.MCPRoute) Route {
	spec := r.Spec
	first := spec.Servers[0].Name
	usual := limits{timeout: spec.Timeout, idle: spec.IdleTimeout, retry: spec.Retry}
	action := func(class Class) Action { return b.action(r.Metadata.Name, first, class, usual) }
	out := Route{
		Name: r.Metadata.Name, Path: spec.Path, Pages: spec.Pages,
		UnmatchedTool: action(Unsafe), SafeMethod: action(Safe), SafeMethodOnce: action(Unsafe),
		OtherMethod: action(Unsafe), Stream: action(Stream), ListenTasks: action(Listen), Delete: action(Unsafe),
		ErrorsHTTP:             spec.Errors == config.ErrorsHTTP,
		StampVia:               spec.Stamp == config.On,
		StaleListMaxAge:        time.Duration(*spec.Degrade.StaleLists.MaxAge),
		PassOnProcessorFailure: spec.OnProcessorFailure == config.Pass,
	}
	for _, s := range spec.Servers {
		out.Servers = append(out.Servers, s.Name)
	}
	out.RateLimits = append(rateLimits("gateway", "Gateway ", b.gatewayLimits), rateLimits("route "+out.Name, out.Name+" ", spec.RateLimits)...)
	out.DiscoverLimit = discoverLimit(out.Name, spec.DiscoverLimit)
	for i, m := range spec.Methods {
		own := limits{timeout: m.Timeout, idle: m.IdleTimeout, retry: m.Retry}
		out.Methods = append(out.Methods, MethodRule{
			ID: fmt.Sprintf("methods[%d]", i), Glob: m.Match.Name,
			Safe: b.action(r.Metadata.Name, first, Safe, own), Once: b.action(r.Metadata.Name, first, Unsafe, own),
		})
	}
	for i, t := range spec.Tools {
		out.Rules = append(out.Rules, b.rule(r.Metadata.Name, first, i, t))
	}
	return out
}

func (b *builder) rule(route, server string, index int, t config.ToolRule) Rule {
	if t.To != nil {
		server = t.To.Server
	}
	class := Unsafe
	if t.Safe {
		class = Safe
	}
	own := limits{timeout: t.Timeout, idle: t.IdleTimeout, retry: t.Retry}
	out := Rule{
		ID: fmt.Sprintf("tools[%d]", index), Glob: t.Match.Name, Regex: t.Match.Regex,
		Action: b.action(route, server, class, own),
		Once:   b.action(route, server, Unsafe, own),
	}
	out.Fallback = b.fallback(route, t, out)
	out.Cached, out.Static = cachedResult(t.Degrade.CachedResult), staticAnswer(t.Degrade.StaticAnswer)
	out.Concurrency, out.Priority, out.Cost = concurrency(t.Concurrency), *t.Priority, t.Cost
	out.FailWhen, out.OkWhen = answerMatches(t.FailWhen), answerMatches(t.OkWhen)
	for _, a := range t.Match.Arguments {
		m := ArgumentMatch{Pointer: a.Pointer, Regex: a.Regex}
		if a.Equals != nil {
			m.In = []string{a.Equals.JSON}
		}
		for _, v := range a.In {
			m.In = append(m.In, v.JSON)
		}
		out.Arguments = append(out.Arguments, m)
	}
	out.RateLimits = ruleLimits(route, out, t.RateLimits)
	return out
}
