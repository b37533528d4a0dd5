package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestProcessorLoss: one extproc of two is killed with slow calls under way; at
// most one call in a thousand fails and none goes unpoliced.
func TestProcessorLoss(t *testing.T) {
	s := testbed.Start(t, testbed.Options{})
	slow, quick := s.StartLoad("/mcp", 40, slowReport), s.StartLoad("/mcp", rate, testbed.GetOrder)
	s.Until(testbed.Patience, "calls are in flight", func() bool { return slow.InFlight() > 5 && len(quick.Calls()) > 200 })
	killed := time.Now()
	s.Kill(testbed.Extproc1)
	s.Until(testbed.Patience, "1,500 calls after the kill", func() bool { return len(quick.Since(killed))+len(slow.Since(killed)) > 1500 })
	s.Restart(testbed.Extproc1)
	restarted := time.Now()
	s.Until(testbed.Patience, "500 calls after the restart", func() bool { return len(quick.Since(restarted)) > 500 })
	calls := append(slow.Stop(), quick.Stop()...)
	failed := 0
	for _, c := range calls {
		if !c.Good() {
			failed++
			t.Logf("failed: %v", c)
		}
	}
	if failed*1000 > len(calls) {
		t.Errorf("%d of %d calls failed, more than one in a thousand", failed, len(calls))
	}
	t.Logf("%d calls, %d failed", len(calls), failed)
}

// TestNoProcessor: with no extproc at all every request is refused in a form that
// clients live through, and a forged stamp changes nothing.
func TestNoProcessor(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(nil, nil)
	stamps := routeStamps(t, p.Bed)
	p.Kill(testbed.Extproc1)
	p.Kill(testbed.Extproc2)
	for _, stamp := range append(stamps, "") {
		header := testbed.ModernHeaders("tools/call", "get_order")
		if stamp != "" {
			header.Set("X-Holdfast-Route", stamp)
		}
		got, err := p.Post("/mcp", header, testbed.CallTool("1", "get_order", "{}"))
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			JSONRPC string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Error   struct {
				Code int `json:"code"`
				Data struct {
					Outcome string `json:"outcome"`
				} `json:"data"`
			} `json:"error"`
		}
		if err := json.Unmarshal(got.Body, &body); err != nil {
			t.Fatalf("stamp %q: not JSON: %q", stamp, got.Body)
		}
		if got.Status != 503 || body.JSONRPC != "2.0" || string(body.ID) != "null" || body.Error.Code == 0 || body.Error.Data.Outcome != "not_executed" ||
			!strings.HasPrefix(got.Header.Get("Content-Type"), "application/json") {
			t.Errorf("stamp %q: %d %v %s", stamp, got.Status, got.Header, got.Body)
		}
	}
	if n := len(p.mumbai.requests()) + len(p.delhi.requests()); n != 0 {
		t.Errorf("%d unpoliced requests reached a server", n)
	}
	p.Restart(testbed.Extproc1)
	p.Eventually(testbed.Patience, "served again", func() error { return p.Ping("/mcp") })
}

// routeStamps are the real stamps that Envoy holds, as an insider could know them.
func routeStamps(t *testing.T, s *testbed.Bed) []string {
	t.Helper()
	resp, err := http.Get("http://" + s.Admin + "/config_dump?resource=dynamic_route_configs")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var dump struct {
		Configs []struct {
			RouteConfig struct {
				VirtualHosts []struct {
					Routes []struct{ Name string }
				} `json:"virtual_hosts"`
			} `json:"route_config"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&dump); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range dump.Configs {
		for _, vh := range c.RouteConfig.VirtualHosts {
			for _, r := range vh.Routes {
				if strings.HasPrefix(r.Name, "orders.") {
					out = append(out, r.Name)
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("Envoy holds no stamped route")
	}
	return out
}

// TestHungProcessors: processors that accept and never answer are as good as gone.
func TestHungProcessors(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(nil, nil)
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		if err := p.Child(name).Pause(); err != nil {
			t.Fatal(err)
		}
	}
	got := p.call(t, "get_order")
	if got.Status != 503 || len(p.mumbai.requests())+len(p.delhi.requests()) != 0 {
		t.Errorf("status %d, %d requests reached a server: %s", got.Status, len(p.mumbai.requests()), got.Body)
	}
}

// TestControlPlaneLoss: the control plane is killed and started again five times
// under load; no call fails, and a change made after each start lands.
func TestControlPlaneLoss(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{Servers: v2Servers(), Config: pushConfig("orders", 0)})
	load := s.StartLoad("/mcp", rate, testbed.GetOrder)
	for round := range 5 {
		s.Kill(testbed.XDS)
		at := time.Now()
		s.Until(testbed.Patience, "answers while the control plane is away", func() bool { return len(load.Since(at)) > 100 })
		s.Restart(testbed.XDS)
		target := []string{"orders-v2", "orders"}[round%2]
		s.WriteConfig(pushConfig(target, 0))
		changed := time.Now()
		s.Until(testbed.Patience, "the change lands", func() bool {
			last := load.Since(changed)
			return len(last) > 0 && from(target, last[len(last)-1])
		})
	}
	requireAllGood(t, load.Stop())
}
