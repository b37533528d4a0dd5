package apiclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plane answers History with who asked, and Watch with as many statuses as it is told.
type plane struct {
	adminv1connect.UnimplementedAdminHandler
	refuse error
	// hang a call until it is given up.
	hang bool
	// watch is one stream.
	watch func(context.Context, *connect.ServerStream[adminv1.StatusResponse]) error
}

func (p *plane) History(ctx context.Context, _ *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	if p.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if p.refuse != nil {
		return nil, p.refuse
	}
	info, _ := connect.CallInfoForHandlerContext(ctx)
	return &adminv1.HistoryResponse{Revisions: []*adminv1.Revision{{Author: info.RequestHeader().Get("Authorization")}}}, nil
}

func (p *plane) Watch(ctx context.Context, _ *adminv1.WatchRequest, stream *connect.ServerStream[adminv1.StatusResponse]) error {
	return p.watch(ctx, stream)
}

func handler(p *plane) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminHandler(p))
	return mux
}

func newClient(t *testing.T, opts Options) *Client {
	t.Helper()
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// author asks who the server thinks is asking.
func author(t *testing.T, c *Client) string {
	t.Helper()
	answer, err := c.History(t.Context(), &adminv1.HistoryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetRevisions()[0].GetAuthor()
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(handler(&plane{}))
	defer server.Close()
	for _, address := range []string{server.URL, server.URL + "/", strings.TrimPrefix(server.URL, "http://")} {
		if got := author(t, newClient(t, Options{Server: address, Token: "word"})); got != "Bearer word" {
			t.Errorf("%s is shown %q", address, got)
		}
	}
	if got := author(t, newClient(t, Options{Server: server.URL})); got != "" {
		t.Errorf("without a token %q is shown", got)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	host := ""
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		handler(&plane{}).ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	c := newClient(t, Options{Server: "unix://" + path, Token: "word"})
	if got := author(t, c); got != "Bearer word" || host != "localhost" {
		t.Errorf("it is shown %q under the host %q", got, host)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(handler(&plane{}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(roots, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := TLSFiles{CA: roots}.Config()
	if err != nil {
		t.Fatal(err)
	}
	if got := author(t, newClient(t, Options{Server: server.URL, Token: "word", TLS: cfg})); got != "Bearer word" {
		t.Errorf("it is shown %q", got)
	}
	_, err = newClient(t, Options{Server: server.URL}).History(t.Context(), &adminv1.HistoryRequest{})
	says(t, err, false, "cannot show that it is the control plane", "--ca names the certificates")
	_, err = newClient(t, Options{Server: strings.Replace(server.URL, "https", "http", 1)}).History(t.Context(), &adminv1.HistoryRequest{})
	says(t, err, false, "is not the admin API of a control plane", "--server says where")
}

// TestClientCertificate: one is shown where it is asked for.
func TestClientCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(handler(&plane{}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	files := TLSFiles{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, text := range map[string][]byte{files.CA: certificate, files.Cert: certificate, files.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, with := range []bool{true, false} {
		if !with {
			files.Cert, files.Key = "", ""
		}
		cfg, err := files.Config()
		if err != nil {
			t.Fatal(err)
		}
		_, err = newClient(t, Options{Server: server.URL, TLS: cfg}).History(t.Context(), &adminv1.HistoryRequest{})
		if with && err != nil {
			t.Error(err)
		}
		if !with {
			says(t, err, false, "refuses the connection", "--cert and --key")
		}
	}
}

// says checks the words of an error.
func says(t *testing.T, err error, answered bool, words ...string) {
	t.Helper()
	var told *Error
	if !errors.As(err, &told) {
		t.Errorf("%v (%T) is no *Error", err, err)
		return
	}
	if told.Answered != answered {
		t.Errorf("%v: answered is %v", err, told.Answered)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("it says %q, and not %q", err, word)
		}
	}
}

func TestErrors(t *testing.T) {
	p := &plane{}
	server := httptest.NewServer(handler(p))
	defer server.Close()
	c := newClient(t, Options{Server: server.URL})
	for _, test := range []struct {
		code  connect.Code
		words []string
	}{
		{connect.CodeInvalidArgument, []string{"the words"}},
		{connect.CodeFailedPrecondition, []string{"the words"}},
		{connect.CodeNotFound, []string{"the words"}},
		{connect.CodeUnauthenticated, []string{"wants to know who asks: the words", "--token-file"}},
		{connect.CodePermissionDenied, []string{"does not allow it: the words"}},
		{connect.CodeInternal, []string{"the control plane failed: the words", "its log"}},
	} {
		p.refuse = connect.NewError(test.code, errors.New("the words"))
		_, err := c.History(t.Context(), &adminv1.HistoryRequest{})
		says(t, err, true, test.words...)
		var told *Error
		if errors.As(err, &told) && told.Code != test.code {
			t.Errorf("%v has the code %v", err, told.Code)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := newClient(t, Options{Server: "127.0.0.1:1"})
	_, err := c.Status(t.Context(), &adminv1.StatusRequest{})
	says(t, err, false, "nobody answers at 127.0.0.1:1", "is the control plane running?", "--server")
	err = c.Follow(t.Context(), Follower{Status: func(*adminv1.StatusResponse) error { return nil }})
	says(t, err, false, "nobody answers at 127.0.0.1:1")
	missing := newClient(t, Options{Server: "unix://" + filepath.Join(t.TempDir(), "none")})
	_, err = missing.Status(t.Context(), &adminv1.StatusRequest{})
	says(t, err, false, "nobody answers at unix://", "is the control plane running?")
}

func TestSlowAnswer(t *testing.T) {
	server := httptest.NewServer(handler(&plane{hang: true}))
	defer server.Close()
	c := newClient(t, Options{Server: server.URL, Timeout: 50 * time.Millisecond})
	_, err := c.History(t.Context(), &adminv1.HistoryRequest{})
	says(t, err, false, "has not answered in time")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.History(ctx, &adminv1.HistoryRequest{})
	says(t, err, false, "interrupted")
}

// TestOtherServer: what is no control plane gets no token by a redirect, and is said.
func TestOtherServer(t *testing.T) {
	var stolen atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen.Store(true)
	}))
	defer thief.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
		},
		"not found": http.NotFound,
		"page":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello")) },
	} {
		server := httptest.NewServer(answer)
		_, err := newClient(t, Options{Server: server.URL, Token: "word"}).Status(t.Context(), &adminv1.StatusRequest{})
		says(t, err, false, "is not the admin API of a control plane")
		if stolen.Load() {
			t.Errorf("%s: the token was carried elsewhere", name)
		}
		server.Close()
	}
}

// TestNoHTTP: an xDS port, say, is not what was meant.
func TestNoHTTP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		// What comes before a request is no answer to it.
		_, _ = conn.Read(make([]byte, 1))
		// A settings frame of HTTP/2 (RFC 9113, section 6.5).
		_, _ = conn.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	_, err = newClient(t, Options{Server: listener.Addr().String()}).Status(t.Context(), &adminv1.StatusRequest{})
	says(t, err, false, "does not speak HTTP", "--server")
	_ = listener.Close()
	<-ended
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]address{
		"127.0.0.1:18001":    {shown: "127.0.0.1:18001", base: "http://127.0.0.1:18001"},
		"localhost:1":        {shown: "localhost:1", base: "http://localhost:1"},
		"http://[::1]:1/":    {shown: "http://[::1]:1", base: "http://[::1]:1"},
		"https://xds.test":   {shown: "https://xds.test", base: "https://xds.test"},
		"unix:///run/h.sock": {shown: "unix:///run/h.sock", base: "http://localhost", network: "unix", target: "/run/h.sock"},
	} {
		if got, err := parseAddress(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "unix://run/x", "ftp://x", "http://", "http://a/b", "http://u:p@a", "http://a?b", "a b:1", "http://%"} {
		if got, err := parseAddress(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestTokenStaysPrivate(t *testing.T) {
	for server, fine := range map[string]bool{
		"http://127.0.0.1:1": true, "http://[::1]:1": true, "http://localhost:1": true, "https://192.0.2.1": true, "unix:///x": true,
		"http://192.0.2.1:1": false, "192.0.2.1:1": false, "http://127.0.0.1.example:1": false, "http://localhost.example": false,
	} {
		c, err := New(Options{Server: server, Token: "word"})
		if (err == nil) != fine {
			t.Errorf("%s: %v", server, err)
		}
		if err == nil {
			c.Close()
		} else if strings.Contains(err.Error(), "word") {
			t.Errorf("the token is in %q", err)
		}
	}
}

func TestReadToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for text, want := range map[string]string{"word\n": "word", " word ": "word", "": "", "\n": "", "two words": "", "a\nb": "", "é": "", "a\x00": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadToken(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v", text, got, err)
		}
	}
	if err := os.WriteFile(path, make([]byte, maxCredential+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadToken(path); err == nil {
		t.Error("an endless file is a token")
	}
	if _, err := ReadToken(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
