package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const (
	versionOne, versionTwo = "orders-one", "orders-two"

	succeededConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  # SUCCESSOR
  regions: [{name: asia-south1, endpoints: [{name: orders-one, address: "${orders-one}"}]}]
---
kind: MCPServer
metadata: {name: orders-v2}
spec:
  regions: [{name: asia-south1, endpoints: [{name: orders-two, address: "${orders-two}"}]}]
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 31s
  retry: {attempts: 3, perTryTimeout: 10s}
  tools: [{match: {name: "get_*"}, safe: true, timeout: 31s, retry: {attempts: 3, perTryTimeout: 10s}}]
`
)

// versions is a server with a successor, both of which keep sessions.
type versions struct{ *testbed.Bed }

// share gives the successor a share of the callers; "" takes it away.
func (v versions) share(share string) {
	text := succeededConfig
	if share != "" {
		text = strings.Replace(text, "# SUCCESSOR", "successor: {server: orders-v2, share: "+share+"}", 1)
	}
	before := v.Revision()
	v.WriteConfig(text)
	v.Until(testbed.Patience, "the new share is in force", func() bool { return v.Revision() != before && v.AtRest() })
}

// call says which version answered a caller in a session.
func (v versions) call(t *testing.T, who, id string) (via string, status int) {
	t.Helper()
	header := legacyHeaders(id)
	header.Set("Authorization", "Bearer "+who)
	answer, err := v.Post("/mcp", header, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Header.Get("x-holdfast-via"), answer.Status
}

// open gives the id of a new session.
func (v versions) open(t *testing.T, who string) string {
	t.Helper()
	id, err := v.tryOpen(who)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (v versions) tryOpen(who string) (string, error) {
	header := legacyHeaders("")
	header.Set("Authorization", "Bearer "+who)
	answer, err := v.Post("/mcp", header, initializeBody)
	if id := answer.Header.Get("Mcp-Session-Id"); err != nil || id != "" {
		return id, err
	}
	return "", fmt.Errorf("initialize: status %d: %s", answer.Status, answer.Body)
}

// TestSuccessor: a server's successor gets a share of the callers, each of whom is on one side; the share grows, and is taken back; sessions
// stay where they were opened for as long as that server has anything.
func TestSuccessor(t *testing.T) {
	t.Parallel()
	v := versions{testbed.Start(t, testbed.Options{
		Config: succeededConfig,
		Reachable: func(b *testbed.Bed) error {
			_, err := versions{b}.tryOpen("nobody")
			return err
		},
		Servers: []demo.Place{
			{Name: versionOne, Server: "orders", Region: testbed.Mumbai, Stateful: true}, {Name: versionTwo, Server: "orders", Region: testbed.Mumbai, Stateful: true},
		},
	})}
	const callers = 40
	who := func(i int) string { return fmt.Sprintf("caller-%d", i) }
	sides := func() (over map[int]bool) {
		over = map[int]bool{}
		for i := range callers {
			first, status := v.call(t, who(i), v.open(t, who(i)))
			if second, _ := v.call(t, who(i), v.open(t, who(i))); first != second || status != http.StatusOK {
				t.Errorf("caller %d was answered by %q, then by %q, status %d", i, first, second, status)
			}
			over[i] = first == versionTwo
		}
		return over
	}
	number := func(over map[int]bool) (n int) {
		for _, is := range over {
			if is {
				n++
			}
		}
		return n
	}
	if n := number(sides()); n != 0 {
		t.Fatalf("%d callers are with a successor that there is not", n)
	}
	old := v.open(t, who(0))
	v.share("40%")
	some := sides()
	if n := number(some); n < callers/5 || n > callers*3/5 {
		t.Errorf("%d of %d callers are with the successor, which has 40 %% of them", n, callers)
	}
	v.share("100%")
	if n := number(sides()); n != callers {
		t.Errorf("%d of %d callers are with the successor, which has them all", n, callers)
	}
	later := v.open(t, who(0))
	for id, want := range map[string]string{old: versionOne, later: versionTwo} {
		if via, status := v.call(t, who(0), id); via != want || status != http.StatusOK {
			t.Errorf("a session of %s is answered by %q, status %d", want, via, status)
		}
	}
	v.share("40%")
	for i, is := range sides() {
		if is != some[i] {
			t.Errorf("caller %d is on another side than when the share was the same before", i)
		}
	}
	v.share("")
	if n := number(sides()); n != 0 {
		t.Errorf("%d callers are with a successor that was taken back", n)
	}
	if _, status := v.call(t, who(0), later); status != http.StatusNotFound {
		t.Errorf("a session of a server that has nothing any more: status %d, want 404, upon which clients open another one", status)
	}
}
