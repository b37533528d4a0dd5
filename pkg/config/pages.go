package config

func checkPageValues(r loaded[MCPRoute]) {
	pages := r.value.Spec.Pages
	r.countAt("spec.pages", len(pages), 0, maxPages)
	if !r.clean("spec.pages") {
		return
	}
	used := firsts{}
	for i, page := range pages {
		at := item("spec.pages", i)
		r.textAt(at, page, badPath)
		if first, taken := used.claim(page, r.where(at)); taken {
			r.report(at, "", "%s is in the list already, on line %d", quote(page), first.Line)
		}
	}
}

// checkPages finds pages that something else answers, and pages through which messages
// would reach a server that nobody has looked at.
func (p *parser) checkPages() {
	if !p.anyPage() {
		return
	}
	endpoints, servers, pages := map[string]string{}, map[string]string{}, map[string]loaded[MCPRoute]{}
	for _, r := range p.routes {
		endpoints[r.value.Spec.Path] = r.value.Metadata.Name
	}
	for _, s := range p.servers {
		servers[s.value.Spec.Path] = s.value.Metadata.Name
	}
	for _, r := range p.routes {
		for i, page := range r.value.Spec.Pages {
			at := item("spec.pages", i)
			if !r.clean(at) {
				continue
			}
			first, taken := pages[page]
			switch {
			case endpoints[page] != "":
				r.report(at, "", "%s is the endpoint of MCPRoute %s", quote(page), quote(endpoints[page]))
			case servers[page] != "":
				r.report(at, "", "%s is where MCPServer %s takes MCP messages, which nobody would check", quote(page), quote(servers[page]))
			case taken && first.value.Metadata.Name != r.value.Metadata.Name:
				r.report(at, "", "%s belongs to MCPRoute %s already, in %s", quote(page), quote(first.value.Metadata.Name), first.where("spec.pages"))
			default:
				pages[page] = r
			}
		}
	}
}

func (p *parser) anyPage() bool {
	for _, r := range p.routes {
		if len(r.value.Spec.Pages) > 0 {
			return true
		}
	}
	return false
}
