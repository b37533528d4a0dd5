package extproc

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mumbai = "127.0.0.1:7101"
	delhi  = "127.0.0.1:7102"
)

// shopmax is a policy such as the control plane sends.
func shopmax() *policyv1.RoutePolicy {
	action := func(route string, safe bool) *policyv1.Action {
		return &policyv1.Action{
			Route: route, Server: "orders", Safe: safe, Attempts: 2,
			Timeout: durationpb.New(2 * time.Second), PerTryTimeout: durationpb.New(800 * time.Millisecond),
		}
	}
	return &policyv1.RoutePolicy{
		Name: "shopmax", Path: "/mcp",
		Servers: []*policyv1.Server{{Name: "orders", Endpoints: []*policyv1.Endpoint{
			{Name: "primary-mumbai", Address: mumbai, Region: "asia-south1"},
			{Name: "standby-delhi", Address: delhi, Region: "asia-south2"},
		}}},
		Rules: []*policyv1.ToolRule{{
			Id: "tools[0]", Glob: "get_*", Action: action("shopmax.get", true), Once: action("shopmax.get.once", false),
		}},
		UnmatchedTool: action("shopmax.tool", false), UnmatchedToolOnce: action("shopmax.tool", false),
		SafeMethod: action("shopmax.safe", true), SafeMethodOnce: action("shopmax.once", false),
		OtherMethod: action("shopmax.other", false),
		Stream:      &policyv1.Action{Route: "shopmax.stream", Server: "orders", Attempts: 1},
		Delete:      action("shopmax.delete", false),
		Errors:      policyv1.ErrorStyle_ERROR_STYLE_MCP, StaleListMaxAge: durationpb.New(24 * time.Hour),
		StampVia: true, MaxBodyBytes: 4 << 20,
	}
}

func compile(t testing.TB, policies ...*policyv1.RoutePolicy) *decide.Table {
	t.Helper()
	table, err := decide.Compile(policies)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return table
}

// envoy is the client's side of a Service in the same process, inside a synctest bubble.
type envoy struct {
	t       *testing.T
	service *Service
	client  extprocv3.ExternalProcessorClient
	catalog *catalog.Store
	// reported entries.
	reported []*policyv1.CatalogEntry
}

// inBubble runs a test against a Service over gRPC, with a clock that only moves when
// everything waits.
func inBubble(t *testing.T, policy *policyv1.RoutePolicy, test func(t *testing.T, e *envoy)) {
	t.Helper()
	table := compile(t, policy)
	synctest.Test(t, func(t *testing.T) {
		e := &envoy{t: t, catalog: catalog.New(catalog.Options{})}
		e.service = New(Options{
			Table: func() *decide.Table { return table }, Catalog: e.catalog,
			Report: func(entry *policyv1.CatalogEntry) { e.reported = append(e.reported, entry) },
		})
		stop := e.serve()
		defer stop()
		test(t, e)
	})
}

func (e *envoy) serve() (stop func()) {
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	extprocv3.RegisterExternalProcessorServer(server, e.service)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		e.t.Fatal(err)
	}
	e.client = extprocv3.NewExternalProcessorClient(conn)
	return func() {
		if err := conn.Close(); err != nil {
			e.t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			e.t.Error(err)
		}
	}
}

// exchange is one stream.
type exchange struct {
	t       *testing.T
	stream  extprocv3.ExternalProcessor_ProcessClient
	replies chan *extprocv3.ProcessingResponse
	ended   chan error
	cancel  context.CancelFunc
}

// open begins a stream for a point, with more pairs of initial metadata.
func (e *envoy) open(point string, more ...string) *exchange {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.t.Context())
	if point != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, append([]string{names.PointKey, point}, more...)...)
	}
	stream, err := e.client.Process(ctx)
	if err != nil {
		e.t.Fatal(err)
	}
	x := &exchange{t: e.t, stream: stream, cancel: cancel, replies: make(chan *extprocv3.ProcessingResponse, 1000), ended: make(chan error, 1)}
	go func() {
		for {
			reply, err := stream.Recv()
			if err != nil {
				x.ended <- err
				return
			}
			x.replies <- reply
		}
	}()
	return x
}

// say sends a message and returns what came back once nothing more happens.
func (x *exchange) say(req *extprocv3.ProcessingRequest) []string {
	x.t.Helper()
	if err := x.stream.Send(req); err != nil {
		x.t.Fatalf("Send: %v", err)
	}
	return x.heard()
}

// ask sends a message and returns its one reply.
func (x *exchange) ask(req *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	x.t.Helper()
	if err := x.stream.Send(req); err != nil {
		x.t.Fatalf("Send: %v", err)
	}
	select {
	case reply := <-x.replies:
		return reply
	case err := <-x.ended:
		x.t.Fatalf("the stream ended: %v", err)
	}
	return nil
}

func (x *exchange) heard() []string {
	synctest.Wait()
	out := []string{}
	for {
		select {
		case reply := <-x.replies:
			out = append(out, describe(reply))
		default:
			return out
		}
	}
}

// end waits for the stream's end.
func (x *exchange) end() error { return <-x.ended }

// hangUp ends the stream as Envoy does when the request or the try is over.
func (x *exchange) hangUp() {
	x.cancel()
	synctest.Wait()
}

// describe writes a reply in short: what is set, what removed, which chunk.
func describe(reply *extprocv3.ProcessingResponse) string {
	switch r := reply.GetResponse().(type) {
	case *extprocv3.ProcessingResponse_RequestHeaders:
		return "request" + mutation(r.RequestHeaders.GetResponse().GetHeaderMutation())
	case *extprocv3.ProcessingResponse_RequestBody:
		return "request body" + mutation(r.RequestBody.GetResponse().GetHeaderMutation())
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		return "headers" + mutation(r.ResponseHeaders.GetResponse().GetHeaderMutation())
	case *extprocv3.ProcessingResponse_ResponseBody:
		chunk := r.ResponseBody.GetResponse().GetBodyMutation().GetStreamedResponse()
		if chunk.GetEndOfStream() {
			return "last " + string(chunk.GetBody())
		}
		return "body " + string(chunk.GetBody())
	case *extprocv3.ProcessingResponse_ResponseTrailers:
		return "trailers"
	case *extprocv3.ProcessingResponse_ImmediateResponse:
		i := r.ImmediateResponse
		return fmt.Sprintf("immediate %d%s\n%s", i.GetStatus().GetCode(), mutation(i.GetHeaders()), i.GetBody())
	}
	return fmt.Sprintf("%T", reply.GetResponse())
}

func mutation(m *extprocv3.HeaderMutation) string {
	var parts []string
	for _, h := range m.GetSetHeaders() {
		value := string(h.GetHeader().GetRawValue())
		if h.GetHeader().GetValue() != "" || h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			value += " (not a raw overwrite)"
		}
		parts = append(parts, h.GetHeader().GetKey()+"="+value)
	}
	for _, name := range m.GetRemoveHeaders() {
		parts = append(parts, "-"+name)
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return ""
	}
	return " " + strings.Join(parts, " ")
}

// headerMap makes headers of "name: value" lines.
func headerMap(lines ...string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for _, line := range lines {
		// Pseudo headers begin with the colon that parts the others.
		at := strings.Index(line[1:], ":") + 1
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: line[:at], RawValue: []byte(strings.TrimPrefix(line[at+1:], " "))})
	}
	return m
}

func attributeMap(values map[string]any) map[string]*structpb.Struct {
	s, err := structpb.NewStruct(values)
	if err != nil {
		panic(err)
	}
	return map[string]*structpb.Struct{attributesKey: s}
}

func requestHeaders(end bool, lines ...string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{
		ProtocolConfig: &extprocv3.ProtocolConfiguration{RequestBodyMode: filterv3.ProcessingMode_BUFFERED},
		Request: &extprocv3.ProcessingRequest_RequestHeaders{
			RequestHeaders: &extprocv3.HttpHeaders{Headers: headerMap(lines...), EndOfStream: end},
		},
	}
}

func requestBody(body string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
		RequestBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: true},
	}}
}

func responseHeaders(end bool, lines ...string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{
		ResponseHeaders: &extprocv3.HttpHeaders{Headers: headerMap(lines...), EndOfStream: end},
	}}
}

func responseBody(body string, last bool) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{
		ResponseBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: last},
	}}
}

func responseTrailers() *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{
		ResponseTrailers: &extprocv3.HttpTrailers{},
	}}
}
