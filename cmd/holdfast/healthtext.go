package main

import (
	"fmt"
	"slices"
	"strings"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
)

// endpointsOf gives all endpoints of servers.
func endpointsOf(servers []*adminv1.Server) []*adminv1.Endpoint {
	var out []*adminv1.Endpoint
	for _, server := range servers {
		for _, region := range server.GetRegions() {
			out = append(out, region.GetEndpoints()...)
		}
	}
	return out
}

// unhealthy: an Envoy does not use the endpoint, and nobody meant that.
func unhealthy(e *adminv1.Endpoint) bool {
	return slices.ContainsFunc(e.GetHealth(), func(h *adminv1.EndpointHealth) bool {
		return h.GetState() == envoyadmin.Unhealthy || h.GetState() == envoyadmin.Ejected
	})
}

// healthOf is what the Envoys say of an endpoint, in one word where they agree.
func healthOf(e *adminv1.Endpoint) string {
	words, _ := opinions(e)
	switch len(words) {
	case 0:
		return "not asked"
	case 1:
		return words[0]
	default:
		return healthNamed(e)
	}
}

// healthNamed says who says what.
func healthNamed(e *adminv1.Endpoint) string {
	words, by := opinions(e)
	parts := make([]string, 0, len(words))
	for _, text := range words {
		parts = append(parts, fmt.Sprintf("%s (%s)", text, listed(by[text])))
	}
	return strings.Join(parts, ", ")
}

// opinions are the different things that Envoys say, in order, with who says each.
func opinions(e *adminv1.Endpoint) (words []string, by map[string][]string) {
	by = map[string][]string{}
	for _, h := range e.GetHealth() {
		text := oneLine(h.GetState())
		if who := h.GetBy(); who != "" {
			text += " by " + oneLine(who)
		}
		if by[text] == nil {
			words = append(words, text)
		}
		by[text] = append(by[text], oneLine(h.GetNode()))
	}
	return words, by
}
