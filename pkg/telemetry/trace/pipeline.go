package trace

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// scope is the instrumentation scope of all spans.
const scope = "github.com/holdfast-mcp/holdfast"

// Limits of one span.
const (
	maxAttributes     = 48
	maxAttributeBytes = 512
	maxLinks          = 4
	maxEvents         = 8
)

// Settings is where spans go. It is comparable.
type Settings struct {
	// Address of the OTLP receiver, host:port, without TLS.
	Address string
	// HTTP is OTLP over HTTP; else gRPC.
	HTTP bool
}

// Source is who sends the spans: service.name, service.version and service.instance.id of
// OpenTelemetry's resource conventions. Version and Instance may be empty.
type Source struct{ Service, Version, Instance string }

// Pipeline is one receiver and the queue of spans to it. It is safe for concurrent use.
// Close it, or its sender goes on.
type Pipeline struct {
	settings Settings
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	queue    *queue
}

// New makes a Pipeline; the receiver need not be there. counts may be nil, as may logger.
func New(settings Settings, source Source, counts *Counts, logger *slog.Logger) (*Pipeline, error) {
	exporter, err := exporterOf(settings)
	if err != nil {
		return nil, fmt.Errorf("sending traces to %s: %w", settings.Address, err)
	}
	return newPipeline(settings, source, exporter, counts, logger), nil
}

// NewTo makes a Pipeline to an exporter of the caller's, which it shuts down at its end. source, counts and
// logger are those of New.
func NewTo(exporter sdktrace.SpanExporter, source Source, counts *Counts, logger *slog.Logger) *Pipeline {
	return newPipeline(Settings{}, source, exporter, counts, logger)
}

func newPipeline(settings Settings, source Source, exporter sdktrace.SpanExporter, counts *Counts, logger *slog.Logger) *Pipeline {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if counts == nil {
		counts = &Counts{}
	}
	p := &Pipeline{settings: settings, queue: newQueue(exporter, settings.Address, counts, logger)}
	limits := sdktrace.NewSpanLimits()
	limits.AttributeCountLimit, limits.AttributeValueLengthLimit = maxAttributes, maxAttributeBytes
	limits.LinkCountLimit, limits.EventCountLimit = maxLinks, maxEvents
	p.provider = sdktrace.NewTracerProvider(
		// Whoever starts a span has decided already.
		sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithIDGenerator(ids{}), sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithSpanProcessor(p.queue), sdktrace.WithResource(resourceOf(source)),
	)
	p.tracer = p.provider.Tracer(scope)
	return p
}

func resourceOf(s Source) *resource.Resource {
	attrs := []attribute.KeyValue{semconv.ServiceName(s.Service)}
	if s.Version != "" {
		attrs = append(attrs, semconv.ServiceVersion(s.Version))
	}
	if s.Instance != "" {
		attrs = append(attrs, semconv.ServiceInstanceID(s.Instance))
	}
	return resource.NewWithAttributes(semconv.SchemaURL, attrs...)
}

// exporterOf sends each batch once: the queue has no room for those that wait.
func exporterOf(s Settings) (sdktrace.SpanExporter, error) {
	ctx := context.Background() // both return at once
	if s.HTTP {
		return otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(s.Address), otlptracehttp.WithInsecure(),
			otlptracehttp.WithTimeout(sendTimeout), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	}
	return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(s.Address), otlptracegrpc.WithInsecure(),
		otlptracegrpc.WithTimeout(sendTimeout), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}),
		// The library's own pause between two connections grows to two minutes, in which all spans are lost.
		otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: reconnect, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxReconnect},
			MinConnectTimeout: sendTimeout,
		})))
}

// Settings returns what the Pipeline was made with.
func (p *Pipeline) Settings() Settings { return p.settings }

// Start begins a span, whose parent, if any, is in ctx (trace.ContextWithRemoteSpanContext);
// see WithRoot. It is sent once it is ended.
func (p *Pipeline) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) trace.Span {
	_, span := p.tracer.Start(ctx, name, opts...)
	return span
}

// Provider is for instrumentation that makes spans of its own.
func (p *Pipeline) Provider() trace.TracerProvider { return p.provider }

// Close sends what is queued, for as long as ctx allows, and ends the sender. Spans that
// end later are dropped, and counted.
func (p *Pipeline) Close(ctx context.Context) error {
	// Not the provider's own end: it would take the queue from spans that are still open, which then would
	// not even be counted.
	if err := p.queue.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

const (
	// sendTimeout bounds the sending of one batch.
	sendTimeout = 5 * time.Second
	// reconnect and maxReconnect are the shortest and the longest time between two connections to a receiver
	// that is away.
	reconnect    = 500 * time.Millisecond
	maxReconnect = 3 * time.Second
)
