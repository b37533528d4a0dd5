package model

import (
	"slices"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// SameRegion gives a region whose model is that of another one but for the name: "" where no
// server is ordered by that region, and the region itself otherwise.
func SameRegion(cfg *config.Config, region string) string {
	ordersByIt := func(s config.MCPServer) bool {
		return s.Spec.Failover.Mode == config.Nearest &&
			slices.ContainsFunc(s.Spec.Regions, func(r config.Region) bool { return r.Name == region })
	}
	if slices.ContainsFunc(cfg.Servers, ordersByIt) {
		return region
	}
	return ""
}
