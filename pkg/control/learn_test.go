package control

import (
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestProcessorsLearnFromEachOther(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	// One that comes back knows a list that this control plane has never heard of.
	own := map[string]map[string]string{names.TypeURLCatalog: {"known only to x2": "v1"}}
	x1, x2 := p.processor("x1", peerOptions{}), p.processor("x2", peerOptions{has: own})
	for _, x := range []*peer{x1, x2} {
		waitFor(t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	}
	_, err := policyv1.NewCatalogClient(p.dial()).Report(t.Context(), &policyv1.ReportRequest{Entries: []*policyv1.CatalogEntry{{
		Key: "k", Server: "orders", Method: "tools/list", Revision: "2025-11-25",
		Result: []byte(`{"tools":[]}`), AsOf: timestamppb.New(time.Now()),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the list", func() bool {
		return x1.versions()[names.TypeURLCatalog]["k"] != "" && x2.versions()[names.TypeURLCatalog]["k"] != ""
	})
	if got, want := slices.Sorted(maps.Keys(x2.versions()[names.TypeURLCatalog])), []string{"k", "known only to x2"}; !slices.Equal(got, want) {
		t.Fatalf("catalog of x2: %v, want %v", got, want)
	}
}
