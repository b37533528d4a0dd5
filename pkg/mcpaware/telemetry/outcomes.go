// Package telemetry counts for Prometheus what a processor decides. Nothing here is on
// the way of a call: verdicts are counted from the summaries that the windows give
// once a second, breakers when they change.
package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// maxTools is how many (server, tool, region) have labels of their own; the tools beyond
// count as telemetry.Other.
const maxTools = 2000

// Outcomes are the metrics of verdicts and breakers. It is safe for concurrent use.
type Outcomes struct {
	known       func(server, tool string) bool
	bound       *telemetry.Bound
	verdicts    *prometheus.CounterVec
	state       *prometheus.GaugeVec
	transitions *prometheus.CounterVec
}

// NewOutcomes makes the metrics and registers them. known says whether a tool exists, so that
// it may be a label; connected, whether the other processors can be heard.
func NewOutcomes(r prometheus.Registerer, known func(server, tool string) bool, connected func() bool) *Outcomes {
	labels := []string{"server", "tool", "region"}
	o := &Outcomes{
		known: known,
		bound: telemetry.NewBound(maxTools),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_verdicts_total",
			Help: "Answers of servers, a try each, by what they say about the tool: good, failed, or busy (429). Methods other than tools/call stand with their name as tool.",
		}, append(labels, "verdict")),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_breaker_state",
			Help: "What answers say about a tool in a region: 0 closed, 1 half open, 2 open. A breaker that has never opened has no series; what operators hold is in holdfast_breaker_override.",
		}, labels),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_breaker_transitions_total",
			Help: "Changes of breakers, by the state that they came to.",
		}, append(labels, "to")),
	}
	r.MustRegister(o.verdicts, o.state, o.transitions, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_fleet_connected", Help: "1 while this processor hears from the others through the control plane; 0 while it decides alone.",
	}, func() float64 {
		if connected() {
			return 1
		}
		return 0
	}))
	return o
}

// Count takes a second's counts of this processor.
func (o *Outcomes) Count(counts []*outcomev1.Count) {
	for _, c := range counts {
		tool := c.GetTool()
		switch {
		case tool == "":
			tool = methodLabel(c.GetMethod())
		case !o.known(c.GetServer(), tool):
			tool = telemetry.Other
		}
		labels := o.labels(c.GetServer(), tool, c.GetRegion())
		for _, v := range []struct {
			verdict string
			n       uint32
		}{{"good", c.GetGood()}, {"failed", c.GetFailed()}, {"busy", c.GetBusy()}} {
			if v.n > 0 {
				o.verdicts.WithLabelValues(append(labels, v.verdict)...).Add(float64(v.n))
			}
		}
	}
}

// Moved takes a change of a breaker. It does not block.
func (o *Outcomes) Moved(t breaker.Transition) {
	tool := t.Tool
	if !o.known(t.Server, tool) {
		tool = telemetry.Other
	}
	labels := o.labels(t.Server, tool, t.Region)
	value, word := stateOf(t.To)
	o.state.WithLabelValues(labels...).Set(value)
	o.transitions.WithLabelValues(append(labels, word)...).Inc()
}

// labels gives each caller a slice of its own, with room for one more.
func (o *Outcomes) labels(server, tool, region string) []string {
	if !o.bound.Admit([3]string{server, tool, region}) {
		tool = telemetry.Other
	}
	return append(make([]string, 0, 4), server, tool, region)
}

func stateOf(s outcomev1.BreakerState) (float64, string) {
	switch s {
	case outcomev1.BreakerState_BREAKER_STATE_OPEN:
		return 2, "open"
	case outcomev1.BreakerState_BREAKER_STATE_HALF_OPEN:
		return 1, "half_open"
	default:
		return 0, "closed"
	}
}
