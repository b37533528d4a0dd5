package config

// methodCallTool is the one method that has rules of its own.
const methodCallTool = "tools/call"

func checkMethodValues(r loaded[MCPRoute]) {
	rules := r.value.Spec.Methods
	r.countAt("spec.methods", len(rules), 0, maxMethods)
	if len(rules) > maxMethods {
		return
	}
	names := firsts{}
	for i, rule := range rules {
		path := item("spec.methods", i)
		checkTries(r.document, path, rule.Timeout, rule.IdleTimeout, rule.Retry)
		at := path + ".match.name"
		r.textAt(at, rule.Match.Name, badGlob)
		if !r.written(at) || !r.clean(at) {
			continue
		}
		if rule.Match.Name == methodCallTool {
			r.report(at, "write a rule under tools", "tool calls have rules of their own")
			continue
		}
		if first, taken := names.claim(rule.Match.Name, r.where(at)); taken {
			r.report(at, "", "%s has a rule already, on line %d", quote(rule.Match.Name), first.Line)
		}
	}
}
