// Package tracetest is an OpenTelemetry collector in memory, for tests: it takes spans by gRPC and by
// HTTP and says what it has got.
package tracetest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// maxExport bounds one export by HTTP.
const maxExport = 16 << 20

// Span is one span as it came.
type Span struct {
	// TraceID, ID and Parent in hexadecimal digits; Parent is empty where there is none.
	TraceID, ID, Parent string
	// Service is service.name of the resource, Resource all of its attributes.
	Service  string
	Resource map[string]string
	// Scope is the name of the instrumentation scope.
	Scope string
	Name  string
	Kind  tracev1.Span_SpanKind
	// Failed says that its status is an error.
	Failed     bool
	Start, End time.Time
	// Attributes as text; those of several values are in brackets.
	Attributes map[string]string
	// Links are pairs of trace id and span id.
	Links [][2]string
	// HTTP says that it came by HTTP.
	HTTP bool
}

// Collector takes spans until the end of a test. It is safe for concurrent use.
type Collector struct {
	collectorv1.UnimplementedTraceServiceServer
	// GRPC and HTTP are where it listens, host:port.
	GRPC, HTTP string

	mu      sync.Mutex
	spans   []Span
	changed chan struct{}
}

// Start begins to listen on free loopback ports.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{changed: make(chan struct{})}
	inGRPC, inHTTP := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	c.GRPC, c.HTTP = inGRPC.Addr().String(), inHTTP.Addr().String()
	c.serve(t, inGRPC, inHTTP)
	return c
}

// StartAt is Start at an address of the caller's, for gRPC alone.
func StartAt(t testing.TB, address string) *Collector {
	t.Helper()
	c := &Collector{GRPC: address, changed: make(chan struct{})}
	c.serve(t, listen(t, address), nil)
	return c
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func (c *Collector) serve(t testing.TB, inGRPC, inHTTP net.Listener) {
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(inGRPC); err != nil {
			t.Errorf("taking spans by gRPC: %v", err)
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.post)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	if inHTTP != nil {
		serving.Go(func() {
			if err := web.Serve(inHTTP); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("taking spans by HTTP: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		server.Stop()
		if err := web.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
}

// Export implements collectorv1.TraceServiceServer.
func (c *Collector) Export(_ context.Context, req *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.take(req, false)
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// post takes OTLP over HTTP, as binary protobuf.
func (c *Collector) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxExport))
	req := &collectorv1.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(body, req)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.take(req, true)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *Collector) take(req *collectorv1.ExportTraceServiceRequest, byHTTP bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		from := attributes(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				one := spanOf(s)
				one.Service, one.Resource, one.Scope, one.HTTP = from["service.name"], from, scope.GetScope().GetName(), byHTTP
				c.spans = append(c.spans, one)
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func spanOf(s *tracev1.Span) Span {
	out := Span{
		TraceID: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Name: s.GetName(), Kind: s.GetKind(), Failed: s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR,
		Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())), //nolint:gosec // times of today
		Attributes: attributes(s.GetAttributes()),
	}
	for _, link := range s.GetLinks() {
		out.Links = append(out.Links, [2]string{hex.EncodeToString(link.GetTraceId()), hex.EncodeToString(link.GetSpanId())})
	}
	return out
}

func attributes(all []*commonv1.KeyValue) map[string]string {
	out := make(map[string]string, len(all))
	for _, kv := range all {
		out[kv.GetKey()] = text(kv.GetValue())
	}
	return out
}

func text(v *commonv1.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		return v.StringValue
	case *commonv1.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *commonv1.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *commonv1.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	case *commonv1.AnyValue_ArrayValue:
		var parts []string
		for _, one := range v.ArrayValue.GetValues() {
			parts = append(parts, text(one))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(v)
}

// Spans are all that have come, those of one trace where an id is given, by their start.
func (c *Collector) Spans(traceID string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(c.spans), func(s Span) bool { return traceID != "" && s.TraceID != traceID })
	slices.SortStableFunc(out, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return out
}

// Await waits until the spans of a trace, of all where the id is empty, are as they should be, and returns
// them; it fails the test with the last reason after half a minute.
func (c *Collector) Await(t testing.TB, traceID string, complete func([]Span) error) []Span {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		spans := c.Spans(traceID)
		err := complete(spans)
		if err == nil {
			return spans
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("not after half a minute: %v\n%s", err, Describe(spans))
		}
	}
}

// Describe writes spans for people, one a line.
func Describe(spans []Span) string {
	var out strings.Builder
	for i := range spans {
		s := &spans[i]
		fmt.Fprintf(&out, "%s %s (%s) %s < %s failed=%v links=%v", s.Service, s.Name, s.Kind, s.ID, s.Parent, s.Failed, s.Links)
		for _, key := range slices.Sorted(maps.Keys(s.Attributes)) {
			fmt.Fprintf(&out, " %s=%q", key, s.Attributes[key])
		}
		out.WriteByte('\n')
	}
	return out.String()
}
