package outlier

import (
	"cmp"
	"slices"

	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/tier"
)

// EndpointFigure is what metrics show of an endpoint.
type EndpointFigure struct {
	Server, Region, Endpoint string
	Score                    float64
	Tier                     tier.Tier
	Layer                    string
}

// AwayFigure is a region that callers leave.
type AwayFigure struct {
	Server, Region string
	// Away in hundredths.
	Away int
}

// Figures are what metrics show.
type Figures struct {
	// Endpoints, the farthest tiers first.
	Endpoints []EndpointFigure
	Away      []AwayFigure
	// Unfit are servers of which no endpoint is fit.
	Unfit []string
	// Probed is how many endpoints are looked at from here.
	Probed int
}

// Figures gives at most limit endpoints, those that are not steady first.
func (m *Monitor) Figures(limit int) Figures {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out Figures
	for name, s := range m.servers {
		fit := false
		for _, e := range s.endpoints {
			fit = fit || e.fit()
			if e.watch != nil {
				out.Probed++
			}
			out.Endpoints = append(out.Endpoints, EndpointFigure{name, e.target.Region, e.target.Name, e.score.Value, e.state.Tier, e.layer})
		}
		if !fit && len(s.endpoints) > 0 {
			out.Unfit = append(out.Unfit, name)
		}
		for region, away := range s.compute().Shares {
			out.Away = append(out.Away, AwayFigure{name, region, away})
		}
	}
	slices.SortFunc(out.Endpoints, func(a, b EndpointFigure) int {
		return cmp.Or(cmp.Compare(b.Tier, a.Tier), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	out.Endpoints = out.Endpoints[:min(len(out.Endpoints), limit)]
	slices.Sort(out.Unfit)
	return out
}

// Active gives a month's reports of the servers of which anything is kept and that are still there.
func (m *Monitor) Active(month string) []incident.Report {
	promised := map[string]float64{}
	m.mu.Lock()
	for name, s := range m.servers {
		promised[name] = s.watched.Availability
	}
	m.mu.Unlock()
	var out []incident.Report
	for _, name := range m.opts.Incidents.Known() {
		if availability, ok := promised[name]; ok {
			out = append(out, m.opts.Incidents.Of(name, month, availability))
		}
	}
	return out
}
