package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const singapore = "asia-southeast1"

const trioConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: mumbai, address: "MUMBAI"}]}
    - {name: asia-south2, endpoints: [{name: delhi, address: "DELHI"}]}
    - {name: asia-southeast1, endpoints: [{name: singapore, address: "SINGAPORE"}]}
  breaker: {openFor: 1m}
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 31s
  tools:
    - {match: {name: "get_*"}, safe: true, timeout: 31s, retry: {attempts: 3, perTryTimeout: 10s}}
    - {match: {name: create_order}, timeout: 20s}
    - {match: {name: list_orders}, safe: true, timeout: 31s, retry: {attempts: 3, perTryTimeout: 10s}}
`

// trio is a Bed over three recorded upstreams.
type trio struct {
	*testbed.Bed
	t                        *testing.T
	mumbai, delhi, singapore *upstream
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	p := &trio{t: t, mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil), singapore: newUpstream(t, nil)}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address(), "SINGAPORE", p.singapore.address()).Replace(trioConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	return p
}

func (p *trio) set(mumbai, delhi, singapore http.HandlerFunc) {
	p.mumbai.set(mumbai)
	p.delhi.set(delhi)
	p.singapore.set(singapore)
}

func (p *trio) call(tool string) testbed.Answer {
	p.t.Helper()
	answer, err := p.Post("/mcp", testbed.ModernHeaders("tools/call", tool), testbed.CallTool("1", tool, "{}"))
	if err != nil {
		p.t.Fatalf("calling %s: %v", tool, err)
	}
	return answer
}

// opened calls a tool until a call of it reaches the upstream no more: both
// processors have opened its breaker. Calls of another tool keep the endpoint well.
func (p *trio) opened(tool string, u *upstream) {
	p.t.Helper()
	quiet := 0
	p.Until(testbed.Patience, "the breaker of "+tool+" is open at both processors", func() bool {
		before := callsOf(u, tool)
		p.call(tool)
		p.call("list_orders")
		if quiet++; callsOf(u, tool) != before {
			quiet = 0
		}
		return quiet >= 12
	})
}

func callsOf(u *upstream, tool string) int {
	n := 0
	for _, r := range u.requests() {
		if strings.Contains(r.Body, `"`+tool+`"`) {
			n++
		}
	}
	return n
}

// onlyTool lets one tool fail and answers the others well.
func onlyTool(tool string, failure http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 4096)
		n, _ := r.Body.Read(body) //nolint:errcheck // io.EOF beside the bytes
		if strings.Contains(string(body[:n]), `"`+tool+`"`) {
			failure(w, r)
			return
		}
		good(w, r)
	}
}

// TestSubsets: with one tool's breaker open in the first region, its calls go to the
// others by Envoy's subset load balancing, and priorities, retries and health work there
// as ever; the other tools see every region.
func TestSubsets(t *testing.T) {
	t.Parallel()
	p := startTrio(t)
	bad := onlyTool("get_order", jsonAnswer(failing))
	p.set(bad, nil, nil)
	p.opened("get_order", p.mumbai)
	t.Run("the next region answers at the first try", func(t *testing.T) {
		got := p.call("get_order")
		if got.Header.Get("x-holdfast-region") != testbed.Delhi || got.Header.Get("x-holdfast-attempts") != "1" {
			t.Errorf("%v %s", got.Header, got.Body)
		}
	})
	t.Run("another tool stays", func(t *testing.T) {
		if got := p.call("list_orders"); got.Header.Get("x-holdfast-region") != testbed.Mumbai {
			t.Errorf("%v", got.Header)
		}
	})
	t.Run("a retry goes to the third region", func(t *testing.T) {
		p.delhi.set(bad)
		got := p.call("get_order")
		if got.Header.Get("x-holdfast-region") != singapore || got.Header.Get("x-holdfast-attempts") != "2" {
			t.Errorf("%v %s", got.Header, got.Body)
		}
	})
	t.Run("when all that is left fails the answer comes back", func(t *testing.T) {
		p.singapore.set(bad)
		before := callsOf(p.mumbai, "get_order")
		got := p.call("get_order")
		if !strings.Contains(string(got.Body), "database gone") || got.Header.Get("x-holdfast-attempts") != "3" || callsOf(p.mumbai, "get_order") != before {
			t.Errorf("%v %s, Mumbai %d more", got.Header, got.Body, callsOf(p.mumbai, "get_order")-before)
		}
	})
	t.Run("two broken regions leave the third", func(t *testing.T) {
		p.singapore.set(nil)
		p.opened("get_order", p.delhi)
		got := p.call("get_order")
		if got.Header.Get("x-holdfast-region") != singapore || got.Header.Get("x-holdfast-attempts") != "1" {
			t.Errorf("%v %s", got.Header, got.Body)
		}
	})
	t.Run("three broken regions refuse at once", func(t *testing.T) {
		p.singapore.set(bad)
		p.opened("get_order", p.singapore)
		got := p.call("get_order")
		if got.Header.Get("x-holdfast-degraded") != "error" || !strings.Contains(string(got.Body), "dependency_failed") || got.Header.Get("Retry-After") == "" {
			t.Errorf("%v %s", got.Header, got.Body)
		}
	})
	if n := p.Ejections("orders"); n != 0 {
		t.Errorf("%d ejections", n)
	}
}

// TestOneCallerWithAWitness: a tool that one of several callers uses is broken in
// Mumbai and works in Delhi. Its calls succeed there with the same arguments, which is
// as good as a second caller: the breaker opens.
func TestOneCallerWithAWitness(t *testing.T) {
	t.Parallel()
	p := startTrio(t)
	p.set(onlyTool("get_order", jsonAnswer(failing)), nil, nil)
	header := testbed.ModernHeaders("tools/call", "list_orders")
	header.Set("Authorization", "Bearer somebody-else")
	for range 8 { // both processors know of the other caller
		if _, err := p.Post("/mcp", header, testbed.CallTool("1", "list_orders", "{}")); err != nil {
			t.Fatal(err)
		}
	}
	p.opened("get_order", p.mumbai)
	if got := p.call("get_order"); got.Header.Get("x-holdfast-attempts") != "1" || !strings.Contains(string(got.Body), `"text":"ok"`) {
		t.Errorf("%v %s", got.Header, got.Body)
	}
}

// TestHealthWithinASubset: where the tool's breaker is open in Mumbai and Delhi is gone,
// Singapore answers.
func TestHealthWithinASubset(t *testing.T) {
	t.Parallel()
	p := startTrio(t)
	p.set(onlyTool("get_order", jsonAnswer(failing)), nil, nil)
	p.opened("get_order", p.mumbai)
	p.delhi.CloseClientConnections()
	p.delhi.Listener.Close() //nolint:errcheck // it is to be gone
	for range 20 {
		if got := p.call("get_order"); got.Header.Get("x-holdfast-region") != singapore || !strings.Contains(string(got.Body), `"text":"ok"`) {
			t.Errorf("%v %s", got.Header, got.Body)
		}
	}
	if got := p.call("list_orders"); got.Header.Get("x-holdfast-region") != testbed.Mumbai {
		t.Errorf("another tool: %v", got.Header)
	}
}
