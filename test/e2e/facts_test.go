package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// failing is a server-side failure hidden in HTTP 200.
const failing = `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"database gone"}}`

func event(data string) string { return "event: message\ndata: " + data + "\n\n" }

// TestEnvoyFacts holds what Holdfast relies on in Envoy, each fact shown through
// the configuration that people run.
func TestEnvoyFacts(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	t.Run("a failure in 200 moves the call, as JSON and as SSE", func(t *testing.T) {
		for name, answer := range map[string]http.HandlerFunc{"JSON": jsonAnswer(failing), "SSE": sseAnswer(event(failing))} {
			p.set(answer, nil)
			before := p.Retries("orders")
			got := p.call(t, "get_order")
			if got.Status != 200 || !strings.Contains(string(got.Body), `"text":"ok"`) || got.Header.Get("x-holdfast-region") != testbed.Delhi {
				t.Errorf("%s: %d %v %s", name, got.Status, got.Header, got.Body)
			}
			if p.Retries("orders") == before || len(p.mumbai.requests()) != 1 || len(p.delhi.requests()) != 1 {
				t.Errorf("%s: retries %d → %d, Mumbai saw %d, Delhi %d", name, before, p.Retries("orders"), len(p.mumbai.requests()), len(p.delhi.requests()))
			}
		}
	})
	t.Run("when every region failed the server's own answer and status come back", func(t *testing.T) {
		p.set(jsonAnswer(failing), jsonAnswer(failing))
		got := p.call(t, "get_order")
		if got.Status != 200 || !strings.Contains(string(got.Body), "database gone") {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		if h := got.Header.Get("x-holdfast-verdict"); h != "" {
			t.Errorf("the verdict reached the client: %q", h)
		}
	})
	t.Run("each try is judged, not only the first", func(t *testing.T) {
		p.set(jsonAnswer(failing), jsonAnswer(failing))
		got := p.call(t, "list_orders")
		if n := len(p.mumbai.requests()) + len(p.delhi.requests()); n != 3 || got.Header.Get("x-holdfast-attempts") != "3" {
			t.Errorf("%d tries, the answer says %q", n, got.Header.Get("x-holdfast-attempts"))
		}
	})
	t.Run("an unsafe call is not tried again after a failure", func(t *testing.T) {
		p.set(jsonAnswer(failing), nil)
		got := p.call(t, "create_order")
		if len(p.mumbai.requests()) != 1 || len(p.delhi.requests()) != 0 || !strings.Contains(string(got.Body), "database gone") {
			t.Errorf("Mumbai %d, Delhi %d: %s", len(p.mumbai.requests()), len(p.delhi.requests()), got.Body)
		}
	})
	t.Run("answers without a body pass", func(t *testing.T) { answersWithoutBody(t, p) })
	t.Run("a stream starts with its first event", func(t *testing.T) { streamStarts(t, p) })
	t.Run("silence after the headers moves the call", func(t *testing.T) {
		released := make(chan struct{})
		t.Cleanup(func() { close(released) })
		p.set(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			fmt.Fprint(w, ": still here\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-released:
			case <-r.Context().Done():
			}
		}, nil)
		got := p.call(t, "hung_get")
		if got.Header.Get("x-holdfast-region") != testbed.Delhi || !strings.Contains(string(got.Body), `"text":"ok"`) {
			t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
		}
	})
	t.Run("each try gets the whole body", func(t *testing.T) {
		p.set(statusAnswer(503, "", ""), nil)
		filler := strings.Repeat("x", 3_900_000)
		body := testbed.CallTool("1", "get_order", `{"f":"`+filler+`"}`)
		got, err := p.Post("/mcp", testbed.ModernHeaders("tools/call", "get_order"), body)
		if err != nil {
			t.Fatal(err)
		}
		delhi := p.delhi.requests()
		if got.Status != 200 || len(delhi) != 1 || delhi[0].Body != body {
			t.Errorf("status %d, Delhi saw %d requests", got.Status, len(delhi))
		}
	})
	t.Run("JSON answers keep their content-length", func(t *testing.T) {
		p.set(nil, nil)
		got := p.call(t, "get_order")
		if got.Header.Get("Content-Length") != fmt.Sprint(len(got.Body)) {
			t.Errorf("content-length %q for %d bytes", got.Header.Get("Content-Length"), len(got.Body))
		}
	})
	t.Run("servers see their own host and no internal header", func(t *testing.T) { upstreamHeaders(t, p) })
	t.Run("a call in mid-stream is cut when its server dies", func(t *testing.T) { cutInMidStream(t, p) })
}

// cutInMidStream: once the first event has gone out, a safe call too is not tried
// again; the client learns of the break at once.
func cutInMidStream(t *testing.T, p *pair) {
	received := make(chan struct{})
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		fmt.Fprint(w, event(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`))
		_ = http.NewResponseController(w).Flush()
		<-received
		panic(http.ErrAbortHandler)
	}, nil)
	body := strings.Replace(testbed.CallTool("1", "get_order", "{}"), `"_meta":{`, `"_meta":{"progressToken":1,`, 1)
	req, err := http.NewRequest("POST", "http://"+p.Gateway+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = testbed.ModernHeaders("tools/call", "get_order")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	reader := bufio.NewReader(resp.Body)
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	close(received)
	rest, err := io.ReadAll(reader)
	if err == nil && !strings.Contains(string(rest), `"error"`) {
		t.Errorf("neither cut nor ended with an error event: %q", rest)
	}
	if n := len(p.delhi.requests()); n != 0 {
		t.Errorf("the call was tried again after its first event (%d times)", n)
	}
}

func answersWithoutBody(t *testing.T, p *pair) {
	for _, c := range []struct {
		name, verb, body string
		status           int
	}{
		{"202 to a notification", "POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 202},
		{"204", "POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 204},
		{"empty 404 to a notification", "POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 404},
		{"DELETE", "DELETE", "", 200},
		{"204 to DELETE", "DELETE", "", 204},
		{"empty 404 to DELETE", "DELETE", "", 404},
		{"HEAD", "HEAD", "", 405},
		{"405 to GET", "GET", "", 405},
	} {
		p.set(statusAnswer(c.status, "", ""), nil)
		header := http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
			"Mcp-Protocol-Version": {"2025-11-25"},
		}
		started := time.Now()
		got, err := p.Do(c.verb, "/mcp", header, c.body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Status != c.status || len(got.Body) != 0 || time.Since(started) >= pairTry {
			t.Errorf("%s: status %d after %v with %q", c.name, got.Status, time.Since(started), got.Body)
		}
	}
}

// streamStarts: the first event reaches the client while the server still works,
// on a POST that asked for progress and on a GET.
func streamStarts(t *testing.T, p *pair) {
	release := make(chan struct{})
	p.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		fmt.Fprint(w, event(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		fmt.Fprint(w, event(goodBody))
	}, nil)
	defer close(release)
	body := strings.Replace(testbed.CallTool("1", "slow_report", "{}"), `"_meta":{`, `"_meta":{"progressToken":1,`, 1)
	for _, verb := range []string{"POST", "GET"} {
		header := testbed.ModernHeaders("tools/call", "slow_report")
		text := body
		if verb == "GET" {
			header, text = http.Header{"Accept": {"text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"}}, ""
		}
		req, err := http.NewRequest(verb, "http://"+p.Gateway+"/mcp", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "event: message") {
			t.Errorf("%s: first line %q, %v", verb, line, err)
		}
		resp.Body.Close()
	}
}

func upstreamHeaders(t *testing.T, p *pair) {
	p.set(jsonAnswer(failing), nil)
	header := testbed.ModernHeaders("tools/call", "get_order")
	header.Set("Accept-Encoding", "gzip")
	header.Set("Origin", "http://localhost:10000")
	header.Set("X-Holdfast-Region", "forged")
	header.Set("X-Envoy-Retry-On", "5xx")
	if _, err := p.Post("/mcp", header, testbed.CallTool("1", "get_order", "{}")); err != nil {
		t.Fatal(err)
	}
	seen := append(p.mumbai.requests(), p.delhi.requests()...)
	if len(seen) != 2 || seen[0].Host != p.mumbai.address() || seen[1].Host != p.delhi.address() {
		t.Errorf("%d requests, want one in each region with that server's own Host: %v", len(seen), seen)
	}
	for _, r := range seen {
		for name := range r.Header {
			lower := strings.ToLower(name)
			if strings.HasPrefix(lower, "x-holdfast-") || lower == "origin" || lower == "x-envoy-retry-on" {
				t.Errorf("the server saw %s: %v", name, r.Header[name])
			}
		}
		if e := r.Header.Get("Accept-Encoding"); e != "" {
			t.Errorf("the server may compress: %q", e)
		}
	}
}

// TestEarlyReplies: what Envoy refuses by itself reaches the client whole, as
// JSON-RPC, and no path trick or header reaches a server.
func TestEarlyReplies(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(nil, nil)
	call := testbed.CallTool("1", "get_order", "{}")
	for _, c := range []struct {
		name, verb, path string
		header           func(http.Header)
		body             string
		status           int
		want             string
	}{
		{name: "foreign Host", header: func(h http.Header) { h.Set("Host", "evil.example.com") }, status: 403, want: "not allowed"},
		{name: "foreign Origin", header: func(h http.Header) { h.Set("Origin", "http://evil.example.com") }, status: 403, want: "not allowed"},
		{name: "Host that only begins well", header: func(h http.Header) { h.Set("Host", "localhost:1.evil.example.com") }, status: 403, want: "not allowed"},
		{name: "Origin that only begins well", header: func(h http.Header) { h.Set("Origin", "http://localhost:1.evil.example.com") }, status: 403, want: "not allowed"},
		{name: "two Origins in one", header: func(h http.Header) { h.Set("Origin", "http://localhost:1,http://evil.example.com:80") }, status: 403, want: "not allowed"},
		{name: "header too large", header: func(h http.Header) { h.Set("X-Big", strings.Repeat("x", 70<<10)) }, status: 431},
		{name: "escaped slash", path: "/mcp%2f..%2fadmin", status: 400},
		{name: "path that walks away", path: "/mcp/../other", status: 404},
		{name: "unknown path", path: "/nowhere", status: 404},
		{name: "body over the limit", body: `{"jsonrpc":"2.0","id":1,"x":"` + strings.Repeat("x", 5<<20) + `"}`, status: 413},
	} {
		header := testbed.ModernHeaders("tools/call", "get_order")
		if c.header != nil {
			c.header(header)
		}
		path, body := c.path, c.body
		if path == "" {
			path = "/mcp"
		}
		if body == "" {
			body = call
		}
		got, err := p.Post(path, header, body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Status != c.status || !strings.Contains(string(got.Body), c.want) || len(got.Body) == 0 {
			t.Errorf("%s: status %d, want %d: %q", c.name, got.Status, c.status, got.Body)
		}
	}
	if n := len(p.mumbai.requests()) + len(p.delhi.requests()); n != 0 {
		t.Errorf("%d of the refused requests reached a server", n)
	}
	t.Run("a body of unknown length is refused, not held", func(t *testing.T) { chunkedOverLimit(t, p) })
}

func chunkedOverLimit(t *testing.T, p *pair) {
	conn, err := net.DialTimeout("tcp", p.Gateway, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := strings.Repeat("x", 64<<10)
	for range 80 {
		if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
			break // refused while we were still writing
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusLengthRequired {
		t.Errorf("status %d, want 411", resp.StatusCode)
	}
}

// TestForgedStamp: a client cannot choose a route, and a client's retry headers
// do not run an unsafe call twice.
func TestForgedStamp(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(jsonAnswer(failing), nil)
	header := testbed.ModernHeaders("tools/call", "create_order")
	header.Set("X-Envoy-Retry-On", "5xx,retriable-4xx,retriable-status-codes")
	header.Set("X-Envoy-Retriable-Status-Codes", "424,503")
	header.Set("X-Envoy-Max-Retries", "5")
	header.Set("X-Holdfast-Route", "orders.orders.safe.000000000000")
	if _, err := p.Post("/mcp", header, testbed.CallTool("1", "create_order", "{}")); err != nil {
		t.Fatal(err)
	}
	if m, d := len(p.mumbai.requests()), len(p.delhi.requests()); m != 1 || d != 0 {
		t.Errorf("Mumbai saw the call %d times, Delhi %d", m, d)
	}
}
