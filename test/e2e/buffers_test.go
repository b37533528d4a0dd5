package e2e

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// sized answers a call with a text of so many KiB.
func sized(kib int) http.HandlerFunc {
	return jsonAnswer(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", kib<<10) + `"}],"resultType":"complete"}}`)
}

// TestNoBufferFillsUp: Envoy 1.40.0 crashes when a buffer on the way of an answer
// fills up while the attempt point holds the body. The sizes here filled each of
// them with the limits that Envoy has by default. The bed fails when Envoy ends by itself.
func TestNoBufferFillsUp(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	together := func(t *testing.T, n int, body string) {
		t.Helper()
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				got, err := p.Post("/mcp", testbed.ModernHeaders("tools/call", "get_order"), body)
				if err != nil || got.Status != http.StatusOK || got.Header.Get("x-holdfast-degraded") != "" {
					t.Errorf("status %d, %v: %.200s", got.Status, err, got.Body)
				}
			})
		}
		wg.Wait()
	}
	call := testbed.CallTool("1", "get_order", "{}")
	t.Run("many answers of 48 KiB", func(t *testing.T) {
		p.set(sized(48), nil)
		for range 3 {
			together(t, 100, call)
		}
	})
	t.Run("answers of 600 KiB and of 3 MiB", func(t *testing.T) {
		p.set(sized(600), nil)
		together(t, 40, call)
		p.set(sized(3000), nil)
		for range 5 {
			together(t, 1, call)
		}
		together(t, 8, call)
	})
	t.Run("requests of 3 MiB", func(t *testing.T) {
		p.set(nil, nil)
		together(t, 12, testbed.CallTool("1", "get_order", `{"f":"`+strings.Repeat("x", 3<<20)+`"}`))
	})
	t.Run("a client of HTTP/2 that reads slowly", func(t *testing.T) { slowReader(t, p) })
	if err := p.Ping("/mcp"); err != nil {
		t.Error(err)
	}
}

// slowReader opens a window of 64 KiB and reads only once the server has long finished.
func slowReader(t *testing.T, p *pair) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: time.Minute, Transport: transport}
	for _, kib := range []int{256, 512, 1000} {
		p.set(sized(kib), nil)
		req, err := http.NewRequest(http.MethodPost, "http://"+p.Gateway+"/mcp", strings.NewReader(testbed.CallTool("1", "get_order", "{}")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = testbed.ModernHeaders("tools/call", "get_order")
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%d KiB: %v", kib, err)
			continue
		}
		p.Until(testbed.Patience, "the server has answered", func() bool { return len(p.mumbai.requests()) == 1 })
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || len(body) < kib<<10 {
			t.Errorf("%d KiB: %d bytes, %v", kib, len(body), err)
		}
	}
}

// TestNotAnAnswer: what no client can take for an answer to its request is a
// failure of the tool, and the call goes to the other region.
func TestNotAnAnswer(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	for name, answer := range map[string]http.HandlerFunc{
		"a page":                 statusAnswer(200, "text/html", "<h1>welcome</h1>"),
		"202 to a request":       statusAnswer(202, "", ""),
		"204 to a request":       statusAnswer(204, "", ""),
		"nothing":                statusAnswer(200, "application/json", ""),
		"somebody else's answer": jsonAnswer(strings.Replace(goodBody, `"id":1`, `"id":99`, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			p.set(answer, nil)
			if got := p.call(t, "get_order"); got.Header.Get("x-holdfast-region") != testbed.Delhi || !strings.Contains(string(got.Body), `"text":"ok"`) {
				t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
			}
		})
	}
}

// TestSessionsStayWithTheirServer: a call of a legacy session is not tried in
// another region, which would say that it knows no such session.
func TestSessionsStayWithTheirServer(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Mcp-Session-Id", "s1")
		good(w, r)
	}, nil)
	opened, err := p.Post("/mcp", legacyHeaders(""), initializeBody)
	if err != nil || opened.Status != http.StatusOK {
		t.Fatalf("initialize: %v, %d %s", err, opened.Status, opened.Body)
	}
	p.set(jsonAnswer(failing), statusAnswer(404, "", ""))
	got, err := p.Post("/mcp", legacyHeaders(opened.Header.Get("Mcp-Session-Id")), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != 200 || !strings.Contains(string(got.Body), "database gone") || len(p.delhi.requests()) != 0 {
		t.Errorf("status %d, Delhi saw %d: %s", got.Status, len(p.delhi.requests()), got.Body)
	}
}

// TestBodiesOfGetAndDelete: nobody decides on them, so they go nowhere.
func TestBodiesOfGetAndDelete(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(nil, nil)
	for _, verb := range []string{http.MethodGet, http.MethodDelete} {
		got, err := p.Do(verb, "/mcp", http.Header{"Mcp-Protocol-Version": {"2025-11-25"}}, testbed.CallTool("1", "get_order", "{}"))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(p.mumbai.requests()); got.Status != 400 || n != 0 {
			t.Errorf("%s: status %d, %d requests reached the server", verb, got.Status, n)
		}
	}
}
