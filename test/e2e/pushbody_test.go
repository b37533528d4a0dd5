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

// slowPost is a POST whose body has not all been sent.
type slowPost struct {
	t    *testing.T
	conn net.Conn
	rest string
}

// beginPost sends the headers of a stateless tools/call and, where half is true, half of its body.
func beginPost(t *testing.T, address, tool, arguments string, half bool) *slowPost {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, arguments)
	head := fmt.Sprintf("POST /mcp HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\ncontent-length: %d\r\n\r\n", address, len(body))
	sent := 0
	if half {
		sent = len(body) / 2
	}
	if _, err := io.WriteString(conn, head+body[:sent]); err != nil {
		t.Fatal(err)
	}
	return &slowPost{t: t, conn: conn, rest: body[sent:]}
}

// finish sends the rest and gives the answer.
func (p *slowPost) finish() (*http.Response, string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, p.rest); err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(p.conn), &http.Request{Method: http.MethodPost})
	if err != nil {
		p.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(body)
}

// withoutOrders takes the server orders out of a configuration of pushConfig.
func withoutOrders(config string) string {
	parts := strings.Split(config, "---")
	parts = append(parts[:1], parts[2:]...)
	return strings.Replace(strings.Join(parts, "---"), "servers: [{name: orders}, {name: orders-v2}]", "servers: [{name: orders-v2}]", 1)
}

// TestBodyAcrossAPush: a request that began before a change and is whole only after
// all of it has gone out, the removal of what it was first decided for included, is
// carried out once, by a server that is valid then.
func TestBodyAcrossAPush(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{Servers: v2Servers(), Config: pushConfig("orders", 0)})
	posts := []*slowPost{
		beginPost(t, s.Gateway, "get_order", `{"order_id":"ORD-7701"}`, true),
		beginPost(t, s.Gateway, "get_order", `{"order_id":"ORD-7701"}`, false),
		beginPost(t, s.Gateway, "create_order", `{"customer_id":"C-1201","total_rs":100}`, true),
	}
	decided := func() uint64 { return s.Stat("http.holdfast.downstream_rq_active") }
	s.Until(testbed.Patience, "Envoy has the requests", func() bool { return decided() >= uint64(len(posts)) })
	// The first moves the tool, the second takes away the server that it was decided for.
	first := pushConfig("orders-v2", 1)
	for _, config := range []string{first, withoutOrders(first)} {
		before := s.Acked("clusters")
		s.WriteConfig(config)
		s.Until(testbed.Patience, "the push is at rest", func() bool { return s.Acked("clusters") != before && s.AtRest() })
	}
	for _, p := range posts {
		resp, body := p.finish()
		if resp.StatusCode != http.StatusOK || strings.Contains(body, `"isError":true`) || !strings.HasPrefix(resp.Header.Get("x-holdfast-via"), "orders-v2-") || resp.Header.Get("x-holdfast-degraded") != "" {
			t.Errorf("%d %v: %s", resp.StatusCode, resp.Header, body)
		}
	}
}
