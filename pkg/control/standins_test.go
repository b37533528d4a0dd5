package control

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

const standInRoute = `
kind: MCPRoute
metadata: {name: counts}
spec:
  path: /counts/mcp
  servers: [{name: orders}]
  tools:
    - {match: {name: "count_*"}, safe: true, degrade: {staticAnswer: {structuredContent: {orders: WHAT}}}}
`

// TestStaticAnswersThatDoNotFit: whoever writes an answer that clients would refuse is told at once, where the tool's schema is known,
// and so is whoever asks later; nothing is refused for it.
func TestStaticAnswersThatDoNotFit(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	list := `{"tools":[{"name":"count_orders","outputSchema":{"type":"object","properties":{"orders":{"type":"integer"}}}},{"name":"count_words"},` +
		`{"name":"other","outputSchema":{"type":"object","required":["x"]}}]}`
	report := func(text string, age time.Duration) {
		t.Helper()
		_, err := policyv1.NewCatalogClient(p.dial()).Report(t.Context(), &policyv1.ReportRequest{Entries: []*policyv1.CatalogEntry{{
			Key: "k" + age.String(), Server: "orders", Method: "tools/list", Revision: "2025-11-25", Result: []byte(text), AsOf: timestamppb.New(time.Now().Add(-age)),
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	report(list, time.Minute)
	p.settled("")
	request := func(what string, dry bool) *adminv1.ApplyRequest {
		return &adminv1.ApplyRequest{Documents: strings.Replace(standInRoute, "WHAT", what, 1), DryRun: dry}
	}
	said := func(warnings []string) {
		t.Helper()
		if len(warnings) != 1 || !strings.Contains(warnings[0], `MCPRoute counts, spec.tools[0]: the static answer is not given for tool "count_orders"`) ||
			!strings.Contains(warnings[0], "orders") || !strings.Contains(warnings[0], "integer") {
			t.Fatalf("warnings %q", warnings)
		}
	}
	said(p.apply(request("many", true)).GetWarnings())
	said(p.apply(request("many", false)).GetWarnings())
	said(p.Status().Warnings)
	if problems := p.Status().Problems; len(problems) != 0 {
		t.Errorf("problems %q", problems)
	}
	// A newer list in which the schema is another one.
	report(strings.Replace(list, "integer", "string", 1), time.Second)
	if w := p.Status().Warnings; len(w) != 0 {
		t.Errorf("warnings %q although it fits now", w)
	}
	report(list, 0)
	said(p.Status().Warnings)
	if w := p.apply(request("7", false)).GetWarnings(); len(w) != 0 {
		t.Errorf("warnings %q of what fits", w)
	}
}
