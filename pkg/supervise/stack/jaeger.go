package stack

import (
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// Default addresses of Jaeger.
const (
	DefaultJaegerQuery = "127.0.0.1:16686"
	DefaultOTLPGRPC    = "127.0.0.1:4317"
	DefaultOTLPHTTP    = "127.0.0.1:4318"
)

const (
	jaegerGrace = 3 * time.Second
	// jaegerTraces bounds its memory; the oldest go first.
	jaegerTraces = "20000"
)

// JaegerOptions is one Jaeger that keeps its traces in memory.
type JaegerOptions struct {
	// Query is where its query API (and page) answers, OTLPGRPC and OTLPHTTP where
	// it takes spans; host:port each.
	Query, OTLPGRPC, OTLPHTTP string
}

// Jaeger is how the all-in-one at path runs with o. It listens on no other port
// that anybody could know, and keeps its own traces to itself.
func Jaeger(path string, o JaegerOptions) supervise.Spec {
	args := []string{
		"--query.http-server.host-port", o.Query,
		"--collector.otlp.enabled", "--collector.otlp.grpc.host-port", o.OTLPGRPC, "--collector.otlp.http.host-port", o.OTLPHTTP,
		"--memory.max-traces", jaegerTraces, "--log-level", "error",
	}
	for _, unused := range []string{
		"admin.http.host-port", "collector.grpc-server.host-port", "collector.http-server.host-port", "http-server.host-port",
		"query.grpc-server.host-port", "processor.jaeger-binary.server-host-port", "processor.jaeger-compact.server-host-port",
		"processor.zipkin-compact.server-host-port",
	} {
		args = append(args, "--"+unused, anyPort)
	}
	return supervise.Spec{
		Name: "jaeger", Path: path, Args: args, Env: []string{"SPAN_STORAGE_TYPE=memory", "OTEL_TRACES_SAMPLER=always_off"},
		Restart: supervise.RestartAlways,
		Ready:   []supervise.Probe{supervise.HTTPProbe("http://" + o.Query + "/api/services")}, Grace: jaegerGrace,
	}
}
