package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// parsing is a Backend that reads documents, so that problems with them are part of what is fuzzed.
type parsing struct{ *fake }

func (p parsing) Apply(ctx context.Context, r *adminv1.ApplyRequest, author string) (*adminv1.ApplyResponse, error) {
	if _, err := config.Parse([]config.File{{Name: "api", Data: []byte(r.GetDocuments())}}); err != nil {
		return nil, err
	}
	return p.fake.Apply(ctx, r, author)
}

// Watch ends after one message.
func (p parsing) Watch(_ context.Context, send func(*adminv1.StatusResponse) error) error {
	return send(&adminv1.StatusResponse{Ready: true})
}

// recorder is a connection that takes deadlines.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetReadDeadline(time.Time) error  { return nil }
func (recorder) SetWriteDeadline(time.Time) error { return nil }

// enveloped is a message as gRPC and streams have it.
func enveloped(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// fuzzMethod sends arbitrary bytes in every encoding, as a message and as what goes around one.
func fuzzMethod(f *testing.F, method string, seeds ...proto.Message) {
	for _, seed := range seeds {
		text, err := protojson.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		binary, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(binary)
	}
	f.Add([]byte("{}"))
	f.Add([]byte("\x00\x00\x00\x00\x05hello\x02\xff\xff\xff\xff"))
	f.Add([]byte("0\x00\x00\x00\x05000000"))
	f.Add([]byte("0\x00\x00\x00\x000"))
	f.Add([]byte("\x02\x00\x00\x00\x0200"))
	f.Add([]byte("\x80\x00\x00\x00\x0500000"))
	handler := New(parsing{&fake{}}, Options{}).Local()
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, contentType := range []string{"application/json", "application/proto", "application/connect+json", "application/connect+proto", "application/grpc", "application/grpc+json", "application/grpc-web"} {
			for _, body := range [][]byte{data, enveloped(data)} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/holdfast.admin.v1.Admin/"+method, bytes.NewReader(body))
				r.Header.Set("Content-Type", contentType)
				w := httptest.NewRecorder()
				handler.ServeHTTP(recorder{w}, r)
				clean(t, contentType, w)
			}
		}
	})
}

// clean checks that an answer is a message or an error that is the caller's. Frames that are
// broken, unlike messages, are INTERNAL by the rules of gRPC (its list of status codes).
func clean(t *testing.T, contentType string, w *httptest.ResponseRecorder) {
	t.Helper()
	code, words := outcome(t, contentType, w)
	switch code {
	case "", "0", "invalid_argument", "3", "resource_exhausted", "8", "unimplemented", "12":
	case "internal", "13":
		framed := contentType != "application/json" && contentType != "application/proto"
		ours := slices.ContainsFunc([]error{errFault, errNothing, errNoCall, errLimit}, func(err error) bool { return strings.Contains(words, err.Error()) })
		if !framed || ours || words == "" {
			t.Fatalf("%s: %s %s", contentType, code, words)
		}
	default:
		t.Fatalf("%s: %d, %s %s", contentType, w.Code, code, words)
	}
}

// outcome gives the code, in the words of the protocol, and what was said with it.
func outcome(t *testing.T, contentType string, w *httptest.ResponseRecorder) (code, words string) {
	t.Helper()
	var e struct {
		Code, Message string
		Error         *struct{ Code, Message string }
	}
	result := w.Result()
	switch {
	case w.Code == http.StatusUnsupportedMediaType:
		return "", ""
	case strings.HasPrefix(contentType, "application/grpc"):
		header := result.Header
		if header.Get("Grpc-Status") == "" {
			header = result.Trailer
		}
		if contentType == "application/grpc-web" && header.Get("Grpc-Status") == "" {
			header = lastFrame(t, w.Body.Bytes())
		}
		return header.Get("Grpc-Status"), header.Get("Grpc-Message")
	case strings.HasPrefix(contentType, "application/connect"):
		if err := json.Unmarshal(frames(t, w.Body.Bytes()), &e); err != nil {
			t.Fatalf("%s: %q: %v", contentType, w.Body, err)
		}
		if e.Error != nil {
			return e.Error.Code, e.Error.Message
		}
	case w.Code != http.StatusOK:
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Code == "" {
			t.Fatalf("%s: %d %q: %v", contentType, w.Code, w.Body, err)
		}
	}
	return e.Code, e.Message
}

// frames gives the content of the last one.
func frames(t *testing.T, data []byte) []byte {
	t.Helper()
	for {
		if len(data) < 5 || len(data) < 5+int(binary.BigEndian.Uint32(data[1:5])) {
			t.Fatalf("no frame: %q", data)
		}
		frame := data[5 : 5+binary.BigEndian.Uint32(data[1:5])]
		if data = data[5+len(frame):]; len(data) == 0 {
			return frame
		}
	}
}

// lastFrame of gRPC-web holds the trailers.
func lastFrame(t *testing.T, data []byte) http.Header {
	t.Helper()
	header := http.Header{}
	for line := range strings.Lines(string(frames(t, data))) {
		name, value, _ := strings.Cut(line, ":")
		header.Add(name, strings.TrimSpace(value))
	}
	if header.Get("Grpc-Status") == "" {
		t.Fatalf("no status: %q", data)
	}
	return header
}

func FuzzApply(f *testing.F) {
	ref := &adminv1.ResourceRef{Kind: "MCPServer", Name: "orders"}
	document := "kind: MCPServer\nmetadata: {name: orders}\nspec: {regions: [{name: a, endpoints: [{address: \"127.0.0.1:7101\"}]}]}\n"
	fuzzMethod(f, "Apply", &adminv1.ApplyRequest{Documents: document}, &adminv1.ApplyRequest{
		Documents: "kind: MCPServer\n---\n", Remove: []*adminv1.ResourceRef{ref}, BaseRevision: 7, Reason: "why", Author: "asha", DryRun: true, Atomic: true, CanaryNodesPercent: 10,
	})
}

func FuzzRollback(f *testing.F) {
	fuzzMethod(f, "Rollback", &adminv1.RollbackRequest{Revision: 3, Reason: "why", Author: "asha", DryRun: true})
}

func FuzzDiff(f *testing.F) { fuzzMethod(f, "Diff", &adminv1.DiffRequest{From: 1, To: 2}) }

func FuzzGet(f *testing.F) {
	fuzzMethod(f, "Get", &adminv1.GetRequest{Ref: &adminv1.ResourceRef{Kind: "MCPServer", Name: "orders"}, Revision: 2})
}

func FuzzList(f *testing.F) {
	fuzzMethod(f, "List", &adminv1.ListRequest{Kind: "MCPServer", Revision: 2})
}

func FuzzHistory(f *testing.F) {
	fuzzMethod(f, "History", &adminv1.HistoryRequest{Limit: 5, Before: 9})
}

func FuzzStatus(f *testing.F) { fuzzMethod(f, "Status", &adminv1.StatusRequest{}) }

func FuzzWatch(f *testing.F) { fuzzMethod(f, "Watch", &adminv1.WatchRequest{}) }

func FuzzGetNode(f *testing.F) { fuzzMethod(f, "GetNode", &adminv1.GetNodeRequest{Id: "envoy-1"}) }

func FuzzListBreakers(f *testing.F) {
	fuzzMethod(f, "ListBreakers", &adminv1.ListBreakersRequest{Server: "orders", Tool: "get_order", Region: "asia-south1"})
}

func FuzzSetBreaker(f *testing.F) {
	fuzzMethod(f, "SetBreaker", &adminv1.SetBreakerRequest{
		Server: "orders", Tool: "get_order", Region: "asia-south1", Hold: adminv1.BreakerHold_BREAKER_HOLD_OPEN,
		Until: timestamppb.New(time.Unix(1e9, 0)), Reason: "why", Author: "asha", UnlistedTool: true,
	}, &adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: adminv1.BreakerHold_BREAKER_HOLD_AUTO})
}

func FuzzGetHealth(f *testing.F) {
	fuzzMethod(f, "GetHealth", &adminv1.GetHealthRequest{Server: "orders"})
}

func FuzzGetReport(f *testing.F) {
	fuzzMethod(f, "GetReport", &adminv1.GetReportRequest{Server: "orders", Month: "2026-11"})
}

func FuzzListCanaries(f *testing.F) {
	fuzzMethod(f, "ListCanaries", &adminv1.ListCanariesRequest{})
}

func FuzzSucceed(f *testing.F) {
	fuzzMethod(f, "Succeed", &adminv1.SucceedRequest{
		Server: "orders", Step: adminv1.SuccessionStep_SUCCESSION_STEP_START, To: "orders-v2", Share: 10, Each: durationpb.New(time.Minute), Reason: "why", Author: "asha",
	}, &adminv1.SucceedRequest{Server: "orders", Step: adminv1.SuccessionStep_SUCCESSION_STEP_BACK})
}

func FuzzListDrains(f *testing.F) { fuzzMethod(f, "ListDrains", &adminv1.ListDrainsRequest{}) }

func FuzzFailback(f *testing.F) {
	fuzzMethod(f, "Failback", &adminv1.FailbackRequest{Server: "orders", Region: "asia-south1", Reason: "all is well", Author: "asha"})
}

func FuzzPromote(f *testing.F) {
	fuzzMethod(f, "Promote", &adminv1.PromoteRequest{Server: "orders", Region: "asia-south2", Force: true, DryRun: true, Reason: "quicker", Author: "asha"})
}

func FuzzSetDrain(f *testing.F) {
	fuzzMethod(f, "SetDrain", &adminv1.SetDrainRequest{
		Server: "orders", Target: "asia-south1", Until: timestamppb.New(time.Unix(1e9, 0)), Sessions: durationpb.New(time.Minute), Force: true, Reason: "why", Author: "asha",
	}, &adminv1.SetDrainRequest{Target: "asia-south1", Undrain: true})
}
