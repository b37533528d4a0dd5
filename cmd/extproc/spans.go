package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// newSpans makes where spans go, which is nowhere until policies say where.
func newSpans(s settings, r prometheus.Registerer, logger *slog.Logger) *trace.Current {
	counts := &trace.Counts{}
	trace.Metrics(r, counts)
	return trace.NewCurrent(trace.Source{Service: "holdfast-extproc", Version: version(), Instance: s.nodeID}, counts, logger)
}

func spanSettings(t *decide.Table) *trace.Settings {
	traces := t.Traces()
	if traces == nil {
		return nil
	}
	return &trace.Settings{Address: traces.GetAddress(), HTTP: traces.GetHttp()}
}
