package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/results"
)

// Results are the metrics of remembered results. It is safe for concurrent use.
type Results struct {
	looked map[results.Tier]map[string]prometheus.Counter
	kept   map[results.Tier]map[string]prometheus.Counter
}

var _ results.Observer = (*Results)(nil)

// NewResults makes the metrics and registers them; held gives how many results are in memory, and
// the bytes that they take.
func NewResults(r prometheus.Registerer, held func() (entries int, bytes uint64)) *Results {
	looked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_remembered_lookups_total",
		Help: "Looks for a remembered result in the place of an answer that is missing, by tier (memory, redis) and by result: hit, miss, failed. Redis is asked where memory has none.",
	}, []string{"tier", "result"})
	kept := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_remembered_writes_total",
		Help: "Results of tools that were to be remembered, by tier and by result: ok, failed, dropped where too many were waiting for Redis.",
	}, []string{"tier", "result"})
	r.MustRegister(looked, kept,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_remembered_results", Help: "Results of tools that are remembered in memory.",
		}, func() float64 { entries, _ := held(); return float64(entries) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_remembered_bytes", Help: "Bytes that remembered results take in memory.",
		}, func() float64 { _, bytes := held(); return float64(bytes) }))
	out := &Results{looked: map[results.Tier]map[string]prometheus.Counter{}, kept: map[results.Tier]map[string]prometheus.Counter{}}
	for _, tier := range []results.Tier{results.Memory, results.Redis} {
		out.looked[tier], out.kept[tier] = map[string]prometheus.Counter{}, map[string]prometheus.Counter{}
		for _, outcome := range []string{results.Hit, results.Miss, results.Failed} {
			out.looked[tier][outcome] = looked.WithLabelValues(string(tier), outcome)
		}
		for _, outcome := range []string{results.OK, results.Failed, results.Dropped} {
			out.kept[tier][outcome] = kept.WithLabelValues(string(tier), outcome)
		}
	}
	return out
}

// Looked implements results.Observer.
func (m *Results) Looked(tier results.Tier, outcome string) {
	if c := m.looked[tier][outcome]; c != nil {
		c.Inc()
	}
}

// Kept implements results.Observer.
func (m *Results) Kept(tier results.Tier, outcome string) {
	if c := m.kept[tier][outcome]; c != nil {
		c.Inc()
	}
}
