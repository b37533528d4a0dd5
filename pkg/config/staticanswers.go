package config

import (
	"fmt"
	"regexp"
)

// StandIn is a static answer where it stands, for whoever knows the tools.
type StandIn struct {
	// Place is "MCPRoute orders, spec.tools[2]".
	Place string
	// Server whose tools the rule is about.
	Server string
	Answer StaticAnswer
	// selects says whether the rule is for a tool, for each rule up to this one.
	rules []ToolRule
}

// StandIns are the static answers of a configuration, in its order.
func (c *Config) StandIns() []StandIn {
	var out []StandIn
	for _, route := range c.Routes {
		for i, rule := range route.Spec.Tools {
			if rule.Degrade.StaticAnswer == nil || len(route.Spec.Servers) == 0 {
				continue
			}
			server := route.Spec.Servers[0].Name
			if rule.To != nil && rule.To.Server != "" {
				server = rule.To.Server
			}
			out = append(out, StandIn{
				Place:  fmt.Sprintf("MCPRoute %s, spec.%s", route.Metadata.Name, item("tools", i)),
				Server: server, Answer: *rule.Degrade.StaticAnswer, rules: route.Spec.Tools[:i+1],
			})
		}
	}
	return out
}

// For says whether calls of a tool can come to the rule: its match is for the tool, and that of no rule before it is,
// whatever the arguments.
func (s StandIn) For(tool string) bool {
	last := len(s.rules) - 1
	for _, earlier := range s.rules[:last] {
		if len(earlier.Match.Arguments) == 0 && earlier.Match.selects(tool) {
			return false
		}
	}
	return s.rules[last].Match.selects(tool)
}

// selects says whether the match is for a tool, its arguments aside.
func (m ToolMatch) selects(tool string) bool {
	switch {
	case m.Name != "":
		return glob(m.Name).matches(tool)
	case m.Regex != "":
		re, err := regexp.Compile(`^(?:` + m.Regex + `)$`)
		return err == nil && re.MatchString(tool)
	default:
		return true
	}
}
