package control

import (
	"context"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/peers"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/control/state"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
)

// Measure says what a control plane finds out of endpoints by itself.
type Measure int

// Values of Measure.
const (
	// MeasureNothing leaves endpoints to Envoy and to SetHealth.
	MeasureNothing Measure = iota
	// MeasureCalls goes by callers' own calls.
	MeasureCalls
	// MeasureAll makes probes, too.
	MeasureAll
)

// openMonitor begins with what was known before the last stop. What cannot be read is told, and
// found out again.
func (p *Plane) openMonitor() {
	if p.opts.Measure == MeasureNothing {
		return
	}
	load := func(name string) []byte {
		data, err := p.state.LoadMeasured(name)
		if err != nil {
			p.log.Warn("what was measured before is not usable", "file", name, "error", err)
		}
		return data
	}
	incidents, err := incident.NewLog(load(state.IncidentsFileName), p.now)
	if err != nil {
		p.log.Warn("incidents of before are not usable", "error", err)
	}
	opts := outlier.Options{
		SetHealth: p.SetHealth, Promote: p.promoteByTiers, Incidents: incidents, Tiers: load(state.TiersFileName),
		SaveIncidents: func(data []byte) error { return p.state.SaveMeasured(state.IncidentsFileName, data) },
		SaveTiers:     func(data []byte) error { return p.state.SaveMeasured(state.TiersFileName, data) },
		Passive:       p.opts.Measure == MeasureCalls, Version: p.opts.Version, Logger: p.log, Now: p.now,
	}
	if len(p.opts.Peers) > 0 && p.opts.Measure == MeasureAll {
		p.fleet = peers.New(peers.Options{
			Conns: p.opts.Peers, Logger: p.log,
			Found:   func(f outlier.Finding) { p.monitor.Found(f) },
			Changed: func() { p.monitor.Redistribute() },
		})
		opts.Mine, opts.Share = p.fleet.Mine, p.fleet.Share
	}
	p.monitor = outlier.New(opts)
}

// probes is what other control planes tell theirs to; nil where there are none.
func (p *Plane) probes() server.Probes {
	if p.fleet == nil {
		return nil
	}
	return p.fleet
}

// sharing shares the probing with other control planes until ctx ends.
func (p *Plane) sharing(ctx context.Context) {
	if p.fleet != nil {
		p.fleet.Run(ctx)
	}
}

// Monitor watches the endpoints; nil where nothing is measured.
func (p *Plane) Monitor() *outlier.Monitor { return p.monitor }

// observe hands a processor's summary on.
func (p *Plane) observe(s *outcomev1.Summary) {
	if p.monitor != nil {
		p.monitor.Observe(s)
	}
	p.canaries.observe(s.GetCounts())
}

// watch has the monitor look at what a revision has. It is called before the revision goes out, so that
// what is known to be bad is so from the beginning.
func (p *Plane) watch(servers []model.Watched) {
	if p.monitor != nil && servers != nil {
		p.monitor.SetServers(servers)
	}
}

func (p *Plane) measure(ctx context.Context) {
	if p.monitor != nil {
		p.monitor.Run(ctx)
	}
}
