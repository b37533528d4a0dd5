package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/grpc/status"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

func problems(n int) config.Problems {
	out := config.Problems{}
	for i := range n {
		out = append(out, config.Problem{Pos: config.Position{File: "orders.yaml", Line: i + 1, Column: 7}, Field: "spec.path", Message: "must begin with / — कृपया", Hint: "/mcp"})
	}
	return out
}

func stale() error {
	a := revisions.Set{Resources: []revisions.Resource{{Ref: revisions.Ref{Kind: "MCPServer", Name: "orders"}, Owner: revisions.API, YAML: "old: 1\n"}}}
	b := revisions.Set{Resources: []revisions.Resource{{Ref: revisions.Ref{Kind: "MCPServer", Name: "orders"}, Owner: revisions.API, YAML: "new: 2\n"}}}
	return revisions.CheckBase(3, &revisions.Revision{Header: revisions.Header{Number: 3}, Set: a}, revisions.Revision{Header: revisions.Header{Number: 5}, Set: b})
}

func owned(t *testing.T) error {
	t.Helper()
	ref := revisions.Ref{Kind: "MCPServer", Name: "orders"}
	current := revisions.Set{Resources: []revisions.Resource{{Ref: ref, Owner: revisions.Directory, File: "orders.yaml", Line: 1, YAML: "a"}}}
	_, err := revisions.Apply(current, []revisions.Resource{{Ref: ref, YAML: "b"}}, nil)
	return err
}

// TestErrors sends every kind of error over every protocol.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code connect.Code
		http int
		want []string
	}{
		{"problems", fmt.Errorf("validating: %w", problems(2)), connect.CodeInvalidArgument, 400, []string{"orders.yaml:1:7: spec.path: must begin with /", "\norders.yaml:2:7: "}},
		{"empty", fmt.Errorf("x: %w", config.ErrEmpty), connect.CodeInvalidArgument, 400, []string{"no resources found"}},
		{"invalid", fmt.Errorf("%w: Envoy says no", ErrInvalid), connect.CodeInvalidArgument, 400, []string{"Envoy says no"}},
		{"stale", stale(), connect.CodeFailedPrecondition, 400, []string{"it is 3, the newest is 5", "-old: 1", "+new: 2"}},
		{"owned", owned(t), connect.CodeFailedPrecondition, 400, []string{"change it in orders.yaml"}},
		{"no space", fmt.Errorf("keeping: %w", store.ErrNoSpace), connect.CodeResourceExhausted, 429, []string{"no space left"}},
		{"too large", fmt.Errorf("20001 documents: %w", ErrTooLarge), connect.CodeResourceExhausted, 429, []string{"20001"}},
		{"no such revision", fmt.Errorf("revision 7: %w", store.ErrNotFound), connect.CodeNotFound, 404, []string{"revision 7"}},
		{"no such resource", revisions.ErrNotFound, connect.CodeNotFound, 404, []string{"no such resource"}},
		{"no such node", fmt.Errorf("node x: %w", ErrUnknown), connect.CodeNotFound, 404, []string{"node x"}},
		{"not ready", ErrNoRevision, connect.CodeUnavailable, 503, []string{"no valid revision yet"}},
		{"stopping", fmt.Errorf("x: %w", ErrStopping), connect.CodeUnavailable, 503, []string{"stopping"}},
		{"late", context.DeadlineExceeded, connect.CodeDeadlineExceeded, 504, nil},
		{"gone", context.Canceled, connect.CodeCanceled, 499, nil},
		{"other", errors.New("the disk is on fire"), connect.CodeInternal, 500, []string{"on fire"}},
		{"two", errors.Join(owned(t), revisions.ErrNotFound), connect.CodeFailedPrecondition, 400, []string{"belongs to the directory", "no such resource"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := serve(t, &fake{fail: c.err}, ListenOptions{})
			for _, x := range exchanges() {
				got := w.post(t, x.method, "application/json", x.json)
				if got.status != c.http || got.Code != c.code.String() {
					t.Errorf("%s: %d %s", x.method, got.status, got.body)
				}
				for _, want := range c.want {
					if !strings.Contains(got.Message, want) {
						t.Errorf("%s: %q has no %q", x.method, got.Message, want)
					}
				}
			}
			conn := grpcConn(t, w.address)
			for _, x := range exchanges() {
				err := conn.Invoke(t.Context(), "/holdfast.admin.v1.Admin/"+x.method, x.request, x.response)
				if connect.Code(status.Code(err)) != c.code {
					t.Errorf("gRPC %s: %v", x.method, err)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("gRPC %s: %q has no %q", x.method, err, want)
					}
				}
			}
			stream, err := w.client(t).Watch(t.Context(), &adminv1.WatchRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if stream.Receive() || connect.CodeOf(stream.Err()) != c.code {
				t.Errorf("Watch: %v", stream.Err())
			}
			_ = stream.Close()
		})
	}
}

// TestErrorsFitIntoHeaders: over gRPC the words of an error are a header.
func TestErrorsFitIntoHeaders(t *testing.T) {
	w := serve(t, &fake{fail: problems(2000)}, ListenOptions{})
	got := w.post(t, "Status", "application/json", `{}`)
	if n := len(got.Message); n < maxErrorBytes/3 || n > maxErrorBytes || !strings.HasSuffix(got.Message, cut) {
		t.Errorf("JSON: %d bytes, %q", n, got.Message[max(0, n-100):])
	}
	client := httpClient(t, nil, true)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.address+"/holdfast.admin.v1.Admin/Status", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	// Trailers are known once the body has been read.
	_, err = io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	all := len(resp.Header.Get("Grpc-Message")) + len(resp.Trailer.Get("Grpc-Message"))
	if all == 0 || all > maxGRPCErrorBytes {
		t.Errorf("gRPC: the message has %d bytes", all)
	}
}

func TestBounded(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("x", 200), strings.Repeat("line\n", 50), strings.Repeat("न", 80), strings.Repeat("%", 99), "\xff\xfe" + strings.Repeat("\xff", 120), "\n" + strings.Repeat("y", 150)} {
		got := bounded(text, 100)
		size := 0
		for _, b := range []byte(got) {
			if b < ' ' || b > '~' || b == '%' {
				size += 2
			}
			size++
		}
		if size > 100 || !utf8.ValidString(got) {
			t.Errorf("%.20q…: %q takes %d bytes", text, got, size)
		}
		if len(text) <= 30 && got != text && utf8.ValidString(text) {
			t.Errorf("%q became %q", text, got)
		}
		if len(strings.ToValidUTF8(text, "?")) > 100 && !strings.HasSuffix(got, cut) {
			t.Errorf("%.20q…: %q does not say that it is cut", text, got)
		}
	}
}
