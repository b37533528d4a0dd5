package control

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/tier"
)

// maxEndpointSeries bounds the endpoints with series of their own: those that are not steady come first.
const maxEndpointSeries = 1000

var (
	scoreDesc = prometheus.NewDesc("holdfast_endpoint_score", "How well an endpoint does, 0 to 100; see docs/HEALTH.md. At most 1000 have one, those that are not steady first.",
		[]string{"server", "region", "endpoint"}, nil)
	tierDesc = prometheus.NewDesc("holdfast_endpoint_tier",
		"How far things have gone with an endpoint that is not steady, by the layer that is bad: 1 watched, 2 shedding, 3 ejected, 4 abandoned.",
		[]string{"server", "region", "endpoint", "layer"}, nil)
	awayDesc    = prometheus.NewDesc("holdfast_region_away_ratio", "Share of callers that go from a region to another one, where some do.", []string{"server", "region"}, nil)
	probedDesc  = prometheus.NewDesc("holdfast_probed_endpoints", "Endpoints that this control plane looks at.", nil, nil)
	sharingDesc = prometheus.NewDesc("holdfast_probing_peers", "Other control planes that share the probing with this one and are heard of.", nil, nil)
	unfitDesc   = prometheus.NewDesc("holdfast_server_unfit", "1 where no endpoint of a server is fit in any region.", []string{"server"}, nil)
	openDesc    = prometheus.NewDesc("holdfast_incidents_open", "Incidents that are not over, by whether somebody is needed (yes or no).", []string{"server", "somebody"}, nil)
	mttdDesc    = prometheus.NewDesc("holdfast_incident_detect_seconds", "Mean time until an incident of this month was detected, where there were any.", []string{"server"}, nil)
	mttrDesc    = prometheus.NewDesc("holdfast_incident_restore_seconds", "Mean time until callers were served again after an incident of this month began, where there were any, by whether somebody was needed: any counts all.",
		[]string{"server", "somebody"}, nil)
	mtbfDesc   = prometheus.NewDesc("holdfast_incident_between_seconds", "Mean time from the end of an incident of this month to the beginning of the next, where there were two.", []string{"server"}, nil)
	monthDesc  = prometheus.NewDesc("holdfast_month_availability_ratio", "Share of this month's calls that were answered, of servers that had any.", []string{"server"}, nil)
	budgetDesc = prometheus.NewDesc("holdfast_month_budget_left_ratio", "What is left of this month's error budget, below 0 where more has failed; of servers that promise an availability and had calls.", []string{"server"}, nil)
)

func healthDescs() []*prometheus.Desc {
	return []*prometheus.Desc{scoreDesc, tierDesc, awayDesc, probedDesc, sharingDesc, unfitDesc, openDesc, mttdDesc, mttrDesc, mtbfDesc, monthDesc, budgetDesc}
}

type gaugeFunc func(d *prometheus.Desc, value float64, labels ...string)

// health gives what is measured. A server's series are bounded by the configuration, those of endpoints by
// maxEndpointSeries.
func (c collector) health(gauge gaugeFunc, now time.Time) {
	m := c.plane.monitor
	if m == nil {
		return
	}
	figures := m.Figures(maxEndpointSeries)
	for _, e := range figures.Endpoints {
		gauge(scoreDesc, e.Score, e.Server, e.Region, e.Endpoint)
		if e.Tier != tier.Steady {
			gauge(tierDesc, float64(e.Tier), e.Server, e.Region, e.Endpoint, e.Layer)
		}
	}
	gauge(probedDesc, float64(figures.Probed))
	peers := 0
	if f := c.plane.fleet; f != nil {
		peers = f.Peers()
	}
	gauge(sharingDesc, float64(peers))
	for _, r := range figures.Away {
		gauge(awayDesc, float64(r.Away)/100, r.Server, r.Region)
	}
	for _, server := range figures.Unfit {
		gauge(unfitDesc, 1, server)
	}
	open := map[[2]string]int{}
	for _, i := range m.Incidents("") {
		if i.Open() {
			open[[2]string{i.Server, yes(!i.Automatic())}]++
		}
	}
	for key, n := range open {
		gauge(openDesc, float64(n), key[0], key[1])
	}
	for _, r := range m.Active(incident.Month(now)) {
		c.month(gauge, r)
	}
}

func (collector) month(gauge gaugeFunc, r incident.Report) {
	if r.Incidents > 0 {
		gauge(mttdDesc, r.ToDetect, r.Server)
		gauge(mttrDesc, r.ToRestore, r.Server, "any")
		gauge(mttrDesc, r.ToRestoreAutomatic, r.Server, "no")
	}
	if r.Between > 0 {
		gauge(mtbfDesc, r.Between, r.Server)
	}
	if r.Calls != (incident.Calls{}) {
		gauge(monthDesc, r.Availability, r.Server)
		if r.Promised > 0 {
			gauge(budgetDesc, r.Budget, r.Server)
		}
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
