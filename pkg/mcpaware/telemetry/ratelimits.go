package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// maxLimits is how many rate limits have a label of their own; the ones beyond count as
// telemetry.Other.
const maxLimits = 1000

// Limits are the metrics of rate limits. It is safe for concurrent use.
type Limits struct {
	bound     *telemetry.Bound
	decisions *prometheus.CounterVec
}

// NewLimits makes the metrics and registers them. keys is how many keys are counted in this
// processor's memory.
func NewLimits(r prometheus.Registerer, keys func() int) *Limits {
	l := &Limits{
		bound: telemetry.NewBound(maxLimits),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_limit_decisions_total",
			Help: "Messages that counted for a rate limit, by what it said: admitted, refused, or shadow for one that a shadow limit would have refused. A message that one limit refuses counts for that limit alone.",
		}, []string{"limit", "decision"}),
	}
	r.MustRegister(l.decisions, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_limit_keys", Help: "Keys of rate limits that are counted in this processor's memory.",
	}, func() float64 { return float64(keys()) }))
	return l
}

// RegisterLimitsRedis registers the metrics of rate limits that are counted in Redis: whether they are,
// and the messages for which it gave no answer in time.
func RegisterLimitsRedis(r prometheus.Registerer, shared func() bool, failures func() uint64) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_limit_redis_shared",
		Help: "1 while rate limits are counted in Redis for all processors; 0 while it is away and each keeps to its share. There only where a Redis is configured.",
	}, func() float64 {
		if shared() {
			return 1
		}
		return 0
	}), prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "holdfast_limit_redis_failures_total",
		Help: "Messages for which Redis gave no answer in time, so that this processor decided alone.",
	}, func() float64 { return float64(failures()) }))
}

// Count takes what became of a message's charges; see limit.Engine.
func (l *Limits) Count(charges []limit.Charge, results []limit.Result) {
	refused := false
	for i := range charges {
		refused = refused || results[i].Over && !charges[i].Rule.Shadow
	}
	for i := range charges {
		rule, decision := charges[i].Rule, "admitted"
		switch {
		case results[i].Over && rule.Shadow:
			decision = "shadow"
		case results[i].Over:
			decision = "refused"
		case refused:
			continue
		}
		l.decisions.WithLabelValues(l.label(rule), decision).Inc()
	}
}

func (l *Limits) label(rule *limit.Rule) string {
	if !l.bound.Admit([3]string{rule.ID}) {
		return telemetry.Other
	}
	return rule.ID
}
