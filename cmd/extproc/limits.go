package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
)

// limits count what rate limits bound.
type limits struct {
	engine  limit.Engine
	metrics *mcptelemetry.Limits
}

// countLimits makes them; o tells how many processors share them.
func countLimits(o *outcomes, registry *prometheus.Registry) *limits {
	memory := limit.NewMemory(limit.MemoryOptions{Place: func() limit.Place {
		rank, of := o.fleet.Place()
		return limit.Place{Rank: rank, Of: of}
	}})
	return &limits{engine: memory, metrics: mcptelemetry.NewLimits(registry, memory.Keys)}
}
