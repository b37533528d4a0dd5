package telemetry

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// Status is how a call ended for its caller: the label "status".
type Status string

// Values of Status.
const (
	// OK: a server's answer, which may tell the caller of a mistake of its own.
	OK Status = "ok"
	// Failed: a server's own failure, or an error in the place of an answer that is missing.
	Failed Status = "error"
	// Degraded: something remembered or prepared stood in for the server.
	Degraded Status = "degraded"
	// Limited: there was no room for the call, or none left for its caller.
	Limited Status = "limited"
	// Refused: the request was wrong, and no server was asked.
	Refused Status = "refused"
	// Cancelled: the caller went away first.
	Cancelled Status = "cancelled"
)

// CancelledType is the error.type of calls that were given up by their caller.
const CancelledType = "cancelled"

// maxCalls bounds the series of calls: (server, method, tool, status, error) that have
// series of their own. Tools beyond it count as telemetry.Other.
const maxCalls = 4000

// buckets are those that the OpenTelemetry conventions for MCP ask for, in seconds.
var buckets = []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300} //nolint:gochecknoglobals // a constant list

// Native histograms: each bucket at most a tenth wider than the one before.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
	nativeReset   = time.Hour
)

// Call is one call as its caller has seen it.
type Call struct {
	// Server and Method; Tool where the method is tools/call.
	Server, Method, Tool string
	Status               Status
	// Error is the machine-readable code of what went wrong; empty where nothing did.
	Error string
	// Source says what stood in for the server's answer; empty where nothing did.
	Source string
	// Region that answered, Home the one that should have; empty where that is not known.
	Region, Home string
	// Took is the time from the request's headers to the headers of the answer.
	Took time.Duration
}

// CallOptions of NewCalls.
type CallOptions struct {
	// Known says whether a tool exists, so that it may be a label; nil knows none.
	Known func(server, tool string) bool
	// Native adds native histograms, which Prometheus takes when it is told to.
	Native bool
}

// Calls are the metrics of calls. A call that is counted costs one look-up and a few atomic
// additions; nothing is allocated but for the first one of a kind. It is safe for concurrent use.
type Calls struct {
	known      func(server, tool string) bool
	operations *prometheus.HistogramVec
	toolCalls  *prometheus.CounterVec
	toolTime   *prometheus.HistogramVec
	promised   *prometheus.CounterVec
	stoodIn    *prometheus.CounterVec
	refused    *prometheus.CounterVec
	retries    *prometheus.CounterVec
	failovers  *prometheus.CounterVec

	mu     sync.RWMutex
	series map[kind]*series
}

// kind is what calls have in common that count together.
type kind struct {
	server, method, tool string
	status               Status
	failure              string
}

// series are the metrics of a kind.
type series struct {
	operation prometheus.Observer
	// calls and took are nil where the method is not tools/call.
	calls prometheus.Counter
	took  prometheus.Observer
	// promised is nil where an SLO does not count the call.
	promised prometheus.Counter
}

// NewCalls makes the metrics and registers them.
func NewCalls(r prometheus.Registerer, opts CallOptions) *Calls {
	if opts.Known == nil {
		opts.Known = func(string, string) bool { return false }
	}
	c := &Calls{known: opts.Known, series: map[kind]*series{}}
	c.operations = prometheus.NewHistogramVec(histogram(opts, "mcp_server_operation_duration_seconds",
		"MCP messages by the time until their answer began (OpenTelemetry's mcp.server.operation.duration). error_type is empty where the server answered, cancelled where the caller went away, else the code in the error's data."),
		[]string{"server", "mcp_method_name", "gen_ai_tool_name", "error_type"})
	c.toolCalls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mcp_tool_calls_total",
		Help: "Calls of tools, by how they ended for the caller: ok, error, degraded, limited, refused, cancelled.",
	}, []string{"tool_name", "status"})
	c.toolTime = prometheus.NewHistogramVec(histogram(opts, "mcp_tool_duration_seconds",
		"Calls of tools by the time until their answer began, whatever it was."), []string{"tool_name"})
	c.promised = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_slo_calls_total",
		Help: "Calls that a server's SLO counts: good where the caller got an answer, be it a remembered one or another server's, else bad. Those that were refused, limited or cancelled are not among them.",
	}, []string{"server", "result"})
	c.stoodIn = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_degraded_answers_total",
		Help: "Answers that were not the server's own, by what stood in for it (stale, error and so on) and by the code of why it was missing.",
	}, []string{"server", "source", "reason"})
	c.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_refused_total", Help: "Requests that were turned away without asking a server, by code.",
	}, []string{"reason"})
	c.retries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_retries_total", Help: "Tries after the first one of their call, by the region that they went to.",
	}, []string{"server", "region"})
	c.failovers = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_failovers_total",
		Help: "Calls that were answered by another region than the one that they prefer. Servers whose regions share all calls have none.",
	}, []string{"server", "from", "to"})
	r.MustRegister(c.operations, c.toolCalls, c.toolTime, c.promised, c.stoodIn, c.refused, c.retries, c.failovers)
	return c
}

func histogram(opts CallOptions, name, help string) prometheus.HistogramOpts {
	o := prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
	if opts.Native {
		o.NativeHistogramBucketFactor, o.NativeHistogramMaxBucketNumber, o.NativeHistogramMinResetDuration = nativeFactor, nativeBuckets, nativeReset
	}
	return o
}

// Ended counts a call.
func (c *Calls) Ended(call *Call) {
	if call.Method != "" {
		s := c.of(kind{server: call.Server, method: call.Method, tool: call.Tool, status: call.Status, failure: call.Error})
		seconds := call.Took.Seconds()
		s.operation.Observe(seconds)
		if s.promised != nil {
			s.promised.Inc()
		}
		if s.calls != nil {
			s.calls.Inc()
			s.took.Observe(seconds)
		}
	}
	switch {
	case call.Source != "":
		c.stoodIn.WithLabelValues(call.Server, call.Source, call.Error).Inc()
	case call.Status == Refused || call.Status == Limited:
		c.refused.WithLabelValues(call.Error).Inc()
	}
	if call.Home != "" && call.Region != "" && call.Region != call.Home {
		c.failovers.WithLabelValues(call.Server, call.Home, call.Region).Inc()
	}
}

// Retried counts a try that is not the first of its call.
func (c *Calls) Retried(server, region string) { c.retries.WithLabelValues(server, region).Inc() }

// of finds the series of a kind. Methods and tools that callers made up share one.
func (c *Calls) of(k kind) *series {
	c.mu.RLock()
	s := c.series[k]
	c.mu.RUnlock()
	if s != nil {
		return s
	}
	k.method = methodLabel(k.method)
	switch {
	case k.method != method.ToolsCall:
		k.tool = ""
	case !c.known(k.server, k.tool):
		k.tool = telemetry.Other
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.series[k]; s != nil {
		return s
	}
	if len(c.series) >= maxCalls && k.tool != "" {
		// Other has room always: servers, methods and codes are few.
		k.tool = telemetry.Other
		if s := c.series[k]; s != nil {
			return s
		}
	}
	s = c.make(k)
	c.series[k] = s
	return s
}

func (c *Calls) make(k kind) *series {
	s := &series{operation: c.operations.WithLabelValues(k.server, k.method, k.tool, k.failure)}
	if k.method == method.ToolsCall {
		s.calls = c.toolCalls.WithLabelValues(k.tool, string(k.status))
		s.took = c.toolTime.WithLabelValues(k.tool)
	}
	switch k.status {
	case OK, Degraded:
		s.promised = c.promised.WithLabelValues(k.server, "good")
	case Failed:
		s.promised = c.promised.WithLabelValues(k.server, "bad")
	case Limited, Refused, Cancelled:
	}
	return s
}

// methodLabel is the method, or what stands for all that are not in the table.
func methodLabel(name string) string {
	if info, ok := method.Lookup(name); ok {
		return info.Name
	}
	if strings.HasPrefix(name, method.NotificationPrefix) {
		return "notifications"
	}
	return telemetry.Other
}
