package decide

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/fallback"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
)

// Bounds on policies.
const (
	maxAttempts     = 10
	maxPercent      = 100
	maxBodyBytes    = 64 << 20
	maxPatternBytes = 4096
)

// Table is a set of compiled policies. It is immutable and safe for concurrent use.
type Table struct {
	byPath map[string]*Route
	byName map[string]*Route
	traces *policyv1.Traces
}

// Route is one compiled policy.
type Route struct {
	policy  *policyv1.RoutePolicy
	rules   ruleSet
	methods methodSet
	servers map[string]*policyv1.Server
	limited bool
	// once has an action for each server that tries a message once.
	once map[string]*policyv1.Action
	// answers are tests of answers by the id of their rule.
	answers map[string]*AnswerTests
	// mappings of the arguments for second providers.
	mappings map[*policyv1.Fallback]fallback.Mapping
	// successions say which callers are with a successor.
	successions map[*policyv1.Successor]share.Succession
	meters      meters
	// degrades is what stands in for answers, by the id of the rule.
	degrades map[string]*policyv1.Degrade
}

// Policy returns the policy that the Route was compiled from; it is not to be changed.
func (r *Route) Policy() *policyv1.RoutePolicy { return r.policy }

// LookupTimeout bounds what a call waits for another process to say what may stand in for its answer: a third of the
// time after which Envoy does without the processor.
func (r *Route) LookupTimeout() time.Duration {
	const unsaid = 500 * time.Millisecond
	return cmp.Or(r.policy.GetProcessorTimeout().AsDuration(), unsaid) / 3
}

// StaleListMaxAge is how old a list may be that is served while its server is down; 0:
// never.
func (r *Route) StaleListMaxAge() time.Duration {
	return r.policy.GetStaleListMaxAge().AsDuration()
}

// discoverMaxAge is how old an answer to server/discover may at least be that is served
// while its server is down.
const discoverMaxAge = 24 * time.Hour

// RememberFor is how old a remembered answer to a method may be that is served while its
// server is down; 0: none is. It is StaleListMaxAge but for server/discover: clients
// take a failure of that for an old server and stay in the older revision for as long as
// their connection lives, so its last answer stands in even where lists may not.
func (r *Route) RememberFor(methodName string) time.Duration {
	if methodName == method.ServerDiscover {
		return max(r.StaleListMaxAge(), discoverMaxAge)
	}
	return r.StaleListMaxAge()
}

// Server returns one of the policy's servers by name.
func (r *Route) Server(name string) (*policyv1.Server, bool) {
	server, ok := r.servers[name]
	return server, ok
}

// Route returns the policy of an exact path, without a query.
func (t *Table) Route(path string) (*Route, bool) {
	route, ok := t.byPath[path]
	return route, ok
}

// Policy returns a policy by its name.
func (t *Table) Policy(name string) (*Route, bool) {
	route, ok := t.byName[name]
	return route, ok
}

// NamesTool says whether a rule of some policy has exactly this name: it is the operator's
// word that there is such a tool.
func (t *Table) NamesTool(tool string) bool {
	for _, route := range t.byName {
		if len(route.rules.byName[tool]) > 0 {
			return true
		}
	}
	return false
}

// Len is the number of policies.
func (t *Table) Len() int { return len(t.byName) }

// Compile checks policies and makes a Table of them. The error joins everything that is
// wrong; each part names the policy and the field. A Table is made of all policies or
// of none.
func Compile(policies []*policyv1.RoutePolicy) (*Table, error) {
	table := &Table{byPath: map[string]*Route{}, byName: map[string]*Route{}}
	var problems []error
	for i, policy := range policies {
		name := policy.GetName()
		if name == "" {
			problems = append(problems, fmt.Errorf("policy %d: name: is empty", i))
			continue
		}
		c := compiler{policy: name, answers: map[string]*AnswerTests{}, degrades: map[string]*policyv1.Degrade{}}
		route := c.route(policy)
		if _, taken := table.byName[name]; taken {
			c.problem("name", "is that of two policies")
		}
		if other, taken := table.byPath[policy.GetPath()]; taken {
			c.problem("path", "%q is that of policy %q too", policy.GetPath(), other.policy.GetName())
		}
		table.byName[name], table.byPath[policy.GetPath()] = route, route
		if table.traces == nil {
			table.traces = policy.GetTraces()
		}
		problems = append(problems, c.problems...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return table, nil
}

// compiler collects what is wrong with one policy.
type compiler struct {
	policy   string
	servers  map[string]*policyv1.Server
	answers  map[string]*AnswerTests
	mappings map[*policyv1.Fallback]fallback.Mapping
	// successions by the successor that they are of.
	successions map[*policyv1.Successor]share.Succession
	degrades    map[string]*policyv1.Degrade
	problems    []error
}

func (c *compiler) problem(field, format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("policy %q: %s: %s", c.policy, field, fmt.Sprintf(format, args...)))
}

func (c *compiler) route(p *policyv1.RoutePolicy) *Route {
	c.path(p.GetPath())
	c.readServers(p.GetServers())
	if e := p.GetErrors(); e != policyv1.ErrorStyle_ERROR_STYLE_MCP && e != policyv1.ErrorStyle_ERROR_STYLE_HTTP {
		c.problem("errors", "%v is not a known style", e)
	}
	c.duration("stale_list_max_age", p.GetStaleListMaxAge())
	c.duration("processor_timeout", p.GetProcessorTimeout())
	c.traces(p.GetTraces())
	if p.GetMaxBodyBytes() == 0 || p.GetMaxBodyBytes() > maxBodyBytes {
		c.problem("max_body_bytes", "%d is not within 1 to %d", p.GetMaxBodyBytes(), maxBodyBytes)
	}
	c.action("unmatched_tool", p.GetUnmatchedTool())
	c.once("unmatched_tool_once", p.GetUnmatchedTool(), p.GetUnmatchedToolOnce())
	c.action("safe_method", p.GetSafeMethod())
	c.once("safe_method_once", p.GetSafeMethod(), p.GetSafeMethodOnce())
	c.action("other_method", p.GetOtherMethod())
	c.action("stream", p.GetStream())
	if p.GetListenTasks() != nil {
		c.action("listen_tasks", p.GetListenTasks())
	}
	c.action("delete", p.GetDelete())
	if p.GetOtherMethod().GetSafe() {
		c.problem("other_method.safe", "must not be set: these methods may not run twice")
	}
	if p.GetDelete().GetSafe() {
		c.problem("delete.safe", "must not be set: a session ends once")
	}
	rules := c.rules(p.GetRules())
	return &Route{
		policy: p, rules: rules, methods: c.methods(p.GetMethods()), servers: c.servers, answers: c.answers, mappings: c.mappings, successions: c.successions, limited: limited(p),
		degrades: c.degrades, meters: c.meters(p), once: onceByServer(p, rules.rules),
	}
}

func (c *compiler) path(path string) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?# \t\r\n") {
		c.problem("path", "%q is not an absolute path without a query", path)
	}
}

func (c *compiler) readServers(servers []*policyv1.Server) {
	c.servers = make(map[string]*policyv1.Server, len(servers))
	if len(servers) == 0 {
		c.problem("servers", "is empty")
	}
	for i, server := range servers {
		field := fmt.Sprintf("servers[%d]", i)
		switch {
		case server.GetName() == "":
			c.problem(field+".name", "is empty")
		case c.servers[server.GetName()] != nil:
			c.problem(field+".name", "%q is there twice", server.GetName())
		}
		if percent := server.GetRetryBudget().GetPercent(); percent > maxPercent {
			c.problem(field+".retry_budget.percent", "%d is above %d", percent, maxPercent)
		}
		c.servers[server.GetName()] = server
		c.concurrency(field+".concurrency", server.GetConcurrency())
		addresses := make(map[string]bool, len(server.GetEndpoints()))
		for j, endpoint := range server.GetEndpoints() {
			at := fmt.Sprintf("%s.endpoints[%d]", field, j)
			if endpoint.GetName() == "" {
				c.problem(at+".name", "is empty")
			}
			if _, err := netip.ParseAddrPort(endpoint.GetAddress()); err != nil {
				c.problem(at+".address", "%q is not host:port with an IP host", endpoint.GetAddress())
			}
			if addresses[endpoint.GetAddress()] {
				c.problem(at+".address", "%q is there twice", endpoint.GetAddress())
			}
			addresses[endpoint.GetAddress()] = true
		}
	}
}

func (c *compiler) action(field string, a *policyv1.Action) {
	if a == nil {
		c.problem(field, "is missing")
		return
	}
	if !headerValue(a.GetRoute()) {
		c.problem(field+".route", "%q cannot be a header value", a.GetRoute())
	}
	if c.servers[a.GetServer()] == nil {
		c.problem(field+".server", "%q is not one of the policy's servers", a.GetServer())
	}
	c.rank(field, a)
	c.fallback(field, a.GetFallback())
	c.successor(field, a)
	if n := a.GetAttempts(); n < 1 || n > maxAttempts {
		c.problem(field+".attempts", "%d is not within 1 to %d", n, maxAttempts)
	}
	total := c.duration(field+".timeout", a.GetTimeout())
	try := c.duration(field+".per_try_timeout", a.GetPerTryTimeout())
	c.duration(field+".idle_timeout", a.GetIdleTimeout())
	c.duration(field+".back_off.base", a.GetBackOff().GetBase())
	c.duration(field+".back_off.max", a.GetBackOff().GetMax())
	if twin := a.GetUnretried(); twin != "" && (!headerValue(twin) || twin == a.GetRoute()) {
		c.problem(field+".unretried", "%q cannot be the name of another route", twin)
	}
	if total > 0 && try > total {
		c.problem(field+".per_try_timeout", "%v is longer than the timeout of %v", try, total)
	}
}

// once checks the twin of an action for messages that may not be sent twice.
func (c *compiler) once(field string, action, twin *policyv1.Action) {
	switch {
	case action == nil:
		// Said already.
		return
	case twin == nil && action.GetSafe():
		c.problem(field, "is missing: the action beside it may run twice")
		return
	case twin == nil:
		return
	case twin.GetSafe():
		c.problem(field+".safe", "must not be set: its messages may not run twice")
	case twin.GetServer() != action.GetServer():
		c.problem(field+".server", "%q is not %q, the server of the action beside it", twin.GetServer(), action.GetServer())
	}
	c.action(field, twin)
}

func (c *compiler) duration(field string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
		c.problem(field, "is not a duration of 0 or more")
		return 0
	}
	return d.AsDuration()
}

// headerValue reports whether s can stand in a header as it is: visible ASCII.
func headerValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
