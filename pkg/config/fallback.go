package config

import "strings"

func checkFallbackValues(doc *document, path string, f *Fallback) {
	if f == nil {
		return
	}
	doc.textAt(path+".tool", f.Tool, badToolName)
	checkMoves(doc, path+".arguments", f.Arguments)
	checkMoves(doc, path+".result", f.Result)
}

func badToolName(s string) (problem, hint string) {
	switch {
	case s == "":
		return "is empty", ""
	case len(s) > maxPatternBytes:
		return "has more than 256 bytes", ""
	case strings.ContainsAny(s, "*?"):
		return quote(s) + " is a pattern", "name one tool"
	}
	return "", ""
}

func checkMoves(doc *document, path string, moves []Move) {
	doc.countAt(path, len(moves), 1, maxMoves)
	if len(moves) > maxMoves {
		return
	}
	for i, m := range moves {
		at := item(path, i)
		doc.textAt(at+".from", m.From, badPlace)
		doc.textAt(at+".to", m.To, badPlace)
		for _, other := range moves[:i] {
			if doc.clean(at+".to") && (inside(m.To, other.To) || inside(other.To, m.To)) {
				doc.report(at+".to", "", "%s and %s are in each other's way", quote(m.To), quote(other.To))
				break
			}
		}
	}
}

// badPlace is badPointer for a place below the root.
func badPlace(s string) (problem, hint string) {
	if s == "" {
		return "the pointer leads to the whole value", "name a member, such as /id"
	}
	return badPointer(s)
}

// inside says that pointer a is b or lies inside it.
func inside(a, b string) bool { return a == b || strings.HasPrefix(a, b+"/") }

// checkFallback finds second providers that are none.
func checkFallback(r loaded[MCPRoute], path string, rule ToolRule) {
	if rule.Fallback == nil || !r.clean(path+".fallback.server", "spec.servers") {
		return
	}
	at := path + ".fallback.server"
	checkTarget(r, at, &ToolTarget{Server: rule.Fallback.Server})
	first := r.value.Spec.Servers[0].Name
	if rule.To != nil {
		first = rule.To.Server
	}
	if r.clean(at) && rule.Fallback.Server == first {
		r.report(at, "name another server", "%s is where the call goes in the first place", quote(first))
	}
}
