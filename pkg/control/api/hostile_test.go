package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func TestOversized(t *testing.T) {
	backend := &fake{}
	w := serve(t, backend, ListenOptions{})
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.Copy(z, io.LimitReader(zeros{}, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	documents := func(n int) string { return `{"documents": "` + strings.Repeat("x", n) + `"}` }
	for _, c := range []struct {
		name, method, body string
		headers            []string
		code               string
	}{
		{"largest", "Apply", documents(MaxDocumentsBytes), nil, ""},
		{"documents", "Apply", documents(MaxDocumentsBytes + 1), nil, "resource_exhausted"},
		{"message", "Apply", documents(MaxMessageBytes), nil, "resource_exhausted"},
		{"bomb", "Apply", bomb.String(), []string{"Content-Encoding", "gzip"}, "resource_exhausted"},
		{"bomb for a reader", "Status", bomb.String(), []string{"Content-Encoding", "gzip"}, "resource_exhausted"},
		{"not gzip", "Apply", "x", []string{"Content-Encoding", "gzip"}, "invalid_argument"},
		{"unknown encoding", "Apply", "x", []string{"Content-Encoding", "br"}, "unimplemented"},
		{"small method", "Rollback", `{"reason": "` + strings.Repeat("x", maxSmallMessageBytes) + `"}`, nil, "resource_exhausted"},
		{"removals", "Apply", `{"remove": [` + strings.Repeat(`{},`, maxRemovals) + `{}]}`, nil, "resource_exhausted"},
	} {
		got := w.post(t, c.method, "application/json", c.body, c.headers...)
		if got.Code != c.code || (c.code == "") != (got.status == http.StatusOK) {
			t.Errorf("%s: %d %.300s, want %s", c.name, got.status, got.body, c.code)
		}
	}
	if n := backend.count(); n != 1 {
		t.Errorf("%d revisions", n)
	}
	for name, opts := range map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}, "grpc web": {connect.WithGRPCWeb()}} {
		_, err := w.client(t, opts...).Apply(t.Context(), &adminv1.ApplyRequest{Documents: strings.Repeat("x", MaxMessageBytes+1)})
		if connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.address+"/holdfast.admin.v1.Admin/Status", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("x", 100<<10))
	// The server may have hung up before it was told everything.
	if resp, err := httpClient(t, nil, false).Do(r); err == nil {
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("headers: %d %v", resp.StatusCode, err)
		}
	}
}

// TestEndlessMessage: what is too large is not read to its end.
func TestEndlessMessage(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	for _, http2 := range []bool{false, true} {
		endless := &counted{}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.address+"/holdfast.admin.v1.Admin/Apply", endless)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if resp, err := httpClient(t, nil, http2).Do(r); err == nil {
			if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusTooManyRequests {
				t.Errorf("%d %v", resp.StatusCode, err)
			}
		}
		eventually(t, "end of the call", func() bool { return len(w.service.writes) == 0 })
		// Some of it is under way in buffers.
		if n := endless.n.Load(); n > maxBodyBytes+(16<<20) {
			t.Errorf("HTTP/2 %v: %d bytes were taken", http2, n)
		}
	}
}

// counted gives blanks for ever.
type counted struct{ n atomic.Int64 }

func (c *counted) Read(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return zeros{}.Read(p)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestCutApply: a message that has not arrived whole changes nothing, wherever it was cut.
func TestCutApply(t *testing.T) {
	backend := &fake{}
	w := serve(t, backend, ListenOptions{})
	const body = `{"documents": "kind: MCPServer"}`
	head := "POST /holdfast.admin.v1.Admin/Apply HTTP/1.1\r\nHost: " + w.address + "\r\nContent-Type: application/json\r\n"
	for at := range len(body) {
		for _, request := range []string{
			head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body[:at]),
			// A cut chunk, and whole chunks without the one that ends them.
			head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s", len(body), body[:at]),
			head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body),
		} {
			conn := w.dial(t)
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "end of the calls", func() bool { return len(w.service.writes) == 0 })
	if backend.count() != 0 {
		t.Errorf("%d revisions of cut messages", backend.count())
	}
	if got := w.post(t, "Apply", "application/json", body); got.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

// TestCutApplyOverHTTP2 cuts by a reset of the stream, and by losing the connection.
func TestCutApplyOverHTTP2(t *testing.T) {
	for _, contentType := range []string{"application/proto", "application/grpc"} {
		for _, reset := range []bool{true, false} {
			backend := &fake{}
			w := serve(t, backend, ListenOptions{})
			conn := w.dial(t)
			framer := startHTTP2(t, conn)
			request(t, framer, w.address, contentType, false)
			// As protobuf these bytes alone are a whole message.
			if err := framer.WriteData(1, false, []byte("\x0a\x07kind: x")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "call", func() bool { return len(w.service.writes) == 1 })
			if reset {
				if err := framer.WriteRSTStream(1, http2.ErrCodeCancel); err != nil {
					t.Fatal(err)
				}
			} else if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "end of the call", func() bool { return len(w.service.writes) == 0 })
			if backend.count() != 0 {
				t.Errorf("%s, reset %v: written", contentType, reset)
			}
			_ = conn.Close() // twice where it was lost
			w.stop()
		}
	}
}

func startHTTP2(t *testing.T, conn io.ReadWriter) *http2.Framer {
	t.Helper()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return framer
}

func request(t *testing.T, framer *http2.Framer, host, contentType string, end bool) {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", host}, {":path", "/holdfast.admin.v1.Admin/Apply"}, {"content-type", contentType}, {"te", "trailers"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end}); err != nil {
		t.Fatal(err)
	}
}

// TestSlowBody: who does not send in time gives the place in the queue up.
func TestSlowBody(t *testing.T) {
	backend := &fake{}
	w := serve(t, backend, ListenOptions{}, func(s *Service) { s.times.body = 100 * time.Millisecond })
	conn := w.dial(t)
	if _, err := io.WriteString(conn, "POST /holdfast.admin.v1.Admin/Apply HTTP/1.1\r\nHost: "+w.address+"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%d %v", resp.StatusCode, err)
	}
	slow := w.dial(t)
	request(t, startHTTP2(t, slow), w.address, "application/json", false)
	eventually(t, "call", func() bool { return len(w.service.writes) == 1 })
	eventually(t, "end of the call", func() bool { return len(w.service.writes) == 0 })
	if backend.count() != 0 {
		t.Error("written")
	}
}

// TestSlowReader: a watcher who does not read is cut off, and the backend goes on.
func TestSlowReader(t *testing.T) {
	backend := &fake{updates: make(chan *adminv1.StatusResponse)}
	w := serve(t, backend, ListenOptions{}, func(s *Service) { s.times.answer = 100 * time.Millisecond })
	conn := w.dial(t)
	if _, err := io.WriteString(conn, "POST /holdfast.admin.v1.Admin/Watch HTTP/1.1\r\nHost: "+w.address+"\r\nContent-Type: application/connect+json\r\nContent-Length: 7\r\n\r\n\x00\x00\x00\x00\x02{}"); err != nil {
		t.Fatal(err)
	}
	large := &adminv1.StatusResponse{Reason: strings.Repeat("x", 8<<20)}
	limit := time.After(patience)
	for sent := 0; ; sent++ {
		select {
		case backend.updates <- large:
			continue
		case <-limit:
			t.Fatalf("%d messages, and it is still there", sent)
		default:
		}
		if len(w.service.watches) == 0 && sent > 0 {
			return
		}
		tick := time.NewTimer(time.Millisecond)
		<-tick.C
	}
}

func TestReadsAreBounded(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	for range maxReads {
		w.service.reads.take()
	}
	if got := w.post(t, "Status", "application/json", `{}`); got.Code != "resource_exhausted" {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.service.reads.give()
	if got := w.post(t, "Status", "application/json", `{}`); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}
