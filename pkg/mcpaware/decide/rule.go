package decide

import (
	"fmt"
	"regexp"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// ruleSet finds the first rule that matches a call. Rules with an exact name are found
// by that name, so that their number costs nothing; the order of all rules still
// decides.
type ruleSet struct {
	rules []rule
	// byName holds the indexes of the rules with an exact name, patterns those of all
	// others; both ascend.
	byName   map[string][]int
	patterns []int
}

// rule is one compiled tool rule.
type rule struct {
	id        string
	name      namePattern
	arguments []argument
	action    *policyv1.Action
	once      *policyv1.Action
}

// namePattern matches tool names; at most one of its fields is set, and none matches
// every name.
type namePattern struct {
	exact string
	glob  string
	regex *wholeRegex
}

// wholeRegex is an RE2 expression that matches whole strings only.
type wholeRegex struct {
	source   string
	anchored *regexp.Regexp
}

func (r *wholeRegex) matches(s string) bool { return r.anchored.MatchString(s) }

func (p *namePattern) matches(name string) bool {
	switch {
	case p.exact != "":
		return p.exact == name
	case p.glob != "":
		return globMatches(p.glob, name)
	case p.regex != nil:
		return p.regex.matches(name)
	}
	return true
}

func (s *ruleSet) add(r rule) {
	index := len(s.rules)
	s.rules = append(s.rules, r)
	if r.name.exact != "" {
		s.byName[r.name.exact] = append(s.byName[r.name.exact], index)
		return
	}
	s.patterns = append(s.patterns, index)
}

// first returns the first rule that matches; nil where none does.
func (s *ruleSet) first(m *wire.Message) *rule {
	exact, patterns := s.byName[m.Name], s.patterns
	for len(exact) > 0 || len(patterns) > 0 {
		var index int
		if len(patterns) == 0 || (len(exact) > 0 && exact[0] < patterns[0]) {
			index, exact = exact[0], exact[1:]
		} else {
			index, patterns = patterns[0], patterns[1:]
		}
		if s.rules[index].miss(m) == matched {
			return &s.rules[index]
		}
	}
	return nil
}

// miss says why a rule does not match: nameDiffers, or the index of the first argument
// that does not hold; matched where it does.
func (r *rule) miss(m *wire.Message) int {
	if !r.name.matches(m.Name) {
		return nameDiffers
	}
	for i := range r.arguments {
		if !r.arguments[i].holds(m.Arguments) {
			return i
		}
	}
	return matched
}

const (
	matched     = -1
	nameDiffers = -2
)

func (c *compiler) rules(rules []*policyv1.ToolRule) ruleSet {
	set := ruleSet{byName: map[string][]int{}}
	ids := make(map[string]bool, len(rules))
	for i, r := range rules {
		field := fmt.Sprintf("rules[%d]", i)
		switch {
		case r.GetId() == "":
			c.problem(field+".id", "is empty")
		case ids[r.GetId()]:
			c.problem(field+".id", "%q is there twice", r.GetId())
		}
		ids[r.GetId()] = true
		c.action(field+".action", r.GetAction())
		c.once(field+".once", r.GetAction(), r.GetOnce())
		compiled := rule{id: r.GetId(), name: c.pattern(field, r), action: r.GetAction(), once: r.GetOnce()}
		for j, match := range r.GetArguments() {
			compiled.arguments = append(compiled.arguments, c.argument(fmt.Sprintf("%s.arguments[%d]", field, j), match))
		}
		if d := c.degrade(field, r); d != nil {
			c.degrades[r.GetId()] = d
		}
		if tests := c.answerTests(field, r); tests != nil {
			c.answers[r.GetId()] = tests
		}
		set.add(compiled)
	}
	return set
}

func (c *compiler) pattern(field string, r *policyv1.ToolRule) namePattern {
	switch {
	case r.GetGlob() != "" && r.GetRegex() != "":
		c.problem(field, "has both a glob and a regex")
	case len(r.GetGlob()) > maxPatternBytes:
		c.problem(field+".glob", "has more than %d bytes", maxPatternBytes)
	case r.GetRegex() != "":
		return namePattern{regex: c.regex(field+".regex", r.GetRegex())}
	case isGlob(r.GetGlob()):
		return namePattern{glob: r.GetGlob()}
	}
	return namePattern{exact: r.GetGlob()}
}

// regex compiles an RE2 expression that must match a whole string.
func (c *compiler) regex(field, expression string) *wholeRegex {
	if len(expression) > maxPatternBytes {
		c.problem(field, "has more than %d bytes", maxPatternBytes)
		return nil
	}
	// By itself first: "a)|(b" would only be an expression between our brackets.
	if _, err := regexp.Compile(expression); err != nil {
		c.problem(field, "%v", err)
		return nil
	}
	anchored, err := regexp.Compile(`\A(?:` + expression + `)\z`)
	if err != nil {
		c.problem(field, "cannot be anchored: %v", err)
		return nil
	}
	return &wholeRegex{source: expression, anchored: anchored}
}
