package extproc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

var postHeaders = []string{
	":method: POST", ":path: /mcp", ":authority: localhost", "content-type: application/json",
	"accept: application/json, text/event-stream", "x-request-id: r-1", "content-length: 90",
}

const (
	callBody  = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_order","arguments":{}}}`
	writeBody = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"create_order","arguments":{}}}`
	listBody  = `{"jsonrpc":"2.0","id":"l","method":"tools/list"}`
	doneBody  = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// accepted sends a POST up to where Envoy waits for the server.
func accepted(t *testing.T, e *envoy, body string) *exchange {
	t.Helper()
	x := e.open(names.PointEdge)
	reply := x.ask(requestHeaders(false, postHeaders...))
	want := &filterv3.ProcessingMode{ResponseHeaderMode: filterv3.ProcessingMode_SEND, RequestBodyMode: filterv3.ProcessingMode_BUFFERED}
	if reply.GetRequestHeaders() == nil || describe(reply) != "request" || reply.GetModeOverride().String() != want.String() {
		t.Fatalf("reply to the headers: %v", reply)
	}
	reply = x.ask(requestBody(body))
	if reply.GetRequestBody() == nil {
		t.Fatalf("reply to the body: %v", reply)
	}
	return x
}

func TestEdgeRoutesByBody(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		x := e.open(names.PointEdge)
		defer x.hangUp()
		x.ask(requestHeaders(false, append(postHeaders, "mcp-name: other", "accept-encoding: gzip")...))
		reply := x.ask(requestBody(callBody))
		common := reply.GetRequestBody().GetResponse()
		if !common.GetClearRouteCache() {
			t.Error("the route cache is not cleared")
		}
		got := map[string]string{}
		for _, h := range common.GetHeaderMutation().GetSetHeaders() {
			got[h.GetHeader().GetKey()] = string(h.GetHeader().GetRawValue())
		}
		call, err := toldCall(reply)
		if err != nil || call.GetServer() != "orders" || string(call.GetId()) != "7" || call.GetTool() != "get_order" {
			t.Errorf("call context %v, %v", call, err)
		}
		if diff := cmp.Diff(map[string]string{names.HeaderRoute: "shopmax.get"}, got); diff != "" {
			t.Errorf("headers set: (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]string{"accept-encoding", "mcp-name"}, common.GetHeaderMutation().GetRemoveHeaders()); diff != "" {
			t.Errorf("headers removed: (-want +got)\n%s", diff)
		}
	})
}

func TestEdgeWithoutBody(t *testing.T) {
	t.Parallel()
	for verb, stamp := range map[string]string{"GET": "shopmax.stream", "DELETE": "shopmax.delete"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointEdge)
				defer x.hangUp()
				reply := x.ask(requestHeaders(true, ":method: "+verb, ":path: /mcp?x=1", "accept: text/event-stream"))
				if got, want := describe(reply), "request x-holdfast-route="+stamp; got != want {
					t.Errorf("reply %q, want %q", got, want)
				}
				mode := reply.GetModeOverride()
				if !reply.GetRequestHeaders().GetResponse().GetClearRouteCache() || mode.GetResponseHeaderMode() != filterv3.ProcessingMode_SEND ||
					mode.GetRequestBodyMode() != filterv3.ProcessingMode_NONE {
					t.Errorf("reply %v", reply)
				}
				got := x.say(localReply("503", 2, "no_healthy_upstream", 1))
				if len(got) != 1 || !strings.HasPrefix(got[0], "immediate 503") || !strings.Contains(got[0], `"id":null`) {
					t.Errorf("no endpoint: %q", got)
				}
			})
		})
	}
}

func TestEdgeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		headers []string
		end     bool
		body    string
		want    string
	}{
		{name: "unknown path", headers: []string{":method: POST", ":path: /other"}, want: "immediate 404 "},
		{name: "verb", headers: []string{":method: PUT", ":path: /mcp"}, want: "immediate 405 allow="},
		{name: "media type", headers: []string{":method: POST", ":path: /mcp", "content-type: text/plain"}, want: "immediate 415 "},
		{name: "no body", headers: postHeaders, end: true, want: "immediate 400 "},
		{name: "empty body", headers: postHeaders, body: "", want: "immediate 400 "},
		{name: "no JSON", headers: postHeaders, body: "{", want: "immediate 400 "},
		{name: "batch", headers: postHeaders, body: "[" + callBody + "," + callBody + "]", want: "immediate 400 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointEdge)
				reply := x.ask(requestHeaders(tt.end, tt.headers...))
				if reply.GetRequestHeaders() != nil {
					reply = x.ask(requestBody(tt.body))
				}
				got := describe(reply)
				if !strings.HasPrefix(got, tt.want) || !strings.Contains(got, "content-type=application/json") || !strings.Contains(got, `"jsonrpc":"2.0"`) {
					t.Errorf("reply %q, want %q…", got, tt.want)
				}
				if i := reply.GetImmediateResponse(); i.GetDetails() != "" || i.GetGrpcStatus() != nil {
					t.Errorf("details %q, gRPC status %v", i.GetDetails(), i.GetGrpcStatus())
				}
				if err := x.end(); err.Error() != "EOF" {
					t.Errorf("the stream ended with %v", err)
				}
			})
		})
	}
}

// answerAttributes are those of an answer that came from a server.
func answered(attempts int, end bool, lines ...string) *extprocv3.ProcessingRequest {
	req := responseHeaders(end, lines...)
	req.Attributes = attributeMap(map[string]any{
		"response.code_details": "via_upstream", "response.flags": 0,
		"upstream.address": mumbai, "upstream.request_attempt_count": attempts, "xds.cluster_name": "orders",
	})
	return req
}

func localReply(code string, flags int, details string, attempts int) *extprocv3.ProcessingRequest {
	req := responseHeaders(false, ":status: "+code, "content-type: text/plain")
	req.Attributes = attributeMap(map[string]any{
		"response.code_details": details, "response.flags": flags, "upstream.request_attempt_count": attempts,
	})
	return req
}

func TestEdgeAnswers(t *testing.T) {
	t.Parallel()
	verdict := func(word string) string { return names.HeaderVerdict + ": " + word }
	tests := []struct {
		name string
		body string
		// remembered is the age of a list in the catalog; 0 for none.
		remembered time.Duration
		policy     func(*policyv1.RoutePolicy)
		answer     *extprocv3.ProcessingRequest
		// want is the whole reply, or what it begins with and contains.
		want     string
		contains []string
	}{
		{name: "good", answer: answered(1, false, ":status: 200"), want: "headers -x-holdfast-verdict x-holdfast-attempts=1"},
		{name: "good at the second try", answer: answered(2, false, ":status: 200"), want: "headers -x-holdfast-verdict x-holdfast-attempts=2"},
		{name: "caller's mistake", answer: answered(1, false, ":status: 400"), want: "headers -x-holdfast-verdict x-holdfast-attempts=1"},
		{name: "session gone", answer: answered(1, true, ":status: 404"), want: "headers -x-holdfast-verdict x-holdfast-attempts=1"},
		{name: "no attempt count", answer: responseHeaders(false, ":status: 200"), want: "headers -x-holdfast-verdict"},
		{
			name: "server's own failure", answer: answered(2, false, ":status: 424", verdict("tool_failed;200;mcp")),
			want: "headers -x-holdfast-verdict :status=200 x-holdfast-attempts=2",
		},
		{
			name: "endpoint's own failure", answer: answered(2, false, ":status: 503", verdict("endpoint_failed;200;mcp")),
			want: "headers -x-holdfast-verdict :status=200 x-holdfast-attempts=2",
		},
		{
			name: "caller's mistake under a server's status", answer: answered(1, false, ":status: 200", verdict("caller_fault;500;mcp")),
			want: "headers -x-holdfast-verdict :status=500 x-holdfast-attempts=1",
		},
		{
			name: "unreadable failure", answer: answered(2, false, ":status: 424", verdict("tool_failed;200;raw")),
			want: "immediate 200", contains: []string{`"id":7,"result":`, `"isError":true`, `"code":"dependency_failed"`, "x-holdfast-degraded=error"},
		},
		{
			name: "endpoint without words", answer: answered(2, true, ":status: 503", verdict("endpoint_failed;503;raw")),
			want: "immediate 200", contains: []string{`"isError":true`, `"code":"service_unavailable"`},
		},
		{
			name: "timeout", answer: answered(2, false, ":status: 424", verdict("timeout;200;raw")),
			want: "immediate 200", contains: []string{`"isError":true`, `"code":"timeout"`, `"retryable":true`},
		},
		{
			name: "timeout of a call that may have run", body: writeBody, answer: answered(1, false, ":status: 424", verdict("timeout;200;raw")),
			want: "immediate 200", contains: []string{`"isError":true`, `"code":"timeout"`, `"outcome":"unknown"`, `"retryable":false`},
		},
		{
			name: "no endpoint", answer: localReply("503", 2, "no_healthy_upstream", 1),
			want: "immediate 200", contains: []string{"all orders endpoints are down", `"code":"service_unavailable"`},
		},
		{
			name: "no endpoint for a call that never ran", body: writeBody, answer: localReply("503", 2, "no_healthy_upstream", 1),
			want: "immediate 200", contains: []string{`"outcome":"not_executed"`},
		},
		{
			name: "connection broke", body: writeBody, answer: localReply("503", 64, "upstream_reset_before_response_started{connection_termination}", 1),
			want: "immediate 200", contains: []string{`"outcome":"unknown"`},
		},
		{
			name: "Envoy's timeout", answer: localReply("504", 32772, "upstream_per_try_timeout", 2),
			want: "immediate 200", contains: []string{`"code":"timeout"`},
		},
		{
			name: "no route of that stamp", body: writeBody, answer: localReply("503", 0, "direct_response", 0),
			want: "immediate 200", contains: []string{`"code":"service_unavailable"`, `"outcome":"not_executed"`},
		},
		{
			name: "HTTP statuses", policy: func(p *policyv1.RoutePolicy) { p.Errors = policyv1.ErrorStyle_ERROR_STYLE_HTTP },
			answer: localReply("503", 2, "no_healthy_upstream", 1),
			want:   "immediate 503", contains: []string{"retry-after=", `"id":7,"error":`},
		},
		{
			name: "a 5xx that no attempt point has seen", answer: answered(1, false, ":status: 500"),
			want: "immediate 200", contains: []string{`"isError":true`},
		},
		{
			name: "a notification's 5xx", body: doneBody, answer: answered(1, false, ":status: 500"),
			want: "headers -x-holdfast-verdict x-holdfast-attempts=1",
		},
		{
			name: "a notification without endpoint", body: doneBody, answer: localReply("503", 2, "no_healthy_upstream", 1),
			want: "immediate 503", contains: []string{`"id":null`},
		},
		{
			name: "a verdict that is none", answer: answered(1, false, ":status: 200", verdict("tool_failed;99;mcp")),
			want: "headers -x-holdfast-verdict x-holdfast-attempts=1",
		},
		{
			name: "list, remembered", body: listBody, remembered: time.Hour, answer: localReply("503", 2, "no_healthy_upstream", 1),
			want: "immediate 200", contains: []string{"x-holdfast-degraded=stale", `"id":"l"`, `"name":"get_order"`, `"age":3600`, `"source":"stale"`},
		},
		{
			name: "list, remembered, its server fails in words", body: listBody, remembered: time.Hour,
			answer: answered(2, false, ":status: 424", verdict("tool_failed;200;mcp")),
			want:   "immediate 200", contains: []string{"x-holdfast-degraded=stale"},
		},
		{
			name: "list, remembered, its server is well", body: listBody, remembered: time.Hour, answer: answered(1, false, ":status: 200"),
			want: "headers -x-holdfast-verdict x-holdfast-attempts=1",
		},
		{
			name: "list, remembered too long ago", body: listBody, remembered: 25 * time.Hour, answer: localReply("503", 2, "no_healthy_upstream", 1),
			want: "immediate 200", contains: []string{"x-holdfast-degraded=error", `"id":"l","error":`},
		},
		{
			name: "list, never served stale", body: listBody, remembered: time.Hour, answer: localReply("503", 2, "no_healthy_upstream", 1),
			policy: func(p *policyv1.RoutePolicy) { p.StaleListMaxAge = durationpb.New(0) },
			want:   "immediate 200", contains: []string{"x-holdfast-degraded=error"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := shopmax()
			if tt.policy != nil {
				tt.policy(p)
			}
			inBubble(t, p, func(t *testing.T, e *envoy) {
				if tt.remembered > 0 {
					e.remember(t, tt.remembered)
				}
				body := tt.body
				if body == "" {
					body = callBody
				}
				x := accepted(t, e, body)
				got := describe(x.ask(tt.answer))
				if len(tt.contains) == 0 && got != tt.want || !strings.HasPrefix(got, tt.want) {
					t.Errorf("reply %q, want %q", got, tt.want)
				}
				for _, part := range tt.contains {
					if !strings.Contains(got, part) {
						t.Errorf("reply %q lacks %q", got, part)
					}
				}
				if err := x.end(); err.Error() != "EOF" {
					t.Errorf("the stream ended with %v", err)
				}
			})
		})
	}
}

// toldCall is the call context that a reply leaves for the tries.
func toldCall(reply *extprocv3.ProcessingResponse) (*policyv1.CallContext, error) {
	told := reply.GetDynamicMetadata().GetFields()[names.MetadataNamespace].GetStructValue().GetFields()[names.MetadataCall]
	return decide.DecodeCall(told.GetStringValue())
}

// remember fills the catalog with what a good tools/list leaves there.
func (e *envoy) remember(t *testing.T, age time.Duration) {
	t.Helper()
	x := e.open(names.PointEdge)
	x.ask(requestHeaders(false, postHeaders...))
	call, err := toldCall(x.ask(requestBody(listBody)))
	if err != nil {
		t.Fatal(err)
	}
	x.hangUp()
	key := call.GetCatalogKey()
	if key == "" {
		// The policy remembers nothing, so the key of one that does is as good as any.
		key = "orders"
	}
	e.catalog.Put(&policyv1.CatalogEntry{
		Key: key, Server: "orders", Method: "tools/list", Result: []byte(`{"tools":[{"name":"get_order"}]}`),
		AsOf: timestamppb.New(time.Now().Add(-age)),
	})
}

func TestEdgeRefusedMessages(t *testing.T) {
	t.Parallel()
	half := requestBody("{")
	half.GetRequestBody().EndOfStream = false
	tests := []struct {
		name string
		send []*extprocv3.ProcessingRequest
	}{
		{"a body that was not asked for", []*extprocv3.ProcessingRequest{requestBody(callBody)}},
		{"half a body", []*extprocv3.ProcessingRequest{requestHeaders(false, postHeaders...), half}},
		{"two bodies", []*extprocv3.ProcessingRequest{requestHeaders(false, postHeaders...), requestBody(callBody), requestBody(callBody)}},
		{"a response body", []*extprocv3.ProcessingRequest{responseBody("x", true)}},
		{"nothing", []*extprocv3.ProcessingRequest{{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointEdge)
				for i, req := range tt.send {
					if i < len(tt.send)-1 {
						x.ask(req)
					} else if err := x.stream.Send(req); err != nil {
						t.Fatal(err)
					}
				}
				if err := x.end(); status.Code(err) != codes.FailedPrecondition {
					t.Errorf("the stream ended with %v", err)
				}
			})
		})
	}
}

// TestEdgeTrailersFollow: a body as long as announced is whole, though it is not the end.
func TestEdgeTrailersFollow(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		x := e.open(names.PointEdge)
		defer x.hangUp()
		lines := slices.DeleteFunc(slices.Clone(postHeaders), func(l string) bool { return strings.HasPrefix(l, "content-length") })
		x.ask(requestHeaders(false, append(lines, fmt.Sprintf("content-length: %d", len(callBody)))...))
		body := requestBody(callBody)
		body.GetRequestBody().EndOfStream = false
		if got := x.say(body); len(got) != 1 || !strings.Contains(got[0], names.HeaderRoute+"=") {
			t.Errorf("reply %q, want a route", got)
		}
	})
}

func TestEdgeEnvoyGivesUpBeforeTheBody(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		x := e.open(names.PointEdge)
		x.ask(requestHeaders(false, postHeaders...))
		if got := describe(x.ask(localReply("413", 0, "request_payload_too_large", 0))); got != "headers" {
			t.Errorf("reply %q, want the local reply untouched", got)
		}
	})
}
