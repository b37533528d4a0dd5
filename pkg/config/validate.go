package config

import (
	"cmp"
	"fmt"
)

// validate checks everything that was decoded, in three steps: each value by itself
// as written, the values of one resource together once the defaults are in, and
// resources against each other. A later step is silent where an earlier one has
// found fault with what it builds on.
func (p *parser) validate() {
	p.validateEach(newCoverage())
	p.validateTogether()
}

// validateEach looks at nothing but one resource at a time.
func (p *parser) validateEach(cover *coverage) {
	for _, g := range p.gateways {
		checkGatewayValues(g)
		g.value.applyDefaults()
		checkGateway(g)
	}
	for _, s := range p.servers {
		checkServerValues(s)
		s.value.applyDefaults()
		checkServer(s)
	}
	for _, r := range p.routes {
		checkRouteValues(r)
		r.value.applyDefaults()
		checkRoute(r, cover)
	}
}

// validateTogether checks resources against each other. Where something is written
// matters to it only for its words (see Index).
func (p *parser) validateTogether() {
	p.checkNames()
	p.checkReferences()
	p.checkResidencyOfFallbacks()
	p.checkSuccessors()
	p.checkRoutePaths()
	p.checkPages()
	p.checkLoops()
	p.checkComplete()
}

// firsts remembers where a name was first used.
type firsts map[string]Position

// claim notes that name is used at pos; the first one to do so wins.
func (f firsts) claim(name string, pos Position) (first Position, taken bool) {
	if first, taken = f[name]; !taken {
		f[name] = pos
	}
	return first, taken
}

// checkNames finds resources of one kind with the same name, and a second Gateway.
func (p *parser) checkNames() {
	for i, g := range p.gateways {
		if i > 0 {
			g.report("", "merge them into one", "there is a Gateway already, in %s", p.gateways[0].where(""))
		}
	}
	servers := firsts{}
	for _, s := range p.servers {
		claimName(s.document, servers, KindMCPServer, s.value.Metadata.Name)
	}
	routes := firsts{}
	for _, r := range p.routes {
		claimName(r.document, routes, KindMCPRoute, r.value.Metadata.Name)
	}
}

func claimName(doc *document, used firsts, kind, name string) {
	if name == "" {
		return
	}
	if first, taken := used.claim(name, doc.where("metadata.name")); taken {
		doc.report("metadata.name", "", "there is an %s %s already, in %s", kind, quote(name), first)
	}
}

// checkReferences finds routes that name servers which do not exist.
func (p *parser) checkReferences() {
	if p.incomplete {
		return
	}
	var names []string
	known := map[string]bool{}
	for _, s := range p.servers {
		names = append(names, s.value.Metadata.Name)
		known[s.value.Metadata.Name] = true
	}
	for _, r := range p.routes {
		for i, ref := range r.value.Spec.Servers {
			path := item("spec.servers", i) + ".name"
			if r.clean(path) && !known[ref.Name] {
				r.report(path, didYouMean(ref.Name, names), "there is no MCPServer %s", quote(ref.Name))
			}
		}
	}
}

// checkRoutePaths finds routes that clients could not tell apart.
func (p *parser) checkRoutePaths() {
	used := map[string]loaded[MCPRoute]{}
	for _, r := range p.routes {
		if !r.clean("spec.path") {
			continue
		}
		path := r.value.Spec.Path
		first, taken := used[path]
		if !taken {
			used[path] = r
			continue
		}
		r.report("spec.path", "", "%s%s belongs to MCPRoute %s already, in %s",
			quote(path), r.orDefault("spec.path"), quote(first.value.Metadata.Name), first.where("spec.path"))
	}
}

// orDefault marks a value in a message that nobody wrote.
func (d *document) orDefault(path string) string {
	if d.written(path) {
		return ""
	}
	return " (the default)"
}

// checkLoops finds endpoints that are the gateway itself.
func (p *parser) checkLoops() {
	address := DefaultAddress
	for _, g := range p.gateways {
		address = g.value.Spec.Address
	}
	for _, s := range p.servers {
		for i, r := range s.value.Spec.Regions {
			for j, e := range r.Endpoints {
				path := item(item("spec.regions", i)+".endpoints", j) + ".address"
				if e.Address == address && s.clean(path) {
					s.report(path, "", "%s is where the Gateway listens, so calls would go in a circle", quote(address))
				}
			}
		}
	}
}

// checkComplete finds that a configuration could not serve anything.
func (p *parser) checkComplete() {
	if p.incomplete {
		return
	}
	if len(p.servers) == 0 {
		p.add(Problem{Message: "there is no MCPServer", Hint: "a configuration needs at least one"})
	}
	if len(p.routes) == 0 {
		p.add(Problem{Message: "there is no MCPRoute", Hint: "a configuration needs at least one"})
	}
}

// check reports what a check of one value found.
func (d *document) check(path, problem, hint string) {
	if problem != "" {
		d.report(path, hint, "%s", problem)
	}
}

// textAt runs a check on a text that was written and is of the right type.
func (d *document) textAt(path, value string, check func(string) (problem, hint string)) {
	if d.written(path) && d.clean(path) {
		problem, hint := check(value)
		d.check(path, problem, hint)
	}
}

// nameAt checks a name of at most limit bytes.
func (d *document) nameAt(path, value string, limit int) {
	d.textAt(path, value, func(s string) (string, string) { return badName(s, limit) })
}

// rangeAt checks that a written number lies between low and high.
func rangeAt[T interface {
	cmp.Ordered
	fmt.Stringer
}](d *document, path string, value, low, high T) {
	if d.written(path) && d.clean(path) && (value < low || value > high) {
		d.report(path, "", "%s is not in the range %s to %s", value, low, high)
	}
}

// countAt checks the length of a list.
func (d *document) countAt(path string, n, low, high int) {
	switch {
	case !d.written(path) || !d.clean(path):
	case n < low:
		d.report(path, "", "the list is empty")
	case n > high:
		d.report(path, "", "the list has %d entries, more than the allowed %d", n, high)
	}
}
