package extproc

import (
	"strings"
	"testing"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
)

// TestShares: everything new of a caller that is sent away avoids the region while another one is
// up, what belongs to a session stays, and nothing new begins in a drained region.
func TestShares(t *testing.T) {
	t.Parallel()
	policy := tested()
	policy.Servers[0].Regions = append(policy.Servers[0].Regions, "europe-west3")
	inBubble(t, policy, func(t *testing.T, e *envoy) {
		e.service.opts.Shares = &share.Shares{}
		set := func(regions ...*policyv1.RegionShare) {
			t.Helper()
			if err := e.service.opts.Shares.Set([]*policyv1.Shares{{Server: "orders", Regions: regions}}); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(what, body, want string, more ...string) {
			t.Helper()
			x, said := e.route(t, body, more...)
			x.hangUp()
			if said != want {
				t.Errorf("%s: %q, want %q", what, said, want)
			}
		}
		const list = `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`
		const initialize = `{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`
		expect("no shares", callGetOrder, "")
		set(&policyv1.RegionShare{Region: "asia-south1", Away: 100})
		for what, body := range map[string]string{"a call": callGetOrder, "a list": list, "a session that begins": initialize} {
			expect(what, body, "avoid=orders:asia-south1 then anywhere")
		}
		expect("a call of a session", callGetOrder, "", "mcp-session-id: s")
		set(&policyv1.RegionShare{Region: "asia-south1", Drained: true})
		expect("a drained region", callGetOrder, "avoid=orders:asia-south1")
		set(&policyv1.RegionShare{Region: "asia-south1", Drained: true}, &policyv1.RegionShare{Region: "asia-south2", Away: 100})
		expect("drained, and away from another", callGetOrder, "avoid=orders:asia-south1,asia-south2 then avoid=orders:asia-south1")

		// Away from Mumbai, where the tool works, and broken in Delhi: Frankfurt, else Mumbai.
		set(&policyv1.RegionShare{Region: "asia-south1", Away: 100})
		e.service.opts.Breakers.Failed(breaker.Key{Server: "orders", Tool: "get_order", Region: "asia-south2"}, breaker.Settings{},
			func(time.Time) outcome.Tally { return outcome.Tally{Failed: 20, Row: 20, Confirmed: true} })
		expect("beside a breaker", callGetOrder, "avoid=orders:asia-south1,asia-south2 then avoid=orders:asia-south2")
		expect("another tool", strings.Replace(callGetOrder, "get_order", "list_orders", 1), "avoid=orders:asia-south1 then anywhere")
		// The region of a half-open breaker is tried by those who are not sent away from it.
		set(&policyv1.RegionShare{Region: "asia-south2", Away: 100})
		time.Sleep(7 * time.Second)
		expect("no trial", callGetOrder, "avoid=orders:asia-south2 then anywhere")
		set()
		x, said := e.route(t, callGetOrder)
		x.hangUp()
		if said != "" {
			t.Errorf("the trial that was given back: %q", said)
		}
		// All regions drained: Envoy knows best what is left.
		set(&policyv1.RegionShare{Region: "asia-south1", Drained: true}, &policyv1.RegionShare{Region: "asia-south2", Drained: true}, &policyv1.RegionShare{Region: "europe-west3", Drained: true})
		expect("all drained", list, "")
	})
}
