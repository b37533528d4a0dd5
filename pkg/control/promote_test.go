package control

import (
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// TestPromoteIsARevision: the region is the first one, by whom and why is in the history, and a restart and an unchanged
// directory leave it so.
func TestPromoteIsARevision(t *testing.T) {
	site := newSite(t)
	site.write(twoRegionShop)
	p := site.start()
	p.settled("")
	before := p.Status().Revision.Number
	answer, err := p.Backend().Promote(t.Context(), &adminv1.PromoteRequest{Server: "orders", Region: "asia-south2", Reason: "Mumbai is moved"}, "asha")
	if err != nil {
		t.Fatal(err)
	}
	if r := answer.GetRevision(); r.GetNumber() != before+1 || r.GetAuthor() != "asha" || r.GetReason() != "Mumbai is moved" || r.GetTime() == nil {
		t.Fatalf("revision %v", r)
	}
	first := func(p *plane, want string) {
		t.Helper()
		p.until(want+" is the first region", func(s status.Status) bool {
			i := slices.IndexFunc(s.Servers, func(s status.Server) bool { return s.Name == "orders" })
			return i >= 0 && s.Servers[i].Regions[0].Name == want
		})
	}
	first(p, "asia-south2")
	if again, err := p.Backend().Promote(t.Context(), &adminv1.PromoteRequest{Server: "orders", Region: "asia-south2"}, "asha"); err != nil || !again.GetUnchanged() {
		t.Errorf("once more: %v, %v", again, err)
	}
	p.stop()
	p = site.start()
	p.settled("")
	first(p, "asia-south2")
	if dry, err := p.Backend().Promote(t.Context(), &adminv1.PromoteRequest{Server: "orders", Region: "asia-south1", DryRun: true}, "asha"); err != nil || dry.GetDiff() == "" {
		t.Errorf("dry run: %v, %v", dry, err)
	}
	if n := p.Status().Revision.Number; n != before+1 {
		t.Errorf("after a dry run the revision is %d", n)
	}
	first(p, "asia-south2")
}

func TestPromoteRefuses(t *testing.T) {
	site := newSite(t)
	site.write(strings.Replace(twoRegionShop, "metadata: {name: mail}\nspec:\n", `metadata: {name: mail}
spec:
  failover: {mode: activeActive}
`, 1))
	p := site.start()
	p.settled("")
	for name, c := range map[string]struct {
		request *adminv1.PromoteRequest
		code    connect.Code
		words   string
	}{
		"a server that is misspelt": {&adminv1.PromoteRequest{Server: "order", Region: "asia-south2"}, connect.CodeNotFound, `did you mean "orders"`},
		"a region that is misspelt": {&adminv1.PromoteRequest{Server: "orders", Region: "asia-sout2"}, connect.CodeNotFound, `did you mean`},
		"no first region":           {&adminv1.PromoteRequest{Server: "mail", Region: "asia-south2"}, connect.CodeInvalidArgument, "activeActive"},
	} {
		if _, err := p.Backend().Promote(t.Context(), c.request, "asha"); api.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.Backend().Failback(t.Context(), &adminv1.FailbackRequest{Server: "orders"}, "asha"); api.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("failback where nothing is measured: %v", err)
	}
}
