package demo_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// keeper is an exporter that keeps what it is given past its end.
type keeper struct {
	mu   sync.Mutex
	kept tracetest.SpanStubs
}

func (k *keeper) ExportSpans(_ context.Context, batch []sdktrace.ReadOnlySpan) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = append(k.kept, tracetest.SpanStubsFromReadOnlySpans(batch)...)
	return nil
}

func (k *keeper) Shutdown(context.Context) error { return nil }

const (
	inHTTP = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	inMeta = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unkept = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// TestServerSpans: a server's span has the context in _meta as its parent and the HTTP request's as a link, or that as its
// parent where there is no other; its name, attributes and errors are those of the conventions.
func TestServerSpans(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{META"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`
	withMeta := func(body, context string) string {
		return strings.Replace(body, "META", `"_meta":{"traceparent":"`+context+`"},`, 1)
	}
	bare := strings.Replace(call, "META", "", 1)
	for name, test := range map[string]struct {
		body, header string
		faults       demo.Faults
		// span is the name of the span, "" for none; failure is its error.type.
		span, parent, link, failure string
	}{
		"no params":                {body: `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, header: inHTTP, span: "tools/list", parent: inHTTP},
		"HTTP context":             {body: bare, header: inHTTP, span: "tools/call get_order", parent: inHTTP},
		"context in _meta":         {body: withMeta(call, inMeta), span: "tools/call get_order", parent: inMeta},
		"both":                     {body: withMeta(call, inMeta), header: inHTTP, span: "tools/call get_order", parent: inMeta, link: inHTTP},
		"the same twice":           {body: withMeta(call, inMeta), header: inMeta, span: "tools/call get_order", parent: inMeta},
		"a caller that is not":     {body: withMeta(call, unkept), header: inHTTP},
		"none":                     {body: bare},
		"no context but something": {body: withMeta(call, "00-zz"), header: inHTTP, span: "tools/call get_order", parent: inHTTP},
		"a JSON-RPC error":         {body: bare, header: inHTTP, faults: demo.Faults{Mode: demo.FaultRPCError}, span: "tools/call get_order", parent: inHTTP, failure: "-32603"},
		"a result that is one":     {body: bare, header: inHTTP, faults: demo.Faults{Mode: demo.FaultIsError}, span: "tools/call get_order", parent: inHTTP, failure: "tool_error"},
	} {
		t.Run(name, func(t *testing.T) {
			kept := &keeper{}
			pipeline := trace.NewTo(kept, trace.Source{Service: "shopmax-orders"}, nil, nil)
			server := serveTraced(t, "orders", pipeline)
			server.faults(t, test.faults)
			postOnce(t, server.url, test.header, test.body)
			if err := pipeline.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if test.span == "" {
				if len(kept.kept) > 0 {
					t.Errorf("spans %v of a call that nobody traces", kept.kept)
				}
				return
			}
			if len(kept.kept) != 1 {
				t.Fatalf("%d spans: %v", len(kept.kept), kept.kept)
			}
			checkServerSpan(t, &kept.kept[0], test.span, test.parent, test.link, test.failure)
		})
	}
}

func checkServerSpan(t *testing.T, s *tracetest.SpanStub, name, parent, link, failure string) {
	t.Helper()
	if s.Name != name || s.SpanKind != oteltrace.SpanKindServer || trace.Parent(s.Parent, true) != parent {
		t.Errorf("%s %s, child of %s", s.Name, s.SpanKind, trace.Parent(s.Parent, true))
	}
	links := ""
	for _, l := range s.Links {
		links += trace.Parent(l.SpanContext, true)
	}
	if links != link {
		t.Errorf("links %q, want %q", links, link)
	}
	attrs := map[string]string{}
	for _, kv := range s.Attributes {
		attrs[string(kv.Key)] = kv.Value.String()
	}
	if attrs["holdfast.endpoint"] != "primary-mumbai" || attrs["error.type"] != failure || (s.Status.Code == codes.Error) != (failure != "") {
		t.Errorf("status %v, attributes %v", s.Status, attrs)
	}
	method, tool, _ := strings.Cut(name, " ")
	if attrs["mcp.method.name"] != method || attrs["gen_ai.tool.name"] != tool {
		t.Errorf("attributes %v", attrs)
	}
}

// postOnce sends one message, with trace context in HTTP headers or without.
func postOnce(t *testing.T, url, traceparent, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"},
	}
	if traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
}
