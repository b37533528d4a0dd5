package outlier

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/passive"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/score"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/tier"
)

// Status is what is known of one server.
type Status struct {
	Server string
	// Regions in the order in which they are written.
	Regions []RegionStatus
	// Acts are what was done lately, the newest last.
	Acts []Act
	// Open incidents, and this month's report.
	Open   []incident.Incident
	Report incident.Report
}

// RegionStatus is one region's.
type RegionStatus struct {
	Region string
	// Away is the share of callers that go to another region, in hundredths; Why in words.
	Away int
	Why  string
	// HeldSince is since when callers are kept away until an operator says otherwise, zero where they are not; HeldWhy in words.
	HeldSince time.Time
	HeldWhy   string
	// Pace of its calls.
	Pace passive.Pace
	// Hurt are the tools and callers whose calls failed in the last minute.
	Hurt      passive.Hurt
	Endpoints []EndpointStatus
}

// EndpointStatus is one endpoint's.
type EndpointStatus struct {
	Name, Address string
	Score         score.Score
	Tier          tier.Tier
	// Since is when the tier began; zero where it has always been this one.
	Since time.Time
	// Layer that is bad, since when, and how; empty where none is. Contradicted: calls go well all the same.
	Layer, Detail string
	LayerSince    time.Time
	// Health that it is given.
	Health model.EndpointHealth
	// Calls of the last minute.
	Good, Failed uint64
	P95          time.Duration
	// Layers as probes have found them, from the lowest to the highest; empty where this control plane knows of no probes.
	Layers []probe.Standing
}

// Statuses gives all servers, or one, in order of name. The second result is false where there is no such server.
func (m *Monitor) Statuses(only string) ([]Status, bool) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.servers))
	if only != "" {
		if m.servers[only] == nil {
			return nil, false
		}
		names = []string{only}
	}
	out := make([]Status, 0, len(names))
	for _, name := range names {
		out = append(out, m.status(m.servers[name], now))
	}
	return out, true
}

func (m *Monitor) status(s *server, now time.Time) Status {
	w := s.watched
	out := Status{Server: w.Name, Acts: slices.Clone(s.acts), Report: m.opts.Incidents.Of(w.Name, incident.Month(now), w.Availability)}
	h := s.compute()
	for _, l := range w.Localities {
		key := passive.Region{Server: w.Name, Region: l.Region}
		is := s.regions[l.Region]
		r := RegionStatus{Region: l.Region, Away: h.Shares[l.Region], Why: is.shift.Why, HeldSince: is.held.Since, HeldWhy: is.held.Why, Pace: m.windows.Region(key, now), Hurt: m.windows.Hurt(key, now)}
		if r.Away > 0 && r.Why == "" {
			r.Why = "none of its endpoints is to get all its calls"
		}
		for _, one := range l.Endpoints {
			r.Endpoints = append(r.Endpoints, m.endpointStatus(w, s.endpoints[one.Name], h, now))
		}
		out.Regions = append(out.Regions, r)
		if i, ok := m.opts.Incidents.Current(incident.Key{Server: w.Name, Region: l.Region}); ok {
			out.Open = append(out.Open, i)
		}
	}
	return out
}

func (m *Monitor) endpointStatus(w model.Watched, e *endpoint, h model.Health, now time.Time) EndpointStatus {
	seen := m.windows.Endpoint(passive.Endpoint{Server: w.Name, Address: e.target.Address}, now)
	out := EndpointStatus{
		Name: e.target.Name, Address: e.target.Address, Score: score.Of(e.inputs(seen, now), settings(w.Score)),
		Tier: e.state.Tier, Since: e.state.Since, Layer: e.layer, Detail: e.detail, LayerSince: e.badSince,
		Health: h.Endpoints[e.target.Name], Good: seen.Good, Failed: seen.Failed, P95: seen.P95, Layers: slices.Clone(e.standings),
	}
	if out.Health.Weight == 0 {
		out.Health.Weight = 100
	}
	if e.state.Tier != tier.Steady && !e.state.BadSince.IsZero() && (out.LayerSince.IsZero() || e.state.BadSince.Before(out.LayerSince)) {
		out.LayerSince = e.state.BadSince
	}
	return out
}

// Fit says that a region of a server has an endpoint that can take the calls of others. A server or region of which nothing is
// known yet is not said to be unfit.
func (m *Monitor) Fit(server, region string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.servers[server]
	return s == nil || s.regions[region] == nil || s.fitIn(region)
}

// Incidents gives those of a server, or of all where it is empty, newest first.
func (m *Monitor) Incidents(server string) []incident.Incident {
	return m.opts.Incidents.Incidents(server)
}

// Reports gives a month's, of one server or of all that anything is known of.
func (m *Monitor) Reports(server, month string) []incident.Report {
	promised := map[string]float64{}
	m.mu.Lock()
	for name, s := range m.servers {
		promised[name] = s.watched.Availability
	}
	m.mu.Unlock()
	names := []string{server}
	if server == "" {
		names = slices.Collect(maps.Keys(promised))
		names = append(names, m.opts.Incidents.Known()...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	out := make([]incident.Report, 0, len(names))
	for _, name := range names {
		out = append(out, m.opts.Incidents.Of(name, month, promised[name]))
	}
	return out
}
