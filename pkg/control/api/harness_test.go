package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// lines are what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// world is a served API.
type world struct {
	backend *fake
	service *Service
	address string
	log     *lines
	stop    func()
}

// serve starts an API on an address of the options, 127.0.0.1 if there is none.
func serve(t *testing.T, backend *fake, opts ListenOptions, adjust ...func(*Service)) *world {
	t.Helper()
	w := &world{backend: backend, log: &lines{}}
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	w.service = New(backend, Options{Logger: logger})
	for _, a := range adjust {
		a(w.service)
	}
	if opts.Address == "" {
		opts.Address = "127.0.0.1:0"
	}
	opts.Logger = logger
	listener, err := Listen(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	w.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- listener.Serve(ctx, w.service) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// httpClient speaks HTTP/2, in the clear or by TLS, or HTTP/1.1.
func httpClient(t *testing.T, config *tls.Config, http2 bool) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2 && config != nil)
	protocols.SetUnencryptedHTTP2(http2 && config == nil)
	transport := &http.Transport{TLSClientConfig: config, Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// client of one of the protocols.
func (w *world) client(t *testing.T, opts ...connect.ClientOption) adminv1connect.AdminClient {
	t.Helper()
	return adminv1connect.NewAdminClient(httpClient(t, nil, true), "http://"+w.address, opts...)
}

// answer is one of plain HTTP.
type answer struct {
	status  int
	header  http.Header
	body    string
	Code    string `json:"code"`
	Message string `json:"message"`
}

// post sends a body to a method.
func (w *world) post(t *testing.T, method, contentType, body string, headers ...string) answer {
	t.Helper()
	return send(t, httpClient(t, nil, false), http.MethodPost, "http://"+w.address+"/holdfast.admin.v1.Admin/"+method, contentType, body, headers...)
}

func send(t *testing.T, client *http.Client, verb, url, contentType, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), verb, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(data)}
	if resp.StatusCode != http.StatusOK {
		_ = json.Unmarshal(data, &a) // where it is not JSON, there is no code
	}
	return a
}

// dial a bare connection.
func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("no %s", what)
		case <-tick.C:
		}
	}
}

func newClient(client *http.Client, w *world, opts ...connect.ClientOption) adminv1connect.AdminClient {
	return adminv1connect.NewAdminClient(client, "http://"+w.address, opts...)
}
