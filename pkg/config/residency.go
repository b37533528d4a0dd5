package config

import (
	"cmp"
	"slices"
	"strings"
)

// maxRegionCost of a call there.
const maxRegionCost = 1_000_000

// maxJurisdictions of one residency.
const maxJurisdictions = 16

// Resident are the regions that calls of the server may ever go to, those of its residency, in failover order: as written, or by
// cost where that is preferred.
func (s MCPServerSpec) Resident() []Region {
	out := s.Regions
	if len(s.Residency) > 0 {
		out = slices.DeleteFunc(slices.Clone(out), func(r Region) bool { return !slices.Contains(s.Residency, r.Labels.Jurisdiction) })
	}
	if s.Failover.Prefer == PreferCost {
		out = slices.Clone(out)
		slices.SortStableFunc(out, func(a, b Region) int { return cmp.Compare(a.Labels.cost(), b.Labels.cost()) })
	}
	return out
}

// cost with its default.
func (l RegionLabels) cost() int {
	if l.Cost == nil {
		return maxRegionCost + 1
	}
	return *l.Cost
}

// LatencyTarget is the time in which 95 of 100 answers should begin.
func (s MCPServerSpec) LatencyTarget() Duration {
	if s.SLO != nil && s.SLO.P95 > 0 {
		return s.SLO.P95
	}
	return s.Score.ResponseTime.Target
}

func checkResidencyValues(s loaded[MCPServer]) {
	spec := s.value.Spec
	jurisdiction := func(text string) (string, string) { return badName(text, maxNameBytes) }
	if len(spec.Residency) > 0 || s.written("spec.residency") {
		s.textsAt("spec.residency", spec.Residency, maxJurisdictions, jurisdiction)
	}
	for i, region := range spec.Regions {
		s.nameAt(item("spec.regions", i)+".labels.jurisdiction", region.Labels.Jurisdiction, maxNameBytes)
		if cost := region.Labels.Cost; cost != nil {
			rangeAt(s.document, item("spec.regions", i)+".labels.cost", number(*cost), 0, maxRegionCost)
		}
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
