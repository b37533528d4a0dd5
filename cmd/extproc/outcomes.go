package main

import (
	"log/slog"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/budget"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/fleet"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// outcomes are what tools answered, what follows from it for them, and who is told.
type outcomes struct {
	window   *outcome.Window
	breakers *breaker.Set
	fleet    *fleet.Client
	budget   *budget.Budget
	registry *prometheus.Registry
}

// shareOutcomes makes them; the exchange begins with fleet.Run.
func shareOutcomes(s settings, conn *grpc.ClientConn, logger *slog.Logger) (*outcomes, error) {
	o := &outcomes{window: outcome.NewWindow(nil), registry: telemetry.NewRegistry("extproc", version())}
	metrics := mcptelemetry.NewOutcomes(o.registry, func() bool { return o.fleet.Connected() })
	o.breakers = breaker.New(breaker.Options{Processor: s.nodeID, Observer: metrics.Moved, Logger: logger})
	var err error
	o.fleet, err = fleet.New(fleet.Options{
		Conn: conn, Processor: s.nodeID, Windows: o.window, Breakers: o.breakers, Counted: metrics.Count, StateDir: s.state, Logger: logger,
	})
	o.budget = budget.New(budget.Options{Instances: func() int { return o.fleet.Processors() }})
	mcptelemetry.Budget(o.registry, o.budget.Spent)
	mcptelemetry.RegisterProcessors(o.registry, func() int { return o.fleet.Processors() })
	return o, err
}

// version of the program, as its module was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
