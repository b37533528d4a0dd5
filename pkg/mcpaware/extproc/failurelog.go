package extproc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
)

const (
	// failureLines is how many lines a second are written about calls that did not go well:
	// enough to see what goes on, and too few to slow calls down. Metrics count all of them.
	failureLines = 20
	// maxLogged bounds what of a caller's words goes into a line.
	maxLogged = 128
)

// failureLog bounds the lines. It is safe for concurrent use.
type failureLog struct {
	mu     sync.Mutex
	began  time.Time
	lines  int
	missed int
}

// take says whether a line may be written, and how many were not since the last one.
func (l *failureLog) take(now time.Time) (ok bool, missed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) >= time.Second {
		l.began, l.lines = now, 0
	}
	if l.lines == failureLines {
		l.missed++
		return false, 0
	}
	l.lines++
	missed, l.missed = l.missed, 0
	return true, missed
}

// logFailure writes a line about a request that no server answered well: which, and why. What a
// message has in its arguments or headers, and what a server said, does not belong there.
func (e *edge) logFailure(status telemetry.Status, code, region string) {
	level := slog.LevelWarn
	if status == telemetry.Refused || status == telemetry.Limited {
		level = slog.LevelInfo
	}
	if !e.service.log.Enabled(context.Background(), level) {
		return
	}
	ok, missed := e.service.failures.take(time.Now())
	if !ok {
		return
	}
	call := e.call()
	attrs := []slog.Attr{
		slog.String("status", string(status)), slog.String("code", code), slog.String("request_id", clip(e.request.RequestID)),
		slog.String("method", clip(call.GetMethod())), slog.String("tool", clip(call.GetTool())), slog.String("server", call.GetServer()), slog.String("region", region),
	}
	if id := e.trace.id(); id.IsValid() {
		attrs = append(attrs, slog.String("trace_id", id.String()))
	}
	if missed > 0 {
		attrs = append(attrs, slog.Int("more_before", missed))
	}
	e.service.log.LogAttrs(context.Background(), level, "call not answered well", attrs...)
}

func clip(s string) string { return s[:min(len(s), maxLogged)] }

// id of the trace that the request belongs to; not valid where there is none.
func (t *edgeTrace) id() oteltrace.TraceID {
	switch {
	case t == nil:
		return oteltrace.TraceID{}
	case t.span != nil:
		return t.span.SpanContext().TraceID()
	}
	return t.envoy.TraceID()
}
