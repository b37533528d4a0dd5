package probe

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
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

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// generous is a timeout that a busy machine keeps.
const generous = 30 * time.Second

func patient() model.Probes {
	p := &model.Probe{Interval: time.Minute, Timeout: generous, Failures: 1, Successes: 1}
	return model.Probes{
		TCP: p, TLS: p, HTTP: p, Handshake: p, List: p, HealthPath: "/health", AcceptMissing: true,
		Query:   &model.Query{Probe: *p, Tool: "list_orders", Arguments: `{}`},
		Metrics: &model.Metrics{Probe: *p, Path: "/metrics", CPU: "cpu_share", Memory: "memory_bytes", MemoryLimit: 1000, Cores: 1},
	}
}

func proberOf(server *httptest.Server, edit func(*Target)) *Prober {
	target := Target{
		Server: "orders", Region: "asia-south1", Name: "a", Address: server.Listener.Addr().String(), Path: "/mcp", Probes: patient(), CPU: 0.95, Memory: 0.9,
	}
	if edit != nil {
		edit(&target)
	}
	return New(target, "test")
}

func expect(t *testing.T, r Result, outcome Outcome, detail string) {
	t.Helper()
	if r.Outcome != outcome || !strings.Contains(r.Detail, detail) || (detail == "") != (r.Detail == "") {
		t.Errorf("%s is %s (%q), want %s with %q", r.Layer, r.Outcome, r.Detail, outcome, detail)
	}
}

// TestServersOfBothEras: a real server of either kind passes every layer, tools run for the query alone, and no session stays.
func TestServersOfBothEras(t *testing.T) {
	for name, stateful := range map[string]bool{"without sessions": false, "with sessions": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			journal, err := demo.OpenJournal(path)
			if err != nil {
				t.Fatal(err)
			}
			defer journal.Close()
			server, err := demo.NewServer(demo.Config{Server: demo.Orders, Name: "a", Journal: journal, Stateful: stateful, Version: "1"})
			if err != nil {
				t.Fatal(err)
			}
			var opened, ended atomic.Int64
			handler := server.Handler()
			httpServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete {
					ended.Add(1)
				}
				handler.ServeHTTP(w, r)
				if w.Header().Get("Mcp-Session-Id") != "" && r.Header.Get("Mcp-Session-Id") == "" {
					opened.Add(1)
				}
			}))
			defer httpServer.Close()
			p := proberOf(httpServer, nil)
			for _, l := range []Layer{TCP, HTTP, Handshake, List, Query, List} {
				if r := p.Probe(t.Context(), l); r.Outcome != Good || r.Took <= 0 {
					t.Errorf("%+v", r)
				}
			}
			if p.legacy != stateful || p.modern == stateful {
				t.Errorf("legacy %v, modern %v", p.legacy, p.modern)
			}
			if opened.Load() != ended.Load() || (opened.Load() > 0) != stateful {
				t.Errorf("%d sessions opened, %d ended", opened.Load(), ended.Load())
			}
			executions, err := demo.ReadJournal(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(executions) != 1 || executions[0].Tool != "list_orders" {
				t.Errorf("executions %+v", executions)
			}
		})
	}
}

func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	p := New(Target{Address: address, Probes: patient()}, "test")
	expect(t, p.Probe(t.Context(), TCP), Failed, "connection refused")
}

// page answers /health with a status.
func page(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func TestThreeStates(t *testing.T) {
	for _, c := range []struct {
		status  int
		guessed bool
		want    Outcome
		detail  string
	}{
		{200, true, Good, ""},
		{204, false, Good, ""},
		{404, true, Good, ""},
		{404, false, Failed, "status 404"},
		{429, true, Strained, "429"},
		{429, false, Strained, "429"},
		{503, true, Failed, "GET /health: status 503"},
		{500, false, Failed, "status 500"},
		{302, true, Failed, "status 302"},
	} {
		server := httptest.NewServer(page(c.status))
		p := proberOf(server, func(t *Target) { t.Probes.AcceptMissing = c.guessed })
		expect(t, p.Probe(t.Context(), HTTP), c.want, c.detail)
		server.Close()
	}
}

// authority writes the certificate of a server as that of an authority.
func authority(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLSLayer(t *testing.T) {
	server := httptest.NewUnstartedServer(page(200))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{}
	server.StartTLS()
	defer server.Close()
	ca := authority(t, server)
	for name, c := range map[string]struct {
		tls    model.TLS
		want   Outcome
		detail string
	}{
		"as it should be":   {model.TLS{CA: ca, ServerName: "example.com"}, Good, ""},
		"another name":      {model.TLS{CA: ca, ServerName: "orders.example"}, Failed, "orders.example"},
		"the address":       {model.TLS{CA: ca, ServerName: "127.0.0.1"}, Good, ""},
		"another authority": {model.TLS{CA: "/etc/ssl/certs/ca-certificates.crt", ServerName: "example.com"}, Failed, "authority"},
		"no authorities":    {model.TLS{CA: "/nowhere.pem", ServerName: "example.com"}, Failed, "/nowhere.pem"},
		"no key":            {model.TLS{CA: ca, ServerName: "example.com", Certificate: ca, Key: "/nowhere-key.pem"}, Failed, "own certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			p := proberOf(server, func(t *Target) { t.TLS = &c.tls })
			expect(t, p.Probe(t.Context(), TLS), c.want, c.detail)
			if r := p.Probe(t.Context(), TCP); r.Outcome != Good {
				t.Errorf("TCP: %+v", r)
			}
			if r := p.Probe(t.Context(), HTTP); r.Outcome != c.want {
				t.Errorf("HTTP over it: %+v", r)
			}
		})
	}
	plain := httptest.NewServer(page(200))
	defer plain.Close()
	p := proberOf(plain, func(t *Target) { t.TLS = &model.TLS{CA: ca, ServerName: "example.com"} })
	expect(t, p.Probe(t.Context(), TLS), Failed, "TLS")
}

// mcp answers messages as a test says.
func mcp(answer func(w http.ResponseWriter, method string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, method := range []string{"server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call"} {
			if strings.Contains(string(body), `"method":"`+method+`"`) {
				answer(w, method)
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func TestHandshakes(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, method string)
		want   Outcome
		detail string
	}{
		"garbage": {func(w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, "<html>") }, Failed, "no JSON-RPC message"},
		"an error of its own": {func(w http.ResponseWriter, _ string) {
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"holdfast-probe","error":{"code":-32603,"message":"no \u001b[31mdatabase"}}`)
		}, Failed, "-32603: no [31mdatabase"},
		"another id": {func(w http.ResponseWriter, _ string) {
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{}}`)
		}, Failed, "not one to the request"},
		"credentials": {func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusUnauthorized) }, Unknown, "credentials"},
		"strained":    {func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusTooManyRequests) }, Strained, "429"},
		"down":        {func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusBadGateway) }, Failed, "status 502"},
		"neither way": {func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusNotFound) }, Failed, "initialize: status 404"},
		"a stream without an answer": {func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, ": hello\n\n")
		}, Failed, "ended without an answer"},
		"the older way": {func(w http.ResponseWriter, method string) {
			switch method {
			case "server/discover":
				w.WriteHeader(http.StatusBadRequest)
			case "initialize":
				_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"holdfast-probe","result":{"protocolVersion":"2025-06-18"}}`)
			default:
				w.WriteHeader(http.StatusAccepted)
			}
		}, Good, ""},
		"no session after all": {func(w http.ResponseWriter, method string) {
			switch method {
			case "server/discover":
				w.WriteHeader(http.StatusMethodNotAllowed)
			case "initialize":
				_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"holdfast-probe","result":{"protocolVersion":"2025-06-18"}}`)
			default:
				w.WriteHeader(http.StatusInternalServerError)
			}
		}, Failed, "notifications/initialized: status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(mcp(c.answer))
			defer server.Close()
			p := proberOf(server, nil)
			expect(t, p.Probe(t.Context(), Handshake), c.want, c.detail)
		})
	}
}

func TestSlowQuery(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(mcp(func(w http.ResponseWriter, method string) {
		if method == "tools/call" {
			<-release
		}
		if method == "server/discover" {
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"holdfast-probe","result":{"supportedVersions":["2026-07-28"]}}`)
			return
		}
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"holdfast-probe","result":{"isError":true,"content":[{"type":"text","text":"no database"}]}}`)
	}))
	defer server.Close()
	p := proberOf(server, func(t *Target) { t.Probes.Query.Timeout = 200 * time.Millisecond })
	expect(t, p.Probe(t.Context(), Handshake), Good, "")
	expect(t, p.Probe(t.Context(), Query), Failed, "no answer within 200ms")
	close(release)
	p = proberOf(server, nil)
	expect(t, p.Probe(t.Context(), Query), Failed, "no database")
}

func TestRetries(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	retrying := func(n int) *Prober {
		return proberOf(server, func(t *Target) { http := *t.Probes.HTTP; http.Retries = n; t.Probes.HTTP = &http })
	}
	expect(t, retrying(1).Probe(t.Context(), HTTP), Failed, "status 500")
	asked.Store(0)
	expect(t, retrying(2).Probe(t.Context(), HTTP), Good, "")
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

func TestMetricsLayer(t *testing.T) {
	var text atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, fmt.Sprint(text.Load()))
	}))
	defer server.Close()
	p := proberOf(server, nil)
	say := func(s string) Result {
		text.Store(s)
		return p.Probe(t.Context(), Metrics)
	}
	r := say("cpu_share 0.5\nmemory_bytes 450\n")
	expect(t, r, Good, "")
	if r.CPU == nil || *r.CPU != 0.5 || r.Memory == nil || *r.Memory != 0.45 {
		t.Errorf("%+v", r)
	}
	expect(t, say("cpu_share 0.99\nmemory_bytes 450\n"), Failed, "CPU 99% is not below 95%")
	expect(t, say("cpu_share 0.1\nmemory_bytes 950\n"), Failed, "memory 95% is not below 90%")
	expect(t, say("something_else 1\n"), Unknown, "neither cpu_share nor memory_bytes")
	expect(t, say("cpu_share NaN\n"), Unknown, "neither")
	expect(t, say("}{"), Unknown, "GET /metrics")
	p = proberOf(server, func(t *Target) { t.Probes.Metrics.Path = "/nothing" })
	expect(t, p.Probe(t.Context(), Metrics), Unknown, "status 404")
}

// TestCounterOfSeconds: the growth of a counter by the time between two readings is the share of the cores.
func TestCounterOfSeconds(t *testing.T) {
	var c cpuCounter
	at := time.Unix(1000, 0)
	if _, ok := c.rate(100, at, 4); ok {
		t.Error("one reading says something")
	}
	if got, ok := c.rate(120, at.Add(10*time.Second), 4); !ok || got != 0.5 {
		t.Errorf("%v, %v", got, ok)
	}
	if _, ok := c.rate(1, at.Add(20*time.Second), 4); ok {
		t.Error("a restarted server used a negative time")
	}
}

func TestEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan Result)
	go func() { done <- proberOf(server, nil).Probe(ctx, HTTP) }()
	cancel(errors.New("over"))
	if r := <-done; r.Outcome != Failed {
		t.Errorf("%+v", r)
	}
}
