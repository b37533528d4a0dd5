package config

import "slices"

func checkGatewayValues(g loaded[Gateway]) {
	spec := g.value.Spec
	g.nameAt("metadata.name", g.value.Metadata.Name, maxNameBytes)
	g.textAt("spec.address", spec.Address, badAddress)
	rangeAt(g.document, "spec.maxBodyBytes", spec.MaxBodyBytes, minBodyBytes, maxBodyBytes)
	rangeAt(g.document, "spec.processorTimeout", spec.ProcessorTimeout, minProcessorTimeout, maxProcessorTimeout)
	checkCallers(g)
	checkJWT(g)
	checkRateLimits(g.document, "spec.rateLimits", spec.RateLimits)
	g.textsAt("spec.processors", spec.Processors, maxProcessors, badProcessor)
	checkTracesValues(g)
	if !g.anyAt("spec.allowedHosts", spec.AllowedHosts) {
		g.textsAt("spec.allowedHosts", spec.AllowedHosts, maxHosts, badAllowedHost)
	}
	if !g.anyAt("spec.allowedOrigins", spec.AllowedOrigins) {
		g.textsAt("spec.allowedOrigins", spec.AllowedOrigins, maxOrigins, badOrigin)
	}
}

// anyAt tells whether "*" is in a list, and reports what stands beside it.
func (d *document) anyAt(path string, list []string) bool {
	found := slices.Contains(list, anyValue)
	if found && len(list) > 1 {
		d.report(path, "", `"*" allows everything, so nothing can stand beside it`)
	}
	return found
}

// textsAt runs a check on every text of a list, at most limit and no two alike.
func (d *document) textsAt(path string, list []string, limit int, check func(string) (problem, hint string)) {
	d.countAt(path, len(list), 1, limit)
	if !d.clean(path) {
		return
	}
	used := firsts{}
	for i, text := range list {
		at := item(path, i)
		d.textAt(at, text, check)
		if first, taken := used.claim(text, d.where(at)); taken {
			d.report(at, "", "%s is in the list already, on line %d", quote(text), first.Line)
		}
	}
}

// checkGateway checks the values of a Gateway together, defaults in place.
func checkGateway(g loaded[Gateway]) {
	spec := g.value.Spec
	if !g.clean("spec.address", "spec.allowedHosts", "spec.allowedOrigins") {
		return
	}
	if len(spec.AllowedHosts) == 0 {
		g.report("spec.allowedHosts", `list the names that clients use, or "*"`,
			"is missing, and %s is reachable from other machines, where any web page could rebind its name to it", quote(spec.Address))
		return
	}
	if len(spec.AllowedOrigins) == 0 {
		g.report("spec.allowedOrigins", `list them, or write "*" to serve the pages of every site`,
			`is missing, and cannot follow from allowedHosts "*"`)
	}
}
