package trace

import "github.com/prometheus/client_golang/prometheus"

// Metrics registers what became of spans.
func Metrics(r prometheus.Registerer, counts *Counts) {
	r.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "holdfast_spans_sent_total", Help: "Spans that the receiver of traces has taken.",
		}, func() float64 { return float64(counts.Sent()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "holdfast_spans_dropped_total",
			Help: "Spans that were dropped, since the receiver of traces did not take them or the queue to it was full.",
		}, func() float64 { return float64(counts.Dropped()) }),
	)
}
