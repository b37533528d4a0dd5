package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnswers(t *testing.T) {
	ready := status.Status{Ready: true, Nodes: []status.Node{}, Servers: []status.Server{}}
	with := func(change func(*status.Status)) status.Status {
		s := ready
		s.Nodes = []status.Node{{ID: "e1", Kind: "envoy", Sync: status.Synced}, {ID: "p1", Kind: "extproc", Sync: status.Pending}}
		change(&s)
		return s
	}
	good := with(func(*status.Status) {})
	waiting := status.Status{Reason: "no valid configuration yet"}
	for _, c := range []struct {
		name, method, path, host string
		status                   status.Status
		code                     int
		body                     string
	}{
		{"health", "GET", "/health", "127.0.0.1:18001", good, 200, `"healthy"`},
		{"health without a revision", "GET", "/health", "127.0.0.1:18001", waiting, 429, "no valid configuration yet"},
		{"ready", "GET", "/ready", "localhost:18001", good, 200, `"healthy"`},
		{"nobody connected", "GET", "/ready", "localhost:18001", ready, 429, "none is connected"},
		{"mistakes in the files", "GET", "/ready", "localhost:18001", with(func(s *status.Status) { s.Refused = &status.Refused{Standing: true} }), 429, "the files have mistakes"},
		{"mistakes that are mended", "GET", "/ready", "localhost:18001", with(func(s *status.Status) { s.Refused = &status.Refused{} }), 200, `"healthy"`},
		{"nothing can be written", "GET", "/ready", "localhost:18001", with(func(s *status.Status) { s.Problems = []string{"disk full"} }), 429, "disk full"},
		{"a node refuses", "GET", "/ready", "localhost:18001", with(func(s *status.Status) { s.Nodes[0].Sync = status.Rejecting }), 429, "some refuse"},
		{"a node is silent", "GET", "/ready", "localhost:18001", with(func(s *status.Status) { s.Nodes[1].Sync = status.Silent }), 429, "some refuse"},
		{"not ready", "GET", "/ready", "[::1]:18001", waiting, 503, "no valid configuration yet"},
		{"status", "GET", "/v1/status", "localhost", ready, 200, `"nodes": []`},
		{"foreign host", "GET", "/v1/status", "evil.example:18001", ready, 403, "loopback"},
		{"lookalike host", "GET", "/v1/status", "127.0.0.1.evil.example", ready, 403, "loopback"},
		{"no host", "GET", "/v1/status", "", ready, 403, "loopback"},
		{"other method", "POST", "/v1/status", "localhost", ready, 405, ""},
		{"other path", "GET", "/", "localhost", ready, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.path, nil)
			r.Host = c.host
			w := httptest.NewRecorder()
			Handler(func() status.Status { return c.status }, nil, nil).ServeHTTP(w, r)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.body) {
				t.Fatalf("%d %s, want %d with %s", w.Code, w.Body, c.code, c.body)
			}
		})
	}
}

func TestListenRefusesOtherMachines(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "example.org:0", "127.0.0.1"} {
		if l, err := Listen(t.Context(), address); err == nil {
			t.Errorf("%s: listening on %s", address, l.Addr())
			_ = l.Close()
		}
	}
}

func TestServe(t *testing.T) {
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	want := status.Status{Ready: true, Revision: &status.Revision{Version: "v", Since: time.Unix(1, 0).UTC()}, Nodes: []status.Node{{ID: "e1", Sync: status.Silent}}}
	go func() {
		handler := Handler(func() status.Status { return want }, nil, nil)
		done <- Serve(ctx, listener, handler, nil, slog.New(slog.DiscardHandler))
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	var got status.Status
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Revision.Version != "v" || got.Nodes[0].Sync != status.Silent || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %+v", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
