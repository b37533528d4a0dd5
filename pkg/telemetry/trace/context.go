package trace

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// parentLength is that of a traceparent of version 00 (W3C Trace Context, section 3.2.2).
const parentLength = 55

// ParseParent reads a traceparent. false for anything but a valid one of version 00: two
// ids in lower case that are not zero, and flags.
func ParseParent(text string) (trace.SpanContext, bool) {
	if len(text) != parentLength || text[:3] != "00-" || text[35] != '-' || text[52] != '-' {
		return trace.SpanContext{}, false
	}
	var cfg trace.SpanContextConfig
	var flags [1]byte
	if !lowerHex(cfg.TraceID[:], text[3:35]) || !lowerHex(cfg.SpanID[:], text[36:52]) || !lowerHex(flags[:], text[53:]) {
		return trace.SpanContext{}, false
	}
	cfg.TraceFlags, cfg.Remote = trace.TraceFlags(flags[0])&trace.FlagsSampled, true
	out := trace.NewSpanContext(cfg)
	if !out.IsValid() {
		return trace.SpanContext{}, false
	}
	return out, true
}

func lowerHex(into []byte, text string) bool {
	for i := range len(text) {
		if text[i] >= 'A' && text[i] <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}

// Parent writes a traceparent of version 00. sampled takes the place of the context's
// own flag.
func Parent(c trace.SpanContext, sampled bool) string {
	id, span := c.TraceID(), c.SpanID()
	out := make([]byte, 0, parentLength)
	out = append(out, "00-"...)
	out = hex.AppendEncode(out, id[:])
	out = append(out, '-')
	out = hex.AppendEncode(out, span[:])
	if sampled {
		return string(append(out, "-01"...))
	}
	return string(append(out, "-00"...))
}

// rootKey is the context key of the trace that a span without a parent belongs to.
type rootKey struct{}

// WithRoot makes the next span the first one of a trace whose id is known already.
func WithRoot(ctx context.Context, id trace.TraceID) context.Context {
	return context.WithValue(ctx, rootKey{}, id)
}

// ids makes random ids, and takes the trace's where WithRoot has given one.
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, known := ctx.Value(rootKey{}).(trace.TraceID)
	for !known || !id.IsValid() {
		_, _ = rand.Read(id[:]) // never fails
		known = true
	}
	return id, ids{}.NewSpanID(ctx, id)
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var id trace.SpanID
	for !id.IsValid() {
		_, _ = rand.Read(id[:]) // never fails
	}
	return id
}
