package config

import (
	"cmp"
	"regexp"
	"slices"
)

// coverage finds tool rules that can never match, since an earlier one takes every
// call that they match. It decides globs against globs exactly; a regular
// expression covers the same text, exact names and, when it is ".*", everything; a union of
// several earlier rules is not looked at.
type coverage struct {
	steps int
}

func newCoverage() *coverage { return &coverage{steps: maxCoverSteps} }

// nameSet is the set of tool names that a rule matches: a glob or a regular expression.
type nameSet struct {
	glob  glob
	regex string
	re    *regexp.Regexp
	// exact is the only name in the set; empty when there can be more.
	exact string
}

func nameSetOf(m ToolMatch) nameSet {
	if m.Regex != "" {
		re, _, _ := compileWhole(m.Regex)
		return nameSet{regex: m.Regex, re: re}
	}
	set := nameSet{glob: tidy(cmp.Or(m.Name, anyValue))}
	if set.glob.exact() {
		set.exact = m.Name
	}
	return set
}

// every tells whether the set holds all names.
func (n nameSet) every() bool {
	return n.regex == ".*" || len(n.glob) == 1 && n.glob[0] == '*'
}

// call is what a rule matches: names, and tests of the arguments.
type call struct {
	names nameSet
	tests []argumentTest
}

// argumentTest is an ArgumentMatch made ready for comparing: values in one form each.
type argumentTest struct {
	pointer string
	regex   string
	re      *regexp.Regexp
	values  map[string]Scalar
}

func callOf(m ToolMatch) call {
	c := call{names: nameSetOf(m)}
	for _, a := range m.Arguments {
		t := argumentTest{pointer: a.Pointer, regex: a.Regex, values: map[string]Scalar{}}
		if a.Regex != "" {
			t.re, _, _ = compileWhole(a.Regex)
		}
		if a.Equals != nil {
			t.values[a.Equals.canonical()] = *a.Equals
		}
		for _, v := range a.In {
			t.values[v.canonical()] = v
		}
		c.tests = append(c.tests, t)
	}
	return c
}

// check reports the unreachable rules of a route, each with the first rule that hides it.
func (c *coverage) check(r loaded[MCPRoute]) {
	rules := r.value.Spec.Tools
	calls := make([]call, len(rules))
	// Rules for one exact name are many; they are found by that name.
	exact := map[string][]int{}
	var patterns []int
	for i, rule := range rules {
		if !r.clean(item("spec.tools", i) + ".match") {
			continue
		}
		calls[i] = callOf(rule.Match)
		earlier, name := patterns, calls[i].names.exact
		if name != "" {
			earlier = slices.Concat(exact[name], patterns)
			slices.Sort(earlier)
		}
		for _, j := range earlier {
			if c.impliesAll(calls[i].tests, calls[j].tests) && c.covers(calls[j].names, calls[i].names) {
				c.report(r, i, j)
				break
			}
		}
		if c.steps < 0 {
			r.report("spec.tools", "use fewer wildcards", "the rules are too involved to find out which of them can match")
			return
		}
		if name != "" {
			exact[name] = append(exact[name], i)
		} else {
			patterns = append(patterns, i)
		}
	}
}

func (c *coverage) report(r loaded[MCPRoute], i, j int) {
	what := "every call"
	if len(r.value.Spec.Tools[j].Match.Arguments) == 0 {
		what = "every name"
	}
	r.report(item("spec.tools", i), "move it up, or remove it", "can never match: %s (line %d) already matches %s it does",
		item("tools", j), r.value.Spec.Tools[j].Source.Line, what)
}

// covers tells whether outer holds every name of inner.
func (c *coverage) covers(outer, inner nameSet) bool {
	c.steps--
	switch {
	case outer.every():
		return true
	case outer.regex != "" && inner.regex != "":
		return outer.regex == inner.regex
	case outer.regex != "":
		c.steps -= len(inner.exact)
		return inner.exact != "" && outer.re.MatchString(inner.exact)
	case inner.regex != "":
		return false
	default:
		return includes(outer.glob, inner.glob, &c.steps)
	}
}

// impliesAll tells whether arguments that pass all of inner's tests pass all of outer's.
func (c *coverage) impliesAll(inner, outer []argumentTest) bool {
	for _, o := range outer {
		if !slices.ContainsFunc(inner, func(i argumentTest) bool { return c.implies(i, o) }) {
			return false
		}
	}
	return true
}

// implies tells whether a value that passes inner passes outer.
func (c *coverage) implies(inner, outer argumentTest) bool {
	c.steps--
	if inner.pointer != outer.pointer {
		return false
	}
	if inner.regex != "" {
		return inner.regex == outer.regex
	}
	for key, v := range inner.values {
		c.steps--
		if outer.regex == "" {
			if _, ok := outer.values[key]; !ok {
				return false
			}
			continue
		}
		text, ok := v.text()
		c.steps -= len(text)
		if !ok || c.steps < 0 || !outer.re.MatchString(text) {
			return false
		}
	}
	return true
}
