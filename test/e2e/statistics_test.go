package e2e

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestEnvoyShowsItsStatistics: what the reference of metrics names of Envoy's own, Envoy has.
func TestEnvoyShowsItsStatistics(t *testing.T) {
	t.Parallel()
	bed := testbed.Start(t, testbed.Options{})
	page := "\n" + bed.AdminOf(bed.Admin, "/stats/prometheus")
	for _, s := range telemetry.EnvoyStatistics() {
		if !strings.Contains(page, "\n# TYPE "+s.Name+" ") {
			t.Errorf("Envoy does not show %s", s.Name)
		}
	}
}
