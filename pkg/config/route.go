package config

import (
	"slices"
)

func checkRouteValues(r loaded[MCPRoute]) {
	spec := r.value.Spec
	r.nameAt("metadata.name", r.value.Metadata.Name, maxNameBytes)
	r.textAt("spec.path", spec.Path, badPath)
	checkPageValues(r)
	r.countAt("spec.servers", len(spec.Servers), 1, maxServerRefs)
	for i, ref := range spec.Servers {
		r.nameAt(item("spec.servers", i)+".name", ref.Name, maxNameBytes)
	}
	if age := spec.Degrade.StaleLists.MaxAge; age != nil {
		rangeAt(r.document, "spec.degrade.staleLists.maxAge", *age, 0, maxStaleAge)
	}
	checkRateLimits(r.document, "spec.rateLimits", spec.RateLimits)
	rangeAt(r.document, "spec.discoverLimit.requests", count(spec.DiscoverLimit.Requests), 1, maxRequests)
	rangeAt(r.document, "spec.discoverLimit.per", spec.DiscoverLimit.Per, minWindow, maxWindow)
	rangeAt(r.document, "spec.maxTimeout", spec.MaxTimeout, minTimeout, maxTimeout)
	checkTries(r.document, "spec", spec.Timeout, spec.IdleTimeout, spec.Retry)
	checkMethodValues(r)
	if len(spec.Tools) > maxTools {
		r.countAt("spec.tools", len(spec.Tools), 0, maxTools)
		return
	}
	for i, rule := range spec.Tools {
		path := item("spec.tools", i)
		checkTries(r.document, path, rule.Timeout, rule.IdleTimeout, rule.Retry)
		checkMatch(r.document, path+".match", rule.Match)
		checkRank(r.document, path, rule)
		checkRateLimits(r.document, path+".rateLimits", rule.RateLimits)
		checkAnswers(r.document, path+".failWhen", rule.FailWhen)
		checkAnswers(r.document, path+".okWhen", rule.OkWhen)
		checkFallbackValues(r.document, path+".fallback", rule.Fallback)
		checkDegradeValues(r.document, path+".degrade", rule.Degrade)
	}
}

func checkMatch(doc *document, path string, m ToolMatch) {
	if doc.written(path+".name") && doc.written(path+".regex") {
		doc.report(path+".regex", "keep one of them", "name and regex exclude each other")
	}
	doc.textAt(path+".name", m.Name, badGlob)
	doc.textAt(path+".regex", m.Regex, badRegex)
	doc.countAt(path+".arguments", len(m.Arguments), 0, maxArguments)
	exact := firsts{}
	for i, a := range m.Arguments {
		at := item(path+".arguments", i)
		doc.textAt(at+".pointer", a.Pointer, badPointer)
		checkArgument(doc, at, a)
		if a.Regex == "" && doc.clean(at) {
			if first, taken := exact.claim(a.Pointer, doc.where(at)); taken {
				doc.report(at, "merge them with in:", "the values at %s are listed already, on line %d", quote(a.Pointer), first.Line)
			}
		}
	}
}

func badRegex(s string) (problem, hint string) {
	_, problem, hint = compileWhole(s)
	return problem, hint
}

func checkArgument(doc *document, path string, a ArgumentMatch) {
	tests := []string{"equals", "in", "regex"}
	given := slices.DeleteFunc(slices.Clone(tests), func(name string) bool { return !doc.written(path + "." + name) })
	switch len(given) {
	case 0:
		if doc.clean(path) {
			doc.report(path, "", "has no test: one of %s is needed", oneOf(tests))
		}
	case 1:
	default:
		doc.report(path+"."+given[1], "keep one of them", "%s and %s exclude each other", given[0], given[1])
	}
	doc.textAt(path+".regex", a.Regex, badRegex)
	checkValues(doc, path+".in", a.In)
}

// checkValues finds values that are listed twice.
func checkValues(doc *document, path string, values []Scalar) {
	doc.countAt(path, len(values), 1, maxInValues)
	used := firsts{}
	for i, v := range values {
		at := item(path, i)
		if !doc.clean(at) {
			continue
		}
		if first, taken := used.claim(v.canonical(), doc.where(at)); taken {
			doc.report(at, "", "%s is in the list already, on line %d", v.show(), first.Line)
		}
	}
}

// checkRoute checks the values of an MCPRoute together, defaults in place.
func checkRoute(r loaded[MCPRoute], cover *coverage) {
	spec := r.value.Spec
	if !r.clean("spec.tools") && len(spec.Tools) > maxTools {
		return
	}
	servers := firsts{}
	for i, ref := range spec.Servers {
		r.unique(servers, item("spec.servers", i)+".name", "server", ref.Name)
	}
	checkSums(r)
	for i, rule := range spec.Tools {
		path := item("spec.tools", i)
		checkPatience(r.document, path, rule)
		checkFallback(r, path, rule)
		checkDegrade(r, path, rule)
		checkCost(r, path, rule)
		checkTarget(r, path+".to.server", rule.To)
	}
	cover.check(r)
}

func checkTarget(r loaded[MCPRoute], path string, to *ToolTarget) {
	if to == nil || !r.clean(path, "spec.servers") {
		return
	}
	names := make([]string, 0, len(r.value.Spec.Servers))
	for _, ref := range r.value.Spec.Servers {
		names = append(names, ref.Name)
	}
	if slices.Contains(names, to.Server) {
		return
	}
	hint := didYouMean(to.Server, names)
	if hint == "" {
		hint = "add it there, or use " + oneOf(names)
	}
	r.report(path, hint, "%s is not one of spec.servers", quote(to.Server))
}
