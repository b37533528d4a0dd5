package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const keepingConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: primary-mumbai, address: "${primary-mumbai}"}]}
    - {name: asia-south2, endpoints: [{name: standby-delhi, address: "${standby-delhi}"}]}
  healthCheck: {interval: 1s, timeout: 1s}
  sessions: SESSIONS
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 40s
  tools: [{match: {name: "get_*"}, safe: true}]
`

const orderBody = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`

// TestKilledServersLoseTheirSessions: the servers are processes, and Mumbai's is killed
// with 200 sessions in it. As the operator says, all of them go on in Delhi, or all are
// told at once that they are gone, and may connect anew.
func TestKilledServersLoseTheirSessions(t *testing.T) {
	t.Parallel()
	for setting, lost := range map[string]bool{"reinitialize": false, "end": true} {
		t.Run(setting, func(t *testing.T) {
			places := testbed.OrdersServers()
			for i := range places {
				places[i].Stateful = true
			}
			s := &sessions{Bed: startKeeping(t, places, setting)}
			ids := make([]string, 200)
			each(len(ids), func(i int) { ids[i] = s.open(t, nil) })
			call := func(when, via string, status int) {
				t.Helper()
				each(len(ids), func(i int) {
					a, err := s.Post("/mcp", legacyHeaders(ids[i]), orderBody)
					switch {
					case err != nil || a.Status != status || a.Header.Get(names.HeaderVia) != via:
						t.Errorf("%s: session %d: %v, %d by %q, %.200s", when, i, err, a.Status, a.Header.Get(names.HeaderVia), a.Body)
					case status == http.StatusNotFound && len(a.Body) != 0:
						t.Errorf("%s: session %d: %q, want a bare 404", when, i, a.Body)
					}
				})
			}
			call("before", "primary-mumbai", http.StatusOK)
			s.Kill("primary-mumbai")
			if !lost {
				call("Mumbai killed", "standby-delhi", http.StatusOK)
				s.Restart("primary-mumbai")
				s.Until(testbed.Patience, "Envoy uses Mumbai again", func() bool { return s.Stat("cluster.orders.membership_healthy") == 2 })
				call("Mumbai started again", "standby-delhi", http.StatusOK)
				return
			}
			call("Mumbai killed", "", http.StatusNotFound)
			each(len(ids), func(i int) { ids[i] = s.open(t, nil) })
			call("connected anew", "standby-delhi", http.StatusOK)
		})
	}
}

func startKeeping(t *testing.T, places []demo.Place, setting string) *testbed.Bed {
	t.Helper()
	return testbed.Start(t, testbed.Options{Servers: places, Config: strings.ReplaceAll(keepingConfig, "SESSIONS", setting), Reachable: legacyPing})
}
