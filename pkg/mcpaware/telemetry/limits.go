package telemetry

import "github.com/prometheus/client_golang/prometheus"

// RegisterProcessors registers the number of processors that share limits on what is under
// way, as this one knows it; 0 before it has heard of any.
func RegisterProcessors(r prometheus.Registerer, processors func() int) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_fleet_processors",
		Help: "Processors that share limits and budgets, as this one knows it; 0 before it has heard of any: then those that the configuration names.",
	}, func() float64 { return float64(processors()) }))
}
