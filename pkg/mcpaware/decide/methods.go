package decide

import (
	"fmt"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// methodSet finds the first rule that matches a method. There are few rules, and most
// requests are tools/call, which none of them is for.
type methodSet []methodRule

type methodRule struct {
	id, glob   string
	safe, once *policyv1.Action
}

func (s methodSet) first(name string) *methodRule {
	for i := range s {
		if s[i].glob == name || (isGlob(s[i].glob) && globMatches(s[i].glob, name)) {
			return &s[i]
		}
	}
	return nil
}

// action picks by whether the message may be sent twice.
func (r *methodRule) action(twice bool) *policyv1.Action {
	if twice {
		return r.safe
	}
	return r.once
}

func (c *compiler) methods(rules []*policyv1.MethodRule) methodSet {
	set := make(methodSet, 0, len(rules))
	for i, r := range rules {
		field := fmt.Sprintf("methods[%d]", i)
		if r.GetId() == "" {
			c.problem(field+".id", "is empty")
		}
		if glob := r.GetGlob(); glob == "" || len(glob) > maxPatternBytes {
			c.problem(field+".glob", "is empty or has more than %d bytes", maxPatternBytes)
		}
		c.action(field+".safe", r.GetSafe())
		c.action(field+".once", r.GetOnce())
		if r.GetOnce().GetSafe() {
			c.problem(field+".once.safe", "must not be set: its messages may not run twice")
		}
		set = append(set, methodRule{id: r.GetId(), glob: r.GetGlob(), safe: r.GetSafe(), once: r.GetOnce()})
	}
	return set
}
