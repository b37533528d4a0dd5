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

// oddHead is a well-formed head of a call but for what a row puts in front of its end.
const oddHead = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n" +
	"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: get_order\r\n"

// TestOddClients: what clients do with HTTP itself. Whatever can be read in two ways is refused
// and reaches no server; what is merely unusual is served.
func TestOddClients(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	call := testbed.CallTool("1", "get_order", "{}")
	length := fmt.Sprintf("Content-Length: %d\r\n", len(call))
	good := oddHead + length + "\r\n" + call
	with := func(lines string) string { return oddHead + lines + length + "\r\n" + call }
	for _, c := range []struct {
		name, raw string
		// status of each answer, in order.
		status  []int
		reached int
	}{
		{"as it should be", good, []int{200}, 1},
		{"two at once", good + good, []int{200, 200}, 2},
		{"a good one behind a refused one", strings.Replace(good, `"id":1`, `"id":{}`, 1)[:len(good)] + good, []int{400}, 0},
		{"names in capitals, values in white space", strings.NewReplacer("Mcp-Method: tools/call", "MCP-METHOD:\t tools/call \t", "Content-Type", "CONTENT-TYPE").Replace(good), []int{200}, 1},
		{"a charset", strings.Replace(good, "application/json\r\n", "Application/JSON; charset=\"UTF-8\"\r\n", 1), []int{200}, 1},
		{"another charset", strings.Replace(good, "application/json\r\n", "application/json; charset=utf-16\r\n", 1), []int{415}, 0},
		{"no content type", strings.Replace(good, "Content-Type: application/json\r\n", "", 1), []int{415}, 0},
		{"any answer is good", strings.Replace(good, "application/json, text/event-stream", "*/*", 1), []int{200}, 1},
		{"nothing said about answers", strings.Replace(good, "Accept: application/json, text/event-stream\r\n", "", 1), []int{200}, 1},
		{"the whole address", strings.Replace(good, "POST /mcp ", "POST http://localhost/mcp ", 1), []int{200}, 1},
		{"the whole address of somebody else", strings.Replace(good, "POST /mcp ", "POST http://evil.example.com/mcp ", 1), []int{403}, 0},
		{"a query", strings.Replace(good, "/mcp ", "/mcp?x=/other ", 1), []int{200}, 1},
		{"a session, which this revision does not have", with("Mcp-Session-Id: whatever\r\n"), []int{200}, 1},
		{"an event to go on from, likewise", with("Last-Event-ID: 7\r\n"), []int{200}, 1},
		{"another verb inside", with("X-HTTP-Method-Override: DELETE\r\n"), []int{200}, 1},
		{"two lengths", with("Content-Length: 5\r\n"), []int{400}, 0},
		{"a length and chunks", with("Transfer-Encoding: chunked\r\n"), []int{400}, 0},
		{"chunks", oddHead + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(call), call), []int{411}, 0},
		{"a folded header", with("X-A: b\r\n c\r\n"), []int{200}, 1},
		{"a name with a space", with("X-A : b\r\n"), []int{400}, 0},
		{"a NUL in a header", with("X-A: \x00\r\n"), []int{400}, 0},
		{"a lone return in a header", with("X-A: b\rX-Holdfast-Route: orders\r\n"), []int{200}, 1},
		{"names with underscores", with("mcp_name: other\r\n"), []int{400}, 0},
		{"two sessions", with("Mcp-Session-Id: a\r\nmcp-session-id: b\r\n"), []int{400}, 0},
		{"an upgrade", "GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", []int{403}, 0},
		{"PUT", strings.Replace(good, "POST ", "PUT ", 1), []int{405}, 0},
		{"OPTIONS", "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", []int{405}, 0},
		{"HEAD", "HEAD /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{405}, 0},
		{"GET with a body", "GET /mcp HTTP/1.1\r\nHost: localhost\r\n" + length + "\r\n" + call, []int{400}, 0},
		{"a verb of its own", "FETCH /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{400}, 0},
		{"no host", strings.Replace(good, "Host: localhost\r\n", "", 1), []int{400}, 0},
		{"an old HTTP", strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), []int{426}, 0},
		{"no HTTP at all", "hello\r\n\r\n", []int{400}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.set(nil, nil)
			got := raw(t, p.Gateway, c.raw, len(c.status))
			if fmt.Sprint(got) != fmt.Sprint(c.status) {
				t.Errorf("status %v, want %v", got, c.status)
			}
			reached := append(p.mumbai.requests(), p.delhi.requests()...)
			if len(reached) != c.reached {
				t.Errorf("%d requests reached a server, want %d", len(reached), c.reached)
			}
			for _, r := range reached {
				if v := r.Header.Get("X-A"); r.Body != call || strings.ContainsAny(v, "\r\n") || r.Header.Get("X-Holdfast-Route")+r.Header.Get("Last-Event-Id") != "" {
					t.Errorf("a server saw %v %q", r.Header, r.Body)
				}
			}
		})
	}
}

// TestBodiesOfGET: HTTP/2 has no header by which a body would be known. None goes to a server
// unseen, and what has none is served.
func TestBodiesOfGET(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(nil, nil)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		verb    string
		body    io.Reader
		status  int
		reached int
	}{
		{http.MethodGet, nil, 200, 1},
		{http.MethodDelete, nil, 200, 1},
		{http.MethodGet, io.MultiReader(strings.NewReader(testbed.CallTool("1", "create_order", "{}"))), 400, 0},
		{http.MethodDelete, io.MultiReader(strings.NewReader("x")), 400, 0},
	} {
		p.set(nil, nil)
		req, err := http.NewRequestWithContext(t.Context(), c.verb, "http://"+p.Gateway+"/mcp", c.body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if n := len(p.mumbai.requests()) + len(p.delhi.requests()); resp.ProtoMajor != 2 || resp.StatusCode != c.status || n != c.reached {
			t.Errorf("%s, body %v: HTTP/%d, status %d, %d requests reached a server", c.verb, c.body != nil, resp.ProtoMajor, resp.StatusCode, n)
		}
	}
}

// raw sends bytes and returns the statuses of the answers to them; the last is 0 where the
// connection ends without one.
func raw(t *testing.T, address, bytes string, answers int) []int {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() { _, _ = io.WriteString(conn, bytes) }()
	in := bufio.NewReader(conn)
	verb, _, _ := strings.Cut(bytes, " ")
	var out []int
	for range answers {
		resp, err := http.ReadResponse(in, &http.Request{Method: verb})
		if err != nil {
			return append(out, 0)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("reading an answer: %v", err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= 400 && verb != http.MethodHead && resp.Header.Get("Content-Type") == "application/json" && !strings.Contains(string(body), `"jsonrpc":"2.0"`) {
			t.Errorf("status %d in %q", resp.StatusCode, body)
		}
		out = append(out, resp.StatusCode)
	}
	return out
}
