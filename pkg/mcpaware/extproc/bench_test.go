package extproc

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// sink is a stream that takes what is sent to it, so that a benchmark measures the processor and not gRPC.
type sink struct {
	grpc.ServerStream
	sent int
}

func (s *sink) Context() context.Context                    { return context.Background() }
func (s *sink) Send(*extprocv3.ProcessingResponse) error    { s.sent++; return nil }
func (s *sink) Recv() (*extprocv3.ProcessingRequest, error) { return nil, context.Canceled }
func benchService(b *testing.B) (svc *Service, tab *decide.Table) {
	b.Helper()
	tab = compile(b, shopmax())
	return New(Options{Table: func() *decide.Table { return tab }}), tab
}

// BenchmarkEdge is one tools/call at the edge point: three messages.
func BenchmarkEdge(b *testing.B) {
	for name, body := range map[string]string{
		"100B":  callBody,
		"10KiB": strings.Replace(callBody, "{}}}", `{"note":"`+strings.Repeat("x", 10<<10)+`"}}}`, 1),
	} {
		b.Run(name, func(b *testing.B) {
			svc, table := benchService(b)
			head, whole, answer := requestHeaders(false, postHeaders...), requestBody(body), answered(1, false, ":status: 200")
			b.ReportAllocs()
			for b.Loop() {
				e := &edge{service: svc, table: table}
				for _, req := range []*extprocv3.ProcessingRequest{head, whole, answer} {
					reply, _, err := e.handle(req)
					if err != nil || reply.GetImmediateResponse() != nil {
						b.Fatalf("%v, %v", reply, err)
					}
				}
			}
		})
	}
}

// BenchmarkAttempt is one good try at the attempt point.
func BenchmarkAttempt(b *testing.B) {
	raw, err := proto.Marshal(getOrder(nil))
	if err != nil {
		b.Fatal(err)
	}
	head := requestHeaders(false, ":method: POST", ":path: /mcp")
	head.ProtocolConfig = &extprocv3.ProtocolConfiguration{ResponseBodyMode: filterv3.ProcessingMode_FULL_DUPLEX_STREAMED}
	head.Attributes = attributeMap(map[string]any{
		"upstream.address": mumbai, "upstream.locality": `region: "asia-south1" `, names.AttributeCall: base64.RawURLEncoding.EncodeToString(raw),
	})
	for name, messages := range map[string][]*extprocv3.ProcessingRequest{
		"json":  {responseHeaders(false, append(jsonHeaders, "content-length: 48")...), responseBody(goodResult, false), responseBody("", true)},
		"event": {responseHeaders(false, eventHeaders...), responseBody(event(goodResult), false), responseBody("", true)},
		"10KiB": {responseHeaders(false, jsonHeaders...), responseBody(strings.Replace(goodResult, "[]", `[{"type":"text","text":"`+strings.Repeat("x", 10<<10)+`"}]`, 1), true)},
	} {
		b.Run(name, func(b *testing.B) {
			svc, _ := benchService(b)
			b.ReportAllocs()
			for b.Loop() {
				s := &sink{}
				a := newAttempt(svc, s)
				for _, req := range append([]*extprocv3.ProcessingRequest{head}, messages...) {
					if _, err := a.handle(req); err != nil {
						b.Fatal(err)
					}
				}
				a.close()
				if s.sent < 3 {
					b.Fatalf("%d replies", s.sent)
				}
			}
		})
	}
}
