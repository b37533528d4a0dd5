package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// exchange is one call of a unary method, in Go and in JSON.
type exchange struct {
	method   string
	request  proto.Message
	response proto.Message
	json     string
	want     string
}

func exchanges() []exchange {
	return []exchange{
		{"Apply", &adminv1.ApplyRequest{Documents: "kind: x", Author: "asha", Reason: "why"}, &adminv1.ApplyResponse{}, `{"documents": "kind: x", "author": "asha", "reason": "why"}`, `"author":"asha"`},
		{"Rollback", &adminv1.RollbackRequest{Revision: 1}, &adminv1.ApplyResponse{}, `{"revision": "1"}`, `"author":"local"`},
		{"Diff", &adminv1.DiffRequest{From: 3, To: 4}, &adminv1.DiffResponse{}, `{"from": 3, "to": "4"}`, `"diff":"3..4"`},
		{"Get", &adminv1.GetRequest{Ref: &adminv1.ResourceRef{Kind: "MCPServer", Name: "orders"}}, &adminv1.GetResponse{}, `{"ref": {"kind": "MCPServer", "name": "orders"}}`, `"name":"orders"`},
		{"List", &adminv1.ListRequest{Kind: "MCPServer"}, &adminv1.ListResponse{}, `{"kind": "MCPServer"}`, `"kind":"MCPServer"`},
		{"History", &adminv1.HistoryRequest{}, &adminv1.HistoryResponse{}, `{}`, `"revisions"`},
		{"Status", &adminv1.StatusRequest{}, &adminv1.StatusResponse{}, `{}`, `"programVersion":"test"`},
		{"GetNode", &adminv1.GetNodeRequest{Id: "envoy-1"}, &adminv1.GetNodeResponse{}, `{"id": "envoy-1"}`, `"id":"envoy-1"`},
	}
}

func squeezed(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, " ", ""), "\n", "") }

func TestEveryMethodOverJSON(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	for _, x := range exchanges() {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
			got := w.post(t, x.method, contentType, x.json)
			if got.status != http.StatusOK || !strings.Contains(squeezed(got.body), x.want) || got.header.Get("Content-Type") != contentType {
				t.Errorf("%s: %d %s %s, want %s", x.method, got.status, got.header, got.body, x.want)
			}
		}
	}
}

// TestEveryMethodOverGRPC uses grpc-go, which shares no code with the server.
func TestEveryMethodOverGRPC(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	conn := grpcConn(t, w.address)
	for _, x := range exchanges() {
		if err := conn.Invoke(t.Context(), "/holdfast.admin.v1.Admin/"+x.method, x.request, x.response); err != nil {
			t.Errorf("%s: %v", x.method, err)
			continue
		}
		text, err := protojson.Marshal(x.response)
		if err != nil || !strings.Contains(squeezed(string(text)), x.want) {
			t.Errorf("%s: %s %v, want %s", x.method, text, err, x.want)
		}
	}
}

func grpcConn(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestConnectAndGRPCWeb(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	for name, opts := range map[string][]connect.ClientOption{
		"connect": nil, "connect json": {connect.WithProtoJSON()}, "connect gzip": {connect.WithSendGzip()},
		"grpc": {connect.WithGRPC()}, "grpc web": {connect.WithGRPCWeb()}, "grpc web json": {connect.WithGRPCWeb(), connect.WithProtoJSON()},
	} {
		client := w.client(t, opts...)
		got, err := client.Apply(t.Context(), &adminv1.ApplyRequest{Documents: strings.Repeat("kind: x\n", 1000), Author: name})
		if err != nil || got.GetRevision().GetAuthor() != name {
			t.Errorf("%s: %v %v", name, got, err)
		}
		_, err = client.Rollback(t.Context(), &adminv1.RollbackRequest{})
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "which one") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWatch(t *testing.T) {
	backend := &fake{updates: make(chan *adminv1.StatusResponse)}
	// The idle time between messages is longer than the time for one, and than that for a call.
	w := serve(t, backend, ListenOptions{}, func(s *Service) {
		s.times = times{body: 20 * time.Millisecond, call: 20 * time.Millisecond, answer: 50 * time.Millisecond}
	})
	for name, client := range map[string]*http.Client{"HTTP/1.1": httpClient(t, nil, false), "HTTP/2": httpClient(t, nil, true)} {
		client.Timeout = 0
		for protocol, opts := range map[string][]connect.ClientOption{"connect": nil, "grpc web": {connect.WithGRPCWeb()}} {
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := newClient(client, w, opts...).Watch(ctx, &adminv1.WatchRequest{})
			if err != nil || !stream.Receive() || !stream.Msg().GetReady() {
				t.Fatalf("%s %s: %v %v", name, protocol, err, stream)
			}
			// Only time itself can show that a quiet watch is left alone.
			quiet := time.NewTimer(150 * time.Millisecond)
			<-quiet.C
			select {
			case backend.updates <- &adminv1.StatusResponse{Reason: "changed"}:
			case <-time.After(patience):
				t.Fatalf("%s %s: nobody watches any more: %v", name, protocol, stream.Err())
			}
			if !stream.Receive() || stream.Msg().GetReason() != "changed" {
				t.Fatalf("%s %s: %v", name, protocol, stream.Err())
			}
			cancel()
			_ = stream.Close()
		}
	}
	eventually(t, "end of the watches", func() bool { return len(w.service.watches) == 0 })
}

func TestWatchOverGRPC(t *testing.T) {
	backend := &fake{updates: make(chan *adminv1.StatusResponse, 1)}
	w := serve(t, backend, ListenOptions{})
	conn := grpcConn(t, w.address)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/holdfast.admin.v1.Admin/Watch")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(&adminv1.WatchRequest{}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	var first, second adminv1.StatusResponse
	if err := stream.RecvMsg(&first); err != nil || !first.GetReady() {
		t.Fatal(err)
	}
	backend.updates <- &adminv1.StatusResponse{Reason: "changed"}
	if err := stream.RecvMsg(&second); err != nil || second.GetReason() != "changed" {
		t.Fatal(err)
	}
	w.stop()
	if err := stream.RecvMsg(&second); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "stopping") {
		t.Fatalf("at the end: %v", err)
	}
}

func TestWatchEndsWithItsServer(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	stream, err := w.client(t).Watch(t.Context(), &adminv1.WatchRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err)
	}
	w.stop()
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Fatalf("at the end: %v", stream.Err())
	}
	_ = stream.Close()
}

func TestWatchIsBounded(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	client := w.client(t)
	for range maxWatches {
		stream, err := client.Watch(t.Context(), &adminv1.WatchRequest{})
		if err != nil || !stream.Receive() {
			t.Fatal(err)
		}
		defer func() { _ = stream.Close() }()
	}
	stream, err := client.Watch(t.Context(), &adminv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeResourceExhausted {
		t.Fatalf("one watch too many: %v", stream.Err())
	}
	_ = stream.Close()
	if _, err := client.Status(t.Context(), &adminv1.StatusRequest{}); err != nil {
		t.Fatalf("status beside the watches: %v", err)
	}
}

func TestRequestsThatSayNothing(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	long := strings.Repeat("x", maxNodeBytes+1)
	for _, c := range []struct{ method, body, want string }{
		{"Apply", `{}`, "neither a document nor a resource"},
		{"Apply", `{"dryRun": true}`, "neither a document nor a resource"},
		{"Apply", `{"documents": "x", "canaryNodesPercent": 100}`, "not 0 to 99"},
		{"Apply", `{"remove": [{"kind": "MCPServer", "name": "a"}, {"kind": "MCPServer"}]}`, "remove[1].name is missing"},
		{"Apply", `{"remove": [{"name": "a"}]}`, "remove[0].kind is missing"},
		{"Apply", `{"documents": "x", "reason": "two\nlines"}`, "one line"},
		{"Apply", `{"documents": "x", "author": "two\nlines"}`, "one line"},
		{"Apply", `{"documents": "x", "author": "directory"}`, "nobody's name"},
		{"Apply", `{"documents": "x", "author": "control-plane"}`, "nobody's name"},
		{"Apply", `{"documents": "x", "author": "` + long + `"}`, "256 bytes"},
		{"Rollback", `{}`, "which one to go back to"},
		{"Rollback", `{"revision": 1, "reason": "` + long + `"}`, "1024 bytes"},
		{"Rollback", `{"revision": 1, "author": "\u001b[31m"}`, "one line"},
		{"Get", `{}`, "ref.kind is missing"},
		{"Get", `{"ref": {"kind": "MCPServer"}}`, "ref.name is missing"},
		{"Get", `{"ref": {"kind": "MCPServer", "name": "` + long + `"}}`, "256 bytes"},
		{"List", `{"kind": "` + long + `"}`, "256 bytes"},
		{"GetNode", `{}`, "which node"},
		{"GetNode", `{"id": "` + long + `"}`, "1024 bytes"},
	} {
		got := w.post(t, c.method, "application/json", c.body)
		if got.Code != "invalid_argument" || !strings.Contains(got.Message, c.want) {
			t.Errorf("%s %.80s: %d %s, want %s", c.method, c.body, got.status, got.body, c.want)
		}
	}
	if w.backend.count() != 0 {
		t.Error("something was written")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	for _, body := range []string{`{}`, `{"limit": 7}`, `{"limit": 4294967295}`} {
		if got := w.post(t, "History", "application/json", body); got.status != http.StatusOK {
			t.Fatal(got.body)
		}
	}
	want := []uint32{DefaultHistory, 7, MaxHistory}
	for i, limit := range w.backend.limits {
		if limit != want[i] {
			t.Errorf("limits %v, want %v", w.backend.limits, want)
		}
	}
}

func TestBackendWithoutAnAnswer(t *testing.T) {
	w := serve(t, &fake{nothing: true}, ListenOptions{})
	if got := w.post(t, "Apply", "application/json", `{"documents": "x"}`); got.Code != "internal" || !strings.Contains(got.Message, "no answer") {
		t.Fatal(got.body)
	}
}

func TestFaultOfTheBackend(t *testing.T) {
	w := serve(t, &fake{during: func(context.Context) error { panic("secret thing") }}, ListenOptions{})
	for range 2 { // the turn is given back
		got := w.post(t, "Apply", "application/json", `{"documents": "x", "author": "asha"}`)
		if got.Code != "internal" || strings.Contains(got.body, "secret") {
			t.Fatal(got.body)
		}
	}
	if log := w.log.String(); !strings.Contains(log, "secret thing") || !strings.Contains(log, "author=asha") {
		t.Fatal(log)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	client := httpClient(t, nil, false)
	got := send(t, client, http.MethodGet, "http://"+w.address+"/openapi.json", "", "")
	if got.status != http.StatusOK || got.body != adminv1.OpenAPI() || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %.100s", got.status, got.body)
	}
	if got := send(t, client, http.MethodPost, "http://"+w.address+"/openapi.json", "", ""); got.status != http.StatusMethodNotAllowed {
		t.Fatal(got.status)
	}
	if got := send(t, client, http.MethodGet, "http://"+w.address+"/holdfast.admin.v1.Admin/Drop", "", ""); got.status != http.StatusNotFound {
		t.Fatal(got.status)
	}
}
