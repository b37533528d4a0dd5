package e2e

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestResidency: with both Indian regions down and a healthy one abroad every call is refused with the
// reason, with a broken tool and a share of callers before that, and none leaves.
func TestResidency(t *testing.T) {
	t.Parallel()
	p := &trio{t: t, mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil), singapore: newUpstream(t, nil)}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address(), "SINGAPORE", p.singapore.address(),
		"name: asia-south1,", "name: asia-south1, labels: {jurisdiction: in},", "name: asia-south2,", "name: asia-south2, labels: {jurisdiction: in},",
		"name: asia-southeast1,", "name: asia-southeast1, labels: {jurisdiction: sg},", "  breaker: {openFor: 1m}", "  residency: [in]").Replace(trioConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	plane, _ := takeOver(t, p.Bed)
	// All callers are sent away from both: there is nowhere else to go.
	plane.SetHealth("orders", model.Health{Shares: map[string]int{testbed.Mumbai: 100, testbed.Delhi: 100}})
	p.Until(testbed.Patience, "calls are answered", func() bool { return asCaller(p.Bed, 1, "get_order") == testbed.Mumbai })
	p.set(jsonAnswer(failing), jsonAnswer(failing), nil)
	for range 40 {
		if got := asCaller(p.Bed, 1, "get_order"); got == singapore {
			t.Fatal("a broken tool's call has left")
		}
	}
	for _, u := range []*upstream{p.mumbai, p.delhi} {
		u.CloseClientConnections()
		if err := u.Listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"list_orders", "create_order", "get_order"} {
		for range 10 {
			got := asCaller(p.Bed, 1, tool)
			if !strings.Contains(got, "It may only be answered in the jurisdictions in, and no region outside them was asked.") {
				t.Errorf("%s: %s", tool, got)
			}
		}
	}
	if seen := p.singapore.requests(); len(seen) > 0 {
		t.Errorf("%d requests have left, the first %+v", len(seen), seen[0])
	}
}
