package e2e

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// largeArguments are more than what is always read.
func largeArguments() string { return `{"order_id":"` + strings.Repeat("x", 1<<20) + `"}` }

// edgeMessages is how many messages Envoy's edge point has sent to processors.
func edgeMessages(t *testing.T, b *testbed.Bed) int {
	t.Helper()
	sum := 0
	for line := range strings.Lines(b.AdminOf(b.Admin, "/stats?filter=^http.*stream_msgs_sent")) {
		_, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatalf("counter %q: %v", line, err)
		}
		sum += n
	}
	return sum
}

// TestProvenServersGetLargeBodies: once a server has proved that it compares headers with bodies, a large call of it
// stays in Envoy and arrives whole; one whose body says otherwise is refused by the server when large and
// by Holdfast when small.
func TestProvenServersGetLargeBodies(t *testing.T) {
	t.Parallel()
	bed := testbed.Start(t, testbed.Options{Config: strings.Replace(testbed.DefaultConfig, "metadata: {name: orders}\nspec:\n  regions:", "metadata: {name: orders}\nspec:\n  verifiesHeaders: true\n  regions:", 1)})
	headers := testbed.ModernHeaders("tools/call", "get_order")
	large := testbed.CallTool("1", "get_order", largeArguments())
	runs := func() int { return len(bed.Executions("primary-mumbai")) + len(bed.Executions("standby-delhi")) }
	// Each processor asks the servers by itself: calls in a row of which the edge point
	// is told in two messages, not three, say that both have.
	bed.Eventually(testbed.Patience, "large bodies to go unread", func() error {
		for range 6 {
			sent, before := edgeMessages(t, bed), runs()
			got, err := bed.Post("/mcp", headers, large)
			if err != nil {
				return err
			}
			if got.Status != http.StatusOK || got.Header.Get("x-holdfast-region") != testbed.Mumbai || runs() != before+1 {
				return errors.New("answered " + strconv.Itoa(got.Status) + " " + string(got.Body))
			}
			if n := edgeMessages(t, bed) - sent; n != 2 {
				return errors.New("it took " + strconv.Itoa(n) + " messages, want 2")
			}
		}
		return nil
	})
	for _, tt := range []struct {
		name, body string
		// asked: the server sees the message, and refuses it itself.
		asked bool
	}{
		{"large", testbed.CallTool("1", "create_order", largeArguments()), true},
		{"small", testbed.CallTool("1", "create_order", `{"order_id":"x"}`), false},
	} {
		before, sent := runs(), bed.Stat("cluster.orders.external.upstream_rq_400")
		got, err := bed.Post("/mcp", headers, tt.body)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != http.StatusBadRequest || !strings.Contains(string(got.Body), `-32020`) {
			t.Errorf("%s: answered %d %s", tt.name, got.Status, got.Body)
		}
		if runs() != before {
			t.Errorf("%s: a message whose headers name another tool was run", tt.name)
		}
		if asked := bed.Stat("cluster.orders.external.upstream_rq_400") != sent; asked != tt.asked {
			t.Errorf("%s: the server was asked: %v", tt.name, asked)
		}
	}
}

// TestUnprovenServersAreRead: the operator's word alone makes no body go unread.
func TestUnprovenServersAreRead(t *testing.T) {
	t.Parallel()
	tricks := make(chan string, 64)
	server := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Mcp-Name"), "verification") || r.Header.Get("Mcp-Method") == "tools/list" {
			select {
			case tricks <- r.Header.Get("Mcp-Method"):
			default:
			}
		}
		// It believes the body, whatever the headers say.
		good(w, r)
	})
	config := `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions: [{name: asia-south1, endpoints: [{name: primary-mumbai, address: "` + server.address() + `"}]}]
  verifiesHeaders: true
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
`
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	select {
	case <-tricks:
	case <-time.After(time.Minute):
		t.Fatal("no processor asks the server")
	}
	body := testbed.CallTool("1", "create_order", largeArguments())
	got, err := bed.Post("/mcp", testbed.ModernHeaders("tools/call", "create_order"), body)
	if err != nil || got.Status != http.StatusOK {
		t.Fatalf("a call whose headers are right: %d %s %v", got.Status, got.Body, err)
	}
	got, err = bed.Post("/mcp", testbed.ModernHeaders("tools/call", "get_order"), body)
	if err != nil || got.Status != http.StatusBadRequest || !strings.Contains(string(got.Body), `-32020`) {
		t.Errorf("a call whose headers name another tool: %d %s %v", got.Status, got.Body, err)
	}
	for _, r := range server.requests() {
		if r.Body == body && r.Header.Get("Mcp-Name") != "create_order" {
			t.Error("the server was sent what should have been refused")
		}
	}
}
