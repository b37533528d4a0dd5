package main

import (
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-mcp/holdfast/pkg/telemetry/jaeger"
)

// traceJSON is a trace for programs. Times are in milliseconds.
type traceJSON struct {
	TraceID    string     `json:"traceId"`
	Start      time.Time  `json:"start"`
	DurationMs float64    `json:"durationMs"`
	Spans      []spanJSON `json:"spans"`
}

type spanJSON struct {
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId,omitempty"`
	Service      string `json:"service"`
	Name         string `json:"name"`
	// OffsetMs is from the start of the trace.
	OffsetMs   float64           `json:"offsetMs"`
	DurationMs float64           `json:"durationMs"`
	Error      bool              `json:"error"`
	Attributes map[string]string `json:"attributes"`
	Links      []linkJSON        `json:"links,omitempty"`
}

type linkJSON struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
}

// writeTrace writes all of a trace, in the order of its tree.
func writeTrace(to io.Writer, f format, t *jaeger.Trace) error {
	s := scaleOf(t)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	out := traceJSON{TraceID: t.ID, Start: s.start.UTC(), DurationMs: ms(s.total), Spans: make([]spanJSON, 0, len(t.Spans))}
	for _, n := range traceTree(t, func(*jaeger.Span) bool { return false }) {
		one := spanJSON{
			SpanID: n.ID, ParentSpanID: n.Parent, Service: n.Service, Name: n.Name, OffsetMs: ms(n.Start.Sub(s.start)), DurationMs: ms(n.Duration),
			Error: n.Failed(), Attributes: n.Tags,
		}
		for _, link := range n.Links {
			one.Links = append(one.Links, linkJSON(link))
		}
		out.Spans = append(out.Spans, one)
	}
	text, err := json.Marshal(out, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return fmt.Errorf("writing the trace: %w", err)
	}
	return writeStructured(to, f, text)
}
