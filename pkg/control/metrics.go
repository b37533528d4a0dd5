package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// Metrics gives what the control plane knows to Prometheus. It is computed when it is asked
// for: nothing is kept but the counts of answers.
func (p *Plane) Metrics() prometheus.Collector { return collector{p} }

type collector struct{ plane *Plane }

// maxBreakerSeries bounds the breakers with series of their own; holdfast_fleet_breakers counts
// all of them.
const maxBreakerSeries = 1000

var (
	readyDesc = prometheus.NewDesc("holdfast_control_plane_ready", "1 once there is a revision to serve.", nil, nil)
	revDesc   = prometheus.NewDesc("holdfast_revision", "Number of the newest revision.", nil, nil)
	rollDesc  = prometheus.NewDesc("holdfast_rollout_done", "1 while the newest rollout has reached every node that it waits for.", nil, nil)
	snapDesc  = prometheus.NewDesc("holdfast_snapshot_info", "1, with the content hash of the newest revision that nodes are given, and the phase of its rollout.",
		[]string{"version", "phase"}, nil)
	availabilityDesc = prometheus.NewDesc("holdfast_slo_availability_ratio", "Share of calls that a server's callers are promised an answer to, from 0 to 1.", []string{"server"}, nil)
	p95Desc          = prometheus.NewDesc("holdfast_slo_p95_seconds", "Time in which 95 of 100 answers of a server are promised to begin.", []string{"server"}, nil)
	nodesDesc        = prometheus.NewDesc("holdfast_xds_nodes", "Connected nodes, by kind (envoy, extproc) and by how they stand (synced, pending, silent, rejected).",
		[]string{"kind", "sync"}, nil)
	acksDesc  = prometheus.NewDesc("holdfast_xds_acks_total", "Responses that nodes acknowledged, by type of resource.", []string{"type"}, nil)
	nacksDesc = prometheus.NewDesc("holdfast_xds_nacks_total", "Responses that nodes refused, by type of resource. The last good resources stay in force.",
		[]string{"type"}, nil)
	sharersDesc  = prometheus.NewDesc("holdfast_fleet_processors", "Processors that share what tools answer.", nil, nil)
	droppedDesc  = prometheus.NewDesc("holdfast_fleet_dropped_total", "Entries of processors' summaries that were not taken: beyond a bound, or not usable.", nil, nil)
	breakersDesc = prometheus.NewDesc("holdfast_fleet_breaker_state",
		"Breakers that are not closed, over all processors: 1 half open, 2 open. What an operator holds is in holdfast_breaker_override instead.",
		[]string{"server", "tool", "region"}, nil)
	countDesc    = prometheus.NewDesc("holdfast_fleet_breakers", "Breakers that are not closed, by state.", []string{"state"}, nil)
	overrideDesc = prometheus.NewDesc("holdfast_breaker_override", "1 for each breaker that an operator holds, by the state that it is held in. An empty region is every one.",
		[]string{"server", "tool", "region", "state"}, nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		readyDesc, revDesc, rollDesc, snapDesc, availabilityDesc, p95Desc, nodesDesc, acksDesc, nacksDesc, sharersDesc, droppedDesc, breakersDesc, countDesc, overrideDesc,
	} {
		out <- d
	}
	for _, d := range healthDescs() {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.plane.Status()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(readyDesc, truth(s.Ready))
	if s.Head != nil {
		gauge(revDesc, float64(s.Head.Number))
	}
	gauge(rollDesc, truth(s.Revision != nil && s.Revision.Phase == "done" && s.Revision.Next == ""))
	c.promises(gauge, s)
	c.health(gauge, c.plane.now())
	nodes := map[[2]string]int{}
	for _, n := range s.Nodes {
		nodes[[2]string{n.Kind, string(n.Sync)}]++
	}
	for key, n := range nodes {
		gauge(nodesDesc, float64(n), key[0], key[1])
	}
	for name, a := range c.plane.server.Answers() {
		counter(acksDesc, a.Acks, name)
		counter(nacksDesc, a.Nacks, name)
	}
	gauge(sharersDesc, float64(len(c.plane.outcomes.Processors())))
	counter(droppedDesc, c.plane.outcomes.Dropped())
	states := map[string]int{status.BreakerOpen: 0, status.BreakerHalfOpen: 0}
	for i, b := range s.Breakers {
		switch {
		case b.Held:
			// Operators hold a bounded number.
			gauge(overrideDesc, 1, b.Server, b.Tool, b.Region, b.State)
			continue
		case i < maxBreakerSeries:
			gauge(breakersDesc, stateValue(b.State), b.Server, b.Tool, b.Region)
		}
		states[b.State]++
	}
	for state, n := range states {
		gauge(countDesc, float64(n), state)
	}
}

// promises are the servers' own, and which revision they are of. Servers are bounded by what a
// configuration may have.
func (collector) promises(gauge func(d *prometheus.Desc, value float64, labels ...string), s status.Status) {
	if s.Revision != nil {
		gauge(snapDesc, 1, s.Revision.Version, s.Revision.Phase)
	}
	for _, server := range s.Servers {
		if server.SLO == nil {
			continue
		}
		if server.SLO.Availability > 0 {
			gauge(availabilityDesc, server.SLO.Availability, server.Name)
		}
		if server.SLO.P95Seconds > 0 {
			gauge(p95Desc, server.SLO.P95Seconds, server.Name)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func stateValue(state string) float64 {
	switch state {
	case status.BreakerOpen:
		return 2
	case status.BreakerHalfOpen:
		return 1
	default:
		return 0
	}
}
