package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// v2Servers are two logical servers, orders and orders-v2, in one region each.
func v2Servers() []demo.Place {
	return []demo.Place{
		{Name: "orders-a", Server: "orders", Region: testbed.Mumbai},
		{Name: "orders-b", Server: "orders", Region: testbed.Delhi},
		{Name: "orders-v2-a", Server: "orders", Region: testbed.Mumbai},
		{Name: "orders-v2-b", Server: "orders", Region: testbed.Delhi},
	}
}

// pushConfig sends get_order to target and gives both clusters a connect timeout
// of generation, so that each push replaces them.
func pushConfig(target string, generation int) string {
	server := func(name string) string {
		return fmt.Sprintf(`
kind: MCPServer
metadata: {name: %[1]s}
spec:
  connectTimeout: %[2]dms
  healthCheck: {interval: 3s, timeout: 3s}
  regions:
    - name: asia-south1
      endpoints: [{name: %[1]s-a, address: "${%[1]s-a}"}]
    - name: asia-south2
      endpoints: [{name: %[1]s-b, address: "${%[1]s-b}"}]
---`, name, 5000+generation)
	}
	return "kind: Gateway\nmetadata: {name: test}\nspec: {address: \"${gateway}\", processorTimeout: 8s}\n---" + server("orders") + server("orders-v2") + fmt.Sprintf(`
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}, {name: orders-v2}]
  timeout: 31s
  retry: {attempts: 3, perTryTimeout: 10s}
  tools:
    - {match: {name: get_order}, to: {server: %s}, safe: true, timeout: 31s, retry: {attempts: 3, perTryTimeout: 10s}}
`, target)
}

// from says that a call was answered by one of the two endpoints of a server.
func from(server string, c testbed.Call) bool { return c.Via == server+"-a" || c.Via == server+"-b" }

// TestPushesUnderLoad: twenty pushes, each moving a tool to the other server and
// replacing both clusters; no call fails, every answer comes from a server that
// was valid at that moment, and the acknowledged version moves each time.
func TestPushesUnderLoad(t *testing.T) {
	s := testbed.Start(t, testbed.Options{Servers: v2Servers(), Config: pushConfig("orders", 0)})
	load := s.StartLoad("/mcp", rate, testbed.GetOrder)
	s.Until(testbed.Patience, "answers under load", func() bool { return len(load.Calls()) > 50 })
	versions := map[string]bool{s.Acked("clusters"): true}
	targets := []string{"orders", "orders-v2"}
	for push := 1; push <= 20; push++ {
		before, target := targets[(push+1)%2], targets[push%2]
		s.WriteConfig(pushConfig(target, push))
		written := time.Now()
		s.Until(testbed.Patience, fmt.Sprintf("push %d is acknowledged and at rest", push), func() bool {
			return !versions[s.Acked("clusters")] && s.AtRest()
		})
		settled := time.Now()
		versions[s.Acked("clusters")] = true
		s.Until(testbed.Patience, "answers after the push", func() bool { return len(load.Since(settled)) > 20 })
		for _, c := range load.Since(settled) {
			if !from(target, c) {
				t.Errorf("push %d: after it had settled %v came from %s, not from %s", push, c.ID, c.Via, target)
			}
		}
		for _, c := range load.Since(written) {
			if !from(target, c) && !from(before, c) {
				t.Errorf("push %d: %v came from %q", push, c.ID, c.Via)
			}
		}
	}
	calls := load.Stop()
	requireAllGood(t, calls)
	if len(versions) != 21 {
		t.Errorf("%d different acknowledged versions, want 21", len(versions))
	}
	t.Logf("%d calls over 20 pushes, 0 failed", len(calls))
}

// TestBadConfigurationChangesNothing: what cannot be read is refused whole, said
// in the status, and traffic goes on.
func TestBadConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{Servers: v2Servers(), Config: pushConfig("orders", 0)})
	version := s.Revision()
	for _, bad := range []string{
		strings.Replace(pushConfig("orders-v2", 1), "servers: [{name: orders}, {name: orders-v2}]", "servers: [{name: orders}, {name: order-v2}]", 1),
		"kind: [",
		"",
	} {
		s.WriteConfig(bad)
		s.Until(testbed.Patience, "the refusal shows in the status", func() bool { return strings.Contains(string(s.StatusJSON()), `"refused"`) })
		if err := s.Ping("/mcp"); err != nil {
			t.Error(err)
		}
		if v := s.Revision(); v != version {
			t.Errorf("revision %s became %s", version, v)
		}
	}
}
