package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
)

// Processor is where the state of a processor is read, each time that somebody asks for the
// metrics. All of it is required and safe for concurrent use.
type Processor struct {
	// Streams is how many requests and tries are under way.
	Streams func() int64
	// Policies in force, and the version of the whole set; empty before the first.
	Policies func() (version string, n int)
	// Refusals is how many updates of the control plane were not usable.
	Refusals func() uint64
	// Connected says whether there is a stream to the control plane.
	Connected func() bool
	// Lists are the remembered answers that callers share.
	Lists func() []*policyv1.CatalogEntry
	// Tools is how many tools a server has listed.
	Tools func(server string) int
	// Rooms are the servers whose calls under way are bounded.
	Rooms func() []admit.Room
	// Shedding is the level of pressure: calls of a lower priority are turned away.
	Shedding func() int
	// Now is the clock.
	Now func() time.Time
}

// maxListed bounds the servers with series of their own.
const maxListed = 1000

// processorDescs are the descriptions of the metrics.
type processorDescs struct {
	streams, policies, version, refusals, connected, age, tools, inFlight, waiting, limit, shedding *prometheus.Desc
}

type processorCollector struct {
	Processor
	processorDescs
}

// Register registers the metrics of a processor's state.
func (p Processor) Register(r prometheus.Registerer) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	r.MustRegister(&processorCollector{p, processorDescs{
		streams:   desc("holdfast_streams", "Streams of Envoy under way: one for each request, and one for each try."),
		policies:  desc("holdfast_policies", "Policies in force, one for each route."),
		version:   desc("holdfast_policy_info", "1, with the version of the policies in force: a hash of all of them, the same in all processors that have the same.", "version"),
		refusals:  desc("holdfast_policy_refused_total", "Updates of the control plane that were refused. The last good policies stay in force."),
		connected: desc("holdfast_control_plane_connected", "1 while there is a stream to the control plane."),
		age:       desc("holdfast_catalog_age_seconds", "Time since a server last gave a list of its tools that all callers may share.", "server"),
		tools:     desc("holdfast_catalog_tools", "Tools that a server has listed since the processor began.", "server"),
		inFlight:  desc("holdfast_concurrency_calls", "Calls under way to a server that has a bound, at this processor.", "server"),
		waiting:   desc("holdfast_concurrency_waiting", "Calls that wait for one of those to end.", "server"),
		limit:     desc("holdfast_concurrency_limit", "How many calls may be under way, at this processor.", "server"),
		shedding:  desc("holdfast_shedding_level", "Calls of a priority below this one are turned away, since the processor cannot keep up; 0: none."),
	}})
}

// Describe implements prometheus.Collector.
func (c *processorCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.streams, c.policies, c.version, c.refusals, c.connected, c.age, c.tools, c.inFlight, c.waiting, c.limit, c.shedding,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *processorCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(c.streams, float64(c.Streams()))
	version, n := c.Policies()
	gauge(c.policies, float64(n))
	if version != "" {
		gauge(c.version, 1, version)
	}
	out <- prometheus.MustNewConstMetric(c.refusals, prometheus.CounterValue, float64(c.Refusals()))
	connected := 0.0
	if c.Connected() {
		connected = 1
	}
	gauge(c.connected, connected)
	gauge(c.shedding, float64(c.Shedding()))
	for server, age := range c.ages() {
		gauge(c.age, age.Seconds(), server)
		gauge(c.tools, float64(c.Tools(server)), server)
	}
	for i, room := range c.Rooms() {
		if i >= maxListed {
			break
		}
		gauge(c.inFlight, float64(room.Active), room.Server)
		gauge(c.waiting, float64(room.Waiting), room.Server)
		gauge(c.limit, float64(room.Limit), room.Server)
	}
}

// ages are those of the newest list of tools, by server.
func (c *processorCollector) ages() map[string]time.Duration {
	now, ages := c.Now(), map[string]time.Duration{}
	for _, entry := range c.Lists() {
		if entry.GetMethod() != method.ToolsList {
			continue
		}
		age := max(0, now.Sub(entry.GetAsOf().AsTime()))
		known, ok := ages[entry.GetServer()]
		if !ok && len(ages) >= maxListed {
			continue
		}
		if !ok || age < known {
			ages[entry.GetServer()] = age
		}
	}
	return ages
}
