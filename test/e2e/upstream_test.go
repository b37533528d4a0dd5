package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// upstream stands in for an MCP server where a byte or a fault must be exact. It
// answers /health and records everything else.
type upstream struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []seen
	answer http.HandlerFunc
	// sick: its health check fails.
	sick atomic.Bool
}

// seen is one recorded request.
type seen struct {
	Verb, Path string
	Header     http.Header
	Host, Body string
}

func newUpstream(t *testing.T, answer http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{answer: answer}
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health" {
		if u.sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	u.mu.Lock()
	u.seen = append(u.seen, seen{r.Method, r.URL.Path, r.Header.Clone(), r.Host, string(body)})
	answer := u.answer
	u.mu.Unlock()
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	if strings.Contains(string(body), `"tools/list"`) && answer == nil {
		answer = jsonAnswer(`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"public"}}`)
	}
	if answer == nil {
		answer = good
	}
	answer(w, r)
}

// set replaces the answer and forgets what was seen.
func (u *upstream) set(answer http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer, u.seen = answer, nil
}

func (u *upstream) requests() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]seen(nil), u.seen...)
}

func (u *upstream) address() string { return strings.TrimPrefix(u.URL, "http://") }

const goodBody = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ok"}],"resultType":"complete"}}`

// good answers a call with id 1.
func good(w http.ResponseWriter, r *http.Request) { jsonAnswer(goodBody)(w, r) }

func jsonAnswer(body string) http.HandlerFunc {
	return statusAnswer(http.StatusOK, "application/json", body)
}

func sseAnswer(events string) http.HandlerFunc {
	return statusAnswer(http.StatusOK, "text/event-stream", events)
}

func statusAnswer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// pairTry is the per-try timeout of what pairConfig does not want to be hung.
const pairTry = 10 * time.Second

// pair is a Bed over two recorded upstreams, Mumbai first.
type pair struct {
	*testbed.Bed
	mumbai, delhi *upstream
}

// pairConfig has longer times than anything takes on a machine that has much else to do, but
// for the tools that are there to be hung.
const pairConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: primary-mumbai, address: "MUMBAI"}]
    - name: asia-south2
      endpoints: [{name: standby-delhi, address: "DELHI"}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 40s
  retry: {attempts: 3, perTryTimeout: 10s}
  tools:
    - {match: {name: "get_*"}, safe: true, timeout: 21s, retry: {attempts: 2, perTryTimeout: 10s}}
    - {match: {name: "list_*"}, safe: true, timeout: 31s, retry: {attempts: 3, perTryTimeout: 10s}}
    - {match: {name: "slow_*"}, safe: true, timeout: 61s, retry: {attempts: 2, perTryTimeout: 30s}}
    - {match: {name: "hung_*"}, safe: true, timeout: 7s, retry: {attempts: 2, perTryTimeout: 3s}}
    - {match: {name: create_hung}, timeout: 3s}
    - {match: {name: create_order}, timeout: 20s}
`

func startPair(t *testing.T) *pair {
	t.Helper()
	return startPairWith(t, pairConfig)
}

// startPairWith starts a pair with a configuration that was made from pairConfig.
func startPairWith(t *testing.T, config string) *pair {
	t.Helper()
	p := &pair{mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil)}
	config = strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address()).Replace(config)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	return p
}

// set gives each region its answer and forgets what was seen.
func (p *pair) set(mumbai, delhi http.HandlerFunc) {
	p.mumbai.set(mumbai)
	p.delhi.set(delhi)
}

// call posts a modern tools/call with id 1 and no arguments.
func (p *pair) call(t *testing.T, tool string) testbed.Answer {
	t.Helper()
	answer, err := p.Post("/mcp", testbed.ModernHeaders("tools/call", tool), testbed.CallTool("1", tool, "{}"))
	if err != nil {
		t.Fatalf("calling %s: %v", tool, err)
	}
	return answer
}
