package outcomes

import (
	"slices"
	"testing"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// TestOutdatedIsHeardOnce: what a processor says again, until it has heard of the purge, is purged once; a new word on the
// same server is another purge, and so is what older processors say, which have no ids.
func TestOutdatedIsHeardOnce(t *testing.T) {
	st := &stream{}
	for i, step := range []struct{ said, fresh []uint64 }{
		{[]uint64{7}, []uint64{7}},
		{[]uint64{7}, nil},
		{[]uint64{7, 8}, []uint64{8}},
		{nil, nil},
		{[]uint64{9, 7}, []uint64{9, 7}},
		{[]uint64{0}, []uint64{0}},
		{[]uint64{0, 0}, []uint64{0, 0}},
	} {
		var said []*outcomev1.Outdated
		for _, id := range step.said {
			said = append(said, &outcomev1.Outdated{Server: "orders", Id: id})
		}
		var fresh []uint64
		for _, o := range st.unheard(said) {
			fresh = append(fresh, o.GetId())
		}
		if !slices.Equal(fresh, step.fresh) {
			t.Errorf("summary %d says %v: %v are new, want %v", i, step.said, fresh, step.fresh)
		}
	}
	many := make([]*outcomev1.Outdated, maxOutdated+9)
	for i := range many {
		many[i] = &outcomev1.Outdated{Id: uint64(i) + 1} //nolint:gosec // small
	}
	if n := len(st.unheard(many)); n != maxOutdated || len(st.outdated) != maxOutdated {
		t.Errorf("%d of %d are heard, %d kept", n, len(many), len(st.outdated))
	}
}
