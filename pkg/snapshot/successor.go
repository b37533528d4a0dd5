package snapshot

import (
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// succeed tells the actions of a policy what takes their places for callers that are with a successor: the
// actions of next, which is the same policy for those servers.
func succeed(policy, next *policyv1.RoutePolicy, shares map[string]uint32) {
	// Two fields may hold one message.
	done := map[*policyv1.Action]bool{}
	pair := func(a, later *policyv1.Action) {
		if share, ok := shares[a.GetServer()]; ok && !done[a] {
			a.Successor = &policyv1.Successor{Share: share, Action: later}
			done[a] = true
		}
	}
	pair(policy.GetUnmatchedTool(), next.GetUnmatchedTool())
	pair(policy.GetUnmatchedToolOnce(), next.GetUnmatchedToolOnce())
	pair(policy.GetSafeMethod(), next.GetSafeMethod())
	pair(policy.GetSafeMethodOnce(), next.GetSafeMethodOnce())
	pair(policy.GetOtherMethod(), next.GetOtherMethod())
	pair(policy.GetStream(), next.GetStream())
	pair(policy.GetListenTasks(), next.GetListenTasks())
	pair(policy.GetDelete(), next.GetDelete())
	for i, rule := range policy.GetMethods() {
		pair(rule.GetSafe(), next.GetMethods()[i].GetSafe())
		pair(rule.GetOnce(), next.GetMethods()[i].GetOnce())
	}
	for i, rule := range policy.GetRules() {
		pair(rule.GetAction(), next.GetRules()[i].GetAction())
		pair(rule.GetOnce(), next.GetRules()[i].GetOnce())
	}
}
