package config

import (
	"slices"
	"strings"
)

// maxJurisdictions of one residency.
const maxJurisdictions = 16

// Resident are the regions that calls of the server may ever go to, in written order: those of its residency.
func (s MCPServerSpec) Resident() []Region {
	if len(s.Residency) == 0 {
		return s.Regions
	}
	return slices.DeleteFunc(slices.Clone(s.Regions), func(r Region) bool { return !slices.Contains(s.Residency, r.Labels.Jurisdiction) })
}

func checkResidencyValues(s loaded[MCPServer]) {
	spec := s.value.Spec
	jurisdiction := func(text string) (string, string) { return badName(text, maxNameBytes) }
	if len(spec.Residency) > 0 || s.written("spec.residency") {
		s.textsAt("spec.residency", spec.Residency, maxJurisdictions, jurisdiction)
	}
	for i, region := range spec.Regions {
		s.nameAt(item("spec.regions", i)+".labels.jurisdiction", region.Labels.Jurisdiction, maxNameBytes)
	}
}

// checkResidency finds a jurisdiction in which the server has no region.
func checkResidency(s loaded[MCPServer]) {
	if !s.clean("spec.residency", "spec.regions") {
		return
	}
	var known []string
	for _, r := range s.value.Spec.Regions {
		if j := r.Labels.Jurisdiction; j != "" && !slices.Contains(known, j) {
			known = append(known, j)
		}
	}
	for i, jurisdiction := range s.value.Spec.Residency {
		if slices.Contains(known, jurisdiction) {
			continue
		}
		hint := didYouMean(jurisdiction, known)
		if len(known) == 0 {
			hint = "say where a region is: labels: {jurisdiction: " + jurisdiction + "}"
		}
		s.report(item("spec.residency", i), hint, "no region is in the jurisdiction %s", quote(jurisdiction))
	}
}

// checkResidencyOfFallbacks finds second providers that may be where calls of the first must not go.
func (p *parser) checkResidencyOfFallbacks() {
	servers := map[string]MCPServerSpec{}
	for _, s := range p.servers {
		servers[s.value.Metadata.Name] = s.value.Spec
	}
	for _, r := range p.routes {
		if len(r.value.Spec.Servers) == 0 || !r.clean("spec.servers") {
			continue
		}
		for i, rule := range r.value.Spec.Tools {
			path := item("spec.tools", i) + ".fallback.server"
			if rule.Fallback == nil || !r.clean(path) {
				continue
			}
			first := r.value.Spec.Servers[0].Name
			if rule.To != nil {
				first = rule.To.Server
			}
			bound, second := servers[first].Residency, servers[rule.Fallback.Server].Residency
			if !keepsTo(second, bound) {
				r.report(path, "give "+rule.Fallback.Server+" residency: ["+strings.Join(bound, ", ")+"]",
					"calls of %s may only go to %s, and those of %s may leave it", quote(first), strings.Join(bound, ", "), quote(rule.Fallback.Server))
			}
		}
	}
}
