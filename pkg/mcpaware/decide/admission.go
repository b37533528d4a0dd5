package decide

import (
	"fmt"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
)

// Bounds on Concurrency.
const (
	maxConcurrent = 100_000
	maxQueue      = 10_000
	maxCost       = 100
)

// Limited says that some message of the route may have to wait for a slot.
func (r *Route) Limited() bool { return r.limited }

// Processors is the number of processors that share the limits, at least 1.
func (r *Route) Processors() int { return max(int(r.policy.GetProcessors()), 1) }

// Ranked says that a message may be refused when there is not room for all. Not so
// what clients cannot do without or do not wait for: initialize, server/discover, ping,
// notifications, responses and event streams.
func (d *Decision) Ranked() bool { return ranked(d.Call) }

func ranked(call *policyv1.CallContext) bool {
	if len(call.GetId()) == 0 && call.GetMethod() != method.ToolsCall {
		return false
	}
	switch call.GetMethod() {
	case method.Initialize, method.ServerDiscover, "ping":
		return false
	}
	info, _ := method.Lookup(call.GetMethod())
	return !info.Stream
}

// Admission is what decides whether the message may go to its server now, where it is
// Ranked. live is the number of processors, 0 for as many as the policy names.
func (d *Decision) Admission(live int) admit.Call {
	if live < 1 {
		live = d.Route.Processors()
	}
	call := admit.Call{
		Server: d.Action.GetServer(), Priority: admit.DefaultPriority, Cost: 1,
		Timeout: d.patience(),
	}
	if server, ok := d.Route.Server(call.Server); ok {
		call.ServerLimit = limitOf(server.GetConcurrency()).Share(live)
	}
	if d.byToolRule() {
		call.Rule = admit.Rule{Policy: d.Route.policy.GetName(), ID: d.Rule}
		call.RuleLimit = limitOf(d.Action.GetConcurrency()).Share(live)
		call.Priority, call.Cost = int(d.Action.GetPriority()), int(d.Action.GetCost())
	}
	return call
}

func (d *Decision) byToolRule() bool {
	return d.Call.GetMethod() == method.ToolsCall && d.Rule != RuleUnmatchedTool
}

func limitOf(c *policyv1.Concurrency) admit.Limit {
	if c == nil {
		return admit.Limit{}
	}
	return admit.Limit{Concurrent: int(c.GetLimit()), Queue: int(c.GetQueue()), MaxWait: c.GetMaxWait().AsDuration()}
}

// limited says whether a policy bounds anything.
func limited(p *policyv1.RoutePolicy) bool {
	for _, server := range p.GetServers() {
		if server.GetConcurrency() != nil {
			return true
		}
	}
	for _, rule := range p.GetRules() {
		if rule.GetAction().GetConcurrency() != nil || rule.GetOnce().GetConcurrency() != nil {
			return true
		}
	}
	return false
}

func (c *compiler) concurrency(field string, of *policyv1.Concurrency) {
	if of == nil {
		return
	}
	if n := of.GetLimit(); n < 1 || n > maxConcurrent {
		c.problem(field+".limit", "%d is not within 1 to %d", n, maxConcurrent)
	}
	if n := of.GetQueue(); n > maxQueue {
		c.problem(field+".queue", "%d is more than %d", n, maxQueue)
	}
	c.duration(field+".max_wait", of.GetMaxWait())
}

// rank checks what decides between calls when there is not room for all.
func (c *compiler) rank(field string, a *policyv1.Action) {
	c.concurrency(field+".concurrency", a.GetConcurrency())
	if n := a.GetPriority(); n > admit.MaxPriority {
		c.problem(field+".priority", "%d is more than %d", n, admit.MaxPriority)
	}
	if n := a.GetCost(); n > maxCost {
		c.problem(field+".cost", "%d is more than %d", n, maxCost)
	}
}

// explainAdmission gives the lines about what happens when there is not room for all.
func (d *Decision) explainAdmission() (limits []string, rank string) {
	if !d.Ranked() {
		return nil, ""
	}
	call := d.Admission(1)
	describe := func(whose string, l admit.Limit) {
		if l.Concurrent == 0 {
			return
		}
		text := fmt.Sprintf("%d at a time %s, none waits", l.Concurrent, whose)
		if l.Queue > 0 {
			text = fmt.Sprintf("%d at a time %s, %d wait up to %v", l.Concurrent, whose, l.Queue, l.MaxWait)
		}
		if n := d.Route.Processors(); n > 1 {
			text += fmt.Sprintf(" (each of %d processors keeps 1/%d)", n, n)
		}
		limits = append(limits, text)
	}
	describe("by this rule", call.RuleLimit)
	describe("at "+call.Server, call.ServerLimit)
	return limits, fmt.Sprintf("%d of 0 to %d, cost %d", call.Priority, admit.MaxPriority, call.Cost)
}
