package main

import (
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/policy"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
)

// knownTools says which tools exist: those that their server has listed, and those that a
// rule names. Whatever else callers ask for counts as other.
func knownTools(lists *catalog.Store, policies *policy.Client) func(server, tool string) bool {
	return func(server, tool string) bool {
		if lists.HasTool(server, tool) {
			return true
		}
		table := policies.Table()
		return table != nil && table.NamesTool(tool)
	}
}

// showState registers what is read when somebody asks for it.
func showState(r prometheus.Registerer, streams func() int64, lists *catalog.Store, policies *policy.Client, gate *admit.Gate, pressure *admit.Pressure) {
	mcptelemetry.Processor{
		Streams: streams, Connected: policies.Connected, Refusals: policies.Refusals,
		Policies: func() (string, int) {
			table := policies.Table()
			if table == nil {
				return "", 0
			}
			return policies.Version(), table.Len()
		},
		Lists: lists.Shared, Tools: lists.Tools, Rooms: gate.Rooms, Shedding: pressure.Level, Now: time.Now,
	}.Register(r)
}

// version of the program, as its module was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
