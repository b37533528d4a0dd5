package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/budget"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/fleet"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/told"
)

// outcomes are what tools answered, what follows from it for them, and who is told.
type outcomes struct {
	window   *outcome.Window
	breakers *breaker.Set
	fleet    *fleet.Client
	budget   *budget.Budget
	told     *told.Collector
}

// shareOutcomes makes them; the exchange begins with fleet.Run.
// known says whether a tool exists.
func shareOutcomes(s settings, conn *grpc.ClientConn, registry *prometheus.Registry, known func(server, tool string) bool, results fleet.Results, logger *slog.Logger) (*outcomes, error) {
	o := &outcomes{window: outcome.NewWindow(nil), told: &told.Collector{}}
	metrics := mcptelemetry.NewOutcomes(registry, known, func() bool { return o.fleet.Connected() })
	o.breakers = breaker.New(breaker.Options{Processor: s.nodeID, Observer: metrics.Moved, Logger: logger})
	var err error
	o.fleet, err = fleet.New(fleet.Options{
		Conn: conn, Processor: s.nodeID, Windows: o.window, Breakers: o.breakers, Counted: metrics.Count, Told: o.told, Results: results, StateDir: s.state, Logger: logger,
	})
	o.budget = budget.New(budget.Options{Instances: func() int { return o.fleet.Processors() }})
	mcptelemetry.Budget(registry, o.budget.Spent)
	mcptelemetry.RegisterProcessors(registry, func() int { return o.fleet.Processors() })
	return o, err
}
