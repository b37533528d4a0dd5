package policy

import (
	"errors"
	"testing"
	"testing/synctest"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func shareUpdate(t *testing.T, nonce string, away uint32) *discoveryv3.DeltaDiscoveryResponse {
	t.Helper()
	return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLShares, Nonce: nonce, Resources: []*discoveryv3.Resource{
		pack(t, "orders", nonce, &policyv1.Shares{Server: "orders", Regions: []*policyv1.RegionShare{{Region: "a", Away: away}}}),
	}}
}

// TestShares: shares count at once, stay while the control plane is away, also for a processor that
// starts then, and end when a control plane that comes back says so.
func TestShares(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		shares := &share.Shares{}
		_, end := running(t, Options{Conn: conn, StateDir: dir, Shares: shares})
		defer end()
		s, _, _ := plane.subscribed(t)
		if !shares.Quiet() {
			t.Fatal("there are shares before any came")
		}
		if ack := s.update(shareUpdate(t, "1", 100)); ack.GetErrorDetail() != nil || shares.Quiet() {
			t.Fatalf("refused: %v", ack.GetErrorDetail())
		}
		if nack := s.update(shareUpdate(t, "2", 101)); nack.GetErrorDetail() == nil || shares.Quiet() {
			t.Error("101 hundredths are taken")
		}
		s.update(shareUpdate(t, "3", 100))

		again := &share.Shares{}
		if _, err := New(Options{Conn: conn, Node: Node{ID: "x"}, StateDir: dir, Shares: again}); err != nil || again.Quiet() {
			t.Errorf("a processor that starts does not know of them: %v", err)
		}
		s.cut(errors.New("the control plane goes away"))
		s, _, _ = plane.subscribed(t)
		if shares.Quiet() {
			t.Error("they end with the control plane")
		}
		if ack := s.update(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLShares, Nonce: "4", RemovedResources: []string{"orders"}}); ack.GetErrorDetail() != nil || !shares.Quiet() {
			t.Errorf("they do not end: %v", ack.GetErrorDetail())
		}
	})
}
