package telemetry

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
)

// TestLimitDecisions: a refused message counts for the limit that refused it, and for no other.
func TestLimitDecisions(t *testing.T) {
	engine := limit.NewMemory(limit.MemoryOptions{})
	l := NewLimits(prometheus.NewRegistry(), engine.Keys)
	rule := func(id string, requests int64, shadow bool) *limit.Rule {
		return &limit.Rule{ID: id, Requests: requests, Per: time.Hour, Shadow: shadow}
	}
	charges := []limit.Charge{
		{Rule: rule("tight", 2, false), Key: limit.Key{1}, Units: 1},
		{Rule: rule("wide", 9, false), Key: limit.Key{2}, Units: 1},
		{Rule: rule("shadow", 1, true), Key: limit.Key{3}, Units: 1},
	}
	results := make([]limit.Result, len(charges))
	for range 5 {
		engine.Take(charges, results)
		l.Count(charges, results)
	}
	for _, want := range []struct {
		id, decision string
		n            float64
	}{{"tight", "admitted", 2}, {"tight", "refused", 3}, {"wide", "admitted", 2}, {"wide", "refused", 0}, {"shadow", "admitted", 1}, {"shadow", "shadow", 4}} {
		if got := testutil.ToFloat64(l.decisions.WithLabelValues(want.id, want.decision)); got != want.n {
			t.Errorf("%s %s: %v, want %v", want.id, want.decision, got, want.n)
		}
	}
}
