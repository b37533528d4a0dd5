package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const fallbackConfig = `
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
kind: MCPServer
metadata: {name: archive}
spec:
  path: /archive
  healthCheck: {interval: 3s, timeout: 3s}
  regions: [{name: asia-south1, endpoints: [{name: archive-mumbai, address: "ARCHIVE"}]}]
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}, {name: archive}]
  tools:
    - match: {name: get_order}
      safe: true
      timeout: 31s
      fallback:
        server: archive
        tool: find
        arguments: [{from: /order_id, to: /query/id}]
        result: [{from: /document/number, to: /order_id}, {from: /document/state, to: /status}]
    - {match: {name: create_order}, timeout: 20s, fallback: {server: archive, tool: note_order}}
`

const (
	exactID  = `"a\u0062-9"`
	archived = `{"jsonrpc":"2.0","id":` + exactID + `,"result":{"content":[],"structuredContent":{"document":{"number":"ORD-1","state":"SHIPPED"}},"resultType":"complete"}}`
	ordered  = `{"jsonrpc":"2.0","id":` + exactID + `,"result":{"content":[{"type":"text","text":"from orders"}],"resultType":"complete"}}`
	broken   = `{"jsonrpc":"2.0","id":` + exactID + `,"error":{"code":-32603,"message":"database gone"}}`
)

// providers is a pair with a second provider behind it.
type providers struct {
	*pair
	archive *upstream
}

func startProviders(t *testing.T) *providers {
	t.Helper()
	p := &providers{
		pair:    &pair{mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil)},
		archive: newUpstream(t, jsonAnswer(archived)),
	}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address(), "ARCHIVE", p.archive.address()).Replace(fallbackConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	return p
}

func (p *providers) ask(t *testing.T, tool string) testbed.Answer {
	t.Helper()
	answer, err := p.Post("/mcp", testbed.ModernHeaders("tools/call", tool), testbed.CallTool(exactID, tool, `{"order_id": "ORD-1"}`))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// wantArchive holds an answer against what the second provider said, mapped and marked.
func wantArchive(t *testing.T, got testbed.Answer) {
	t.Helper()
	body := string(got.Body)
	for _, part := range []string{
		`"id":` + exactID, `"structuredContent":{"order_id":"ORD-1","status":"SHIPPED"}`, `"text":"{\"order_id\":\"ORD-1\",\"status\":\"SHIPPED\"}"`,
		`"holdfast/degraded":{"reason":"service_unavailable","source":"fallback","server":"archive","tool":"find","insteadOf":"orders"}`,
		`"holdfast/via":"archive-mumbai"`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("the answer has no %s", part)
		}
	}
	if got.Status != http.StatusOK || got.Header.Get("x-holdfast-degraded") != "fallback" || t.Failed() {
		t.Errorf("status %d, headers %v: %s", got.Status, got.Header, body)
	}
}

func TestFallback(t *testing.T) {
	t.Parallel()
	p := startProviders(t)
	p.set(jsonAnswer(ordered), jsonAnswer(ordered))
	p.archive.set(jsonAnswer(archived))
	for range 5 {
		if got := p.ask(t, "get_order"); !strings.Contains(string(got.Body), "from orders") || got.Header.Get("x-holdfast-degraded") != "" {
			t.Fatalf("while the first provider is fine: %v %s", got.Header, got.Body)
		}
	}
	if n := len(p.archive.requests()); n != 0 {
		t.Fatalf("the second provider was asked %d times while the first is fine", n)
	}

	t.Run("one region fails: the other answers", func(t *testing.T) {
		p.set(jsonAnswer(broken), jsonAnswer(ordered))
		if got := p.ask(t, "get_order"); !strings.Contains(string(got.Body), "from orders") {
			t.Errorf("%v %s", got.Header, got.Body)
		}
	})
	t.Run("every region fails", func(t *testing.T) {
		p.set(jsonAnswer(broken), jsonAnswer(broken))
		p.archive.set(jsonAnswer(archived))
		wantArchive(t, p.ask(t, "get_order"))
		asked := p.archive.requests()
		if len(asked) != 1 {
			t.Fatalf("the second provider was asked %d times", len(asked))
		}
		if r := asked[0]; r.Path != "/archive" || r.Header.Get("Mcp-Name") != "find" || r.Header.Get("Mcp-Method") != "tools/call" ||
			!strings.Contains(r.Body, `"name":"find","arguments":{"query":{"id":"ORD-1"}}`) || !strings.Contains(r.Body, `"id":`+exactID) {
			t.Errorf("the second provider was asked %+v", r)
		}
	})
	t.Run("event stream", func(t *testing.T) {
		p.archive.set(sseAnswer("event: message\ndata: " + archived + "\n\n"))
		wantArchive(t, p.ask(t, "get_order"))
	})
	t.Run("outcome unknown: nobody else is asked", func(t *testing.T) {
		hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		p.set(hangUp, hangUp)
		p.archive.set(jsonAnswer(archived))
		if got := string(p.ask(t, "create_order").Body); !strings.Contains(got, `"outcome":"unknown"`) {
			t.Errorf("%s", got)
		}
		if n := len(p.archive.requests()); n != 0 {
			t.Errorf("a call that may have run was sent to the second provider %d times", n)
		}
	})
	p.mumbai.Close()
	p.delhi.Close()
	t.Run("both regions down", func(t *testing.T) {
		p.archive.set(jsonAnswer(archived))
		for range 5 {
			wantArchive(t, p.ask(t, "get_order"))
		}
	})
	t.Run("both regions down, a call that may run once", func(t *testing.T) {
		p.archive.set(jsonAnswer(ordered))
		got := p.ask(t, "create_order")
		if !strings.Contains(string(got.Body), `"source":"fallback"`) {
			t.Errorf("%v %s", got.Header, got.Body)
		}
		asked := p.archive.requests()
		if len(asked) != 1 || !strings.Contains(asked[0].Body, `"name":"note_order"`) || !strings.Contains(asked[0].Body, `"arguments":{"order_id": "ORD-1"}`) {
			t.Errorf("asked %d times: %+v", len(asked), asked)
		}
	})
	t.Run("all providers down", func(t *testing.T) {
		p.archive.Close()
		p.Eventually(testbed.Patience, "a degraded answer", func() error {
			if got := string(p.ask(t, "get_order").Body); !strings.Contains(got, `"source":"error"`) || !strings.Contains(got, `"server":"orders"`) {
				t.Fatalf("%s", got)
			}
			return nil
		})
	})
}
