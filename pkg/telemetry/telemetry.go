// Package telemetry is what the programs share to show their metrics to Prometheus: a
// registry with what every program has, the page that it is read from, and a bound on
// the values that a label may take. Metrics of one concern stand in the package of that
// concern.
package telemetry

import (
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Path of the metrics on a program's HTTP address.
const Path = "/metrics"

// Other stands for all values of a label that found no room; see Bound.
const Other = "other"

// maxScrapes is how many readers are served at once.
const maxScrapes = 4

// NewRegistry makes a registry with the Go runtime's metrics, the process's, and
// holdfast_build_info of a program, such as "extproc".
func NewRegistry(program, version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_build_info", Help: "1, with the program and its version as labels.",
		ConstLabels: prometheus.Labels{"program": program, "version": version},
	})
	build.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return r
}

// Handler serves a registry in whichever of Prometheus's formats the reader asks for. A
// metric that cannot be gathered is left out, and logged.
func Handler(r *prometheus.Registry, logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true,
	})
}

// Bound admits a number of values of a label, or of several labels together, first come
// first served, so that what callers send cannot grow the memory of a program or of
// the Prometheus that reads it. It is safe for concurrent use.
type Bound struct {
	limit int
	mu    sync.RWMutex
	known map[[3]string]struct{}
}

// NewBound makes a Bound that admits limit values.
func NewBound(limit int) *Bound {
	return &Bound{limit: limit, known: make(map[[3]string]struct{})}
}

// Admit says whether the values may stand in labels: they were admitted before, or
// there is room.
func (b *Bound) Admit(values [3]string) bool {
	b.mu.RLock()
	_, ok := b.known[values]
	b.mu.RUnlock()
	if ok {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.known[values]; !ok && len(b.known) >= b.limit {
		return false
	}
	b.known[values] = struct{}{}
	return true
}
