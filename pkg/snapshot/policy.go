package snapshot

import (
	"net"
	"slices"
	"strconv"
	"strings"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// policy is one MCPRoute as the processors see it.
func policy(m *model.Model, r model.Route) *policyv1.RoutePolicy {
	out := policyAlone(m, r)
	if r.Next != nil {
		succeed(out, policyAlone(m, *r.Next), r.Shares)
	}
	return out
}

// policyAlone is a route without the successors of its servers.
func policyAlone(m *model.Model, r model.Route) *policyv1.RoutePolicy {
	out := &policyv1.RoutePolicy{
		Name: r.Name, Path: r.Path,
		UnmatchedTool:    policyAction(r.UnmatchedTool),
		SafeMethod:       policyAction(r.SafeMethod),
		SafeMethodOnce:   policyAction(r.SafeMethodOnce),
		OtherMethod:      policyAction(r.OtherMethod),
		Stream:           policyAction(r.Stream),
		ListenTasks:      policyAction(r.ListenTasks),
		Delete:           policyAction(r.Delete),
		Errors:           policyv1.ErrorStyle_ERROR_STYLE_MCP,
		StaleListMaxAge:  duration(r.StaleListMaxAge),
		StampVia:         r.StampVia,
		MaxBodyBytes:     m.Gateway.MaxBodyBytes,
		ProcessorTimeout: duration(m.Gateway.ProcessorTimeout),
		Processors:       uint32(len(m.Gateway.Processors)), //nolint:gosec // at most 16
	}
	out.Traces = policyTraces(m.Gateway.Traces)
	out.UnmatchedToolOnce = out.GetUnmatchedTool()
	out.RateLimits, out.DiscoverLimit = policyLimits(r.RateLimits), policyLimit(r.DiscoverLimit)
	out.Callers = &policyv1.Callers{Header: m.Gateway.Callers.Header, TrustedProxies: m.Gateway.Callers.TrustedProxies, Verified: m.Gateway.JWT != nil}
	if r.ErrorsHTTP {
		out.Errors = policyv1.ErrorStyle_ERROR_STYLE_HTTP
	}
	for _, name := range r.Servers {
		out.Servers = append(out.Servers, policyServer(m, name))
	}
	for _, rule := range r.Methods {
		out.Methods = append(out.Methods, &policyv1.MethodRule{
			Id: rule.ID, Glob: rule.Glob, Safe: policyAction(rule.Safe), Once: policyAction(rule.Once),
		})
	}
	for _, rule := range r.Rules {
		p := &policyv1.ToolRule{
			Id: rule.ID, Glob: rule.Glob, Regex: rule.Regex,
			Action: policyAction(rule.Action), Once: policyAction(rule.Once),
		}
		offer(rule.Fallback, p.GetAction(), p.GetOnce())
		rank(rule, p.GetAction(), p.GetOnce())
		p.Degrade = degrade(rule)
		p.RateLimits = policyLimits(rule.RateLimits)
		p.FailWhen, p.OkWhen = answerMatches(rule.FailWhen), answerMatches(rule.OkWhen)
		for _, a := range rule.Arguments {
			p.Arguments = append(p.Arguments, &policyv1.ArgumentMatch{Pointer: a.Pointer, In: a.In, Regex: a.Regex})
		}
		out.Rules = append(out.Rules, p)
	}
	return out
}

// policyServer lists endpoints in order of address whatever their priority, so
// that policies are the same for every region.
func policyServer(m *model.Model, name string) *policyv1.Server {
	out := &policyv1.Server{Name: name}
	for _, s := range m.Servers {
		if s.Name != name {
			continue
		}
		out.RetryBudget = &policyv1.RetryBudget{Percent: s.RetryBudget.Percent, Floor: s.RetryBudget.Floor}
		out.Regions, out.Failover, out.Residency = s.Regions, failover(s.Failover), s.Residency
		out.Concurrency = policyConcurrency(s.Concurrency)
		out.SessionMaxAge, out.SessionPrincipalHeader = duration(s.Sessions.MaxAge), s.Sessions.PrincipalHeader
		out.Breaker = breaker(s.Breaker)
		out.ReinitializeSessions = s.Sessions.Reinitialize
		out.HealthCheck = policyHealthCheck(s)
		if s.VerifiesHeaders {
			out.VerifiedPath = s.Path
		}
		for _, localities := range s.Priorities {
			for _, l := range localities {
				for _, e := range l.Endpoints {
					out.Endpoints = append(out.Endpoints, &policyv1.Endpoint{
						Name: e.Name, Region: l.Region,
						Address: net.JoinHostPort(e.Host, strconv.FormatUint(uint64(e.Port), 10)),
					})
				}
			}
		}
	}
	slices.SortFunc(out.Endpoints, func(a, b *policyv1.Endpoint) int { return strings.Compare(a.GetAddress(), b.GetAddress()) })
	return out
}

func failover(f model.Failover) policyv1.Failover {
	switch f {
	case model.Nearest:
		return policyv1.Failover_FAILOVER_NEAREST
	case model.Shared:
		return policyv1.Failover_FAILOVER_SHARED
	case model.InOrder:
	}
	return policyv1.Failover_FAILOVER_ORDER
}

func policyConcurrency(c *model.Concurrency) *policyv1.Concurrency {
	if c == nil {
		return nil
	}
	return &policyv1.Concurrency{
		Limit: uint32(c.Limit), Queue: uint32(c.Queue), //nolint:gosec // at most 100000
		MaxWait: duration(c.MaxWait),
	}
}

// rank tells the actions of a rule what is done when there is not room for all.
func rank(rule model.Rule, actions ...*policyv1.Action) {
	for _, a := range actions {
		a.Concurrency = policyConcurrency(rule.Concurrency)
		a.Priority, a.Cost = uint32(rule.Priority), uint32(rule.Cost) //nolint:gosec // at most 100
	}
}

func policyAction(a model.Action) *policyv1.Action {
	return &policyv1.Action{
		Route: a.Stamp, Server: a.Server, Safe: a.Class == model.Safe,
		Timeout: duration(a.Timeout), PerTryTimeout: duration(a.PerTryTimeout),
		Attempts:    uint32(a.Attempts), //nolint:gosec // 1 to 10
		IdleTimeout: duration(a.IdleTimeout), Unretried: a.Unretried,
		BackOff: &policyv1.BackOff{Base: duration(a.BackOff.Base), Max: duration(a.BackOff.Max)},
	}
}
