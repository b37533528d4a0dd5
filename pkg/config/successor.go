package config

import (
	"slices"
	"strings"
)

func checkSuccessorValues(s loaded[MCPServer]) {
	next := s.value.Spec.Successor
	if next == nil {
		return
	}
	s.nameAt("spec.successor.server", next.Server, maxNameBytes)
	if next.Share != nil {
		rangeAt(s.document, "spec.successor.share", *next.Share, 0, whole)
	}
}

// checkSuccessors finds servers that cannot take over from another one.
func (p *parser) checkSuccessors() {
	if p.incomplete {
		return
	}
	servers := map[string]MCPServerSpec{}
	var names []string
	for _, s := range p.servers {
		servers[s.value.Metadata.Name] = s.value.Spec
		names = append(names, s.value.Metadata.Name)
	}
	const path = "spec.successor.server"
	for _, s := range p.servers {
		if s.value.Spec.Successor == nil || !s.clean(path) {
			continue
		}
		name, next := s.value.Metadata.Name, s.value.Spec.Successor.Server
		of, known := servers[next]
		switch {
		case next == name:
			s.report(path, "name the MCPServer of the new version", "%s cannot take over from itself", quote(name))
		case !known:
			s.report(path, didYouMean(next, names), "there is no MCPServer %s", quote(next))
		case of.Successor != nil:
			s.report(path, "name "+of.Successor.Server+" here", "%s has a successor itself, %s", quote(next), quote(of.Successor.Server))
		case !keepsTo(of.Residency, s.value.Spec.Residency):
			s.report(path, "give "+next+" residency: ["+strings.Join(s.value.Spec.Residency, ", ")+"]",
				"calls of %s may only go to %s, and those of %s may leave it", quote(name), strings.Join(s.value.Spec.Residency, ", "), quote(next))
		}
	}
}

// keepsTo says that whoever keeps to some jurisdictions keeps to others; none are all there are.
func keepsTo(inner, outer []string) bool {
	outside := func(jurisdiction string) bool { return !slices.Contains(outer, jurisdiction) }
	return len(outer) == 0 || len(inner) > 0 && !slices.ContainsFunc(inner, outside)
}
