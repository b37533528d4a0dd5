package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Budget registers the metric of the retry budgets; spent is how many calls were refused retries so far.
func Budget(r prometheus.Registerer, spent func() uint64) {
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "holdfast_retry_budget_spent_total",
		Help: "Calls that were let through without retries, since those of their server were used up.",
	}, func() float64 { return float64(spent()) }))
}
