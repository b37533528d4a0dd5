package trace

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace/tracetest"
)

// log is a buffer that is safe for concurrent use.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

func closeIt(t *testing.T, p *Pipeline) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func parentOf(t *testing.T, text string) oteltrace.SpanContext {
	t.Helper()
	parsed, ok := ParseParent(text)
	if !ok {
		t.Fatalf("%q is no traceparent", text)
	}
	return parsed
}

const (
	parentText = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	otherText  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// TestBothTransports: a span arrives by gRPC and by HTTP as it was, with who sent it.
func TestBothTransports(t *testing.T) {
	t.Parallel()
	for _, byHTTP := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP %v", byHTTP), func(t *testing.T) {
			t.Parallel()
			collector, counts := tracetest.Start(t), &Counts{}
			address := collector.GRPC
			if byHTTP {
				address = collector.HTTP
			}
			p, err := New(Settings{Address: address, HTTP: byHTTP}, Source{Service: "extproc", Version: "1.2", Instance: "extproc-1"}, counts, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := p.Start(oteltrace.ContextWithRemoteSpanContext(t.Context(), parentOf(t, parentText)), "tools/call get_order",
				oteltrace.WithSpanKind(oteltrace.SpanKindServer), oteltrace.WithLinks(oteltrace.Link{SpanContext: parentOf(t, otherText)}))
			s.SetAttributes(attribute.Int("n", 7), attribute.StringSlice("regions", []string{"a", "b"}), attribute.String("long", strings.Repeat("x", 5000)))
			s.SetStatus(codes.Error, "")
			s.End()
			closeIt(t, p)
			got := collector.Spans("")
			if len(got) != 1 {
				t.Fatalf("%d spans", len(got))
			}
			one := got[0]
			if one.TraceID+"-"+one.Parent != parentText[3:52] || one.Name != "tools/call get_order" || one.Kind != tracev1.Span_SPAN_KIND_SERVER || !one.Failed || one.HTTP != byHTTP {
				t.Errorf("%+v", one)
			}
			if one.Resource["service.name"] != "extproc" || one.Resource["service.version"] != "1.2" || one.Resource["service.instance.id"] != "extproc-1" || one.Scope != scope {
				t.Errorf("from %v, scope %s", one.Resource, one.Scope)
			}
			if one.Attributes["n"] != "7" || one.Attributes["regions"] != "[a b]" || len(one.Attributes["long"]) != maxAttributeBytes {
				t.Errorf("attributes %v", one.Attributes)
			}
			if len(one.Links) != 1 || one.Links[0] != [2]string{otherText[3:35], otherText[36:52]} {
				t.Errorf("links %v", one.Links)
			}
			if counts.Sent() != 1 || counts.Dropped() != 0 {
				t.Errorf("%d sent, %d dropped", counts.Sent(), counts.Dropped())
			}
		})
	}
}

// TestSpansAreBounded: a span has no more attributes, links and bytes than it may, whoever makes it.
func TestSpansAreBounded(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	p, err := New(Settings{Address: collector.GRPC}, Source{Service: "extproc"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Start(t.Context(), "s")
	for i := range 1000 {
		s.SetAttributes(attribute.Int(fmt.Sprint(i), i))
		s.AddLink(oteltrace.Link{SpanContext: parentOf(t, otherText)})
		s.AddEvent("e")
	}
	s.End()
	closeIt(t, p)
	got := collector.Spans("")
	if len(got) != 1 || len(got[0].Attributes) != maxAttributes || len(got[0].Links) != maxLinks {
		t.Errorf("%s", tracetest.Describe(got))
	}
}

// TestReceiverThatIsAway: spans to a receiver that is away are dropped and counted, with one line in the log;
// once it is there it gets what ends then, without anybody's doing.
func TestReceiverThatIsAway(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	counts, said := &Counts{}, &log{}
	p, err := New(Settings{Address: address}, Source{Service: "extproc"}, counts, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, p)
	eventually(t, "many spans are dropped", func() bool {
		p.Start(context.Background(), "s").End()
		return counts.Dropped() > 20
	})
	if n := said.count("traces are dropped"); n != 1 || counts.Sent() != 0 {
		t.Errorf("%d lines in the log, %d spans sent", n, counts.Sent())
	}
	collector := tracetest.StartAt(t, address)
	eventually(t, "the receiver gets spans", func() bool {
		p.Start(context.Background(), "s").End()
		return len(collector.Spans("")) > 0
	})
	eventually(t, "the log says so", func() bool { return said.count("traces are taken again") == 1 })
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// TestCurrentFollowsTheConfiguration: spans go where the newest settings say, those of before still arrive.
func TestCurrentFollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	first, second := tracetest.Start(t), tracetest.Start(t)
	counts := &Counts{}
	c := NewCurrent(Source{Service: "extproc"}, counts, nil)
	if c.Pipeline() != nil {
		t.Error("spans go somewhere before anybody said where")
	}
	c.Use(&Settings{Address: first.GRPC})
	before := c.Pipeline()
	c.Use(&Settings{Address: first.GRPC})
	if c.Pipeline() != before {
		t.Error("the same settings made another pipeline")
	}
	before.Start(t.Context(), "first").End()
	c.Use(&Settings{Address: second.HTTP, HTTP: true})
	c.Pipeline().Start(t.Context(), "second").End()
	c.Use(nil)
	if c.Pipeline() != nil {
		t.Error("spans go somewhere still")
	}
	c.Close()
	c.Use(&Settings{Address: first.GRPC})
	if c.Pipeline() != nil {
		t.Error("there is a pipeline after the end")
	}
	for name, collector := range map[string]*tracetest.Collector{"first": first, "second": second} {
		if got := collector.Spans(""); len(got) != 1 || got[0].Name != name {
			t.Errorf("%s: %s", name, tracetest.Describe(got))
		}
	}
	// The pipeline of before may still be at hand somewhere.
	before.Start(t.Context(), "late").End()
	registry := prometheus.NewPedanticRegistry()
	Metrics(registry, counts)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	if got["holdfast_spans_sent_total"] != 2 || got["holdfast_spans_dropped_total"] != 1 {
		t.Errorf("metrics say %v", got)
	}
}
