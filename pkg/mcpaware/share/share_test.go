package share

import (
	"math"
	"slices"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

var regions = []string{"mumbai", "delhi", "frankfurt"}

func away(server string, of ...*policyv1.RegionShare) []*policyv1.Shares {
	return []*policyv1.Shares{{Server: server, Regions: of}}
}

func set(t *testing.T, s *Shares, all []*policyv1.Shares) {
	t.Helper()
	if err := s.Set(all); err != nil {
		t.Fatal(err)
	}
}

// TestShareGrowsAndShrinks: the share of callers is what was asked for, and no caller goes back and
// forth while it grows or shrinks.
func TestShareGrowsAndShrinks(t *testing.T) {
	const callers = 1 << 16
	var s Shares
	left := make([]int, callers)
	for share := range hundredths + 1 {
		set(t, &s, away("orders", &policyv1.RegionShare{Region: "mumbai", Away: uint32(share)}))
		moved := 0
		for p := range callers {
			c := s.Choose("orders", uint64(p+1), regions)
			if len(c.Preferred) > 0 {
				if moved++; left[p] == 0 {
					left[p] = share
				}
				if slices.Contains(c.Preferred, "mumbai") || len(c.Preferred) != 2 || c.Possible == nil {
					t.Fatalf("caller %d at %d %%: %+v", p, share, c)
				}
			} else if left[p] != 0 {
				t.Fatalf("caller %d was away at %d %% and is back at %d %%", p, left[p], share)
			}
		}
		if got := 100 * float64(moved) / callers; math.Abs(got-float64(share)) > 1 {
			t.Errorf("%d %% of callers, want %.1f", share, got)
		}
	}
}

func TestChoose(t *testing.T) {
	all := uint32(hundredths)
	for _, c := range []struct {
		name                string
		given               []*policyv1.RegionShare
		preferred, possible []string
	}{
		{"nothing", nil, nil, nil},
		{"one region", []*policyv1.RegionShare{{Region: "mumbai", Away: all}}, regions[1:], regions},
		{"two", []*policyv1.RegionShare{{Region: "mumbai", Away: all}, {Region: "frankfurt", Drained: true}}, regions[1:2], regions[:2]},
		{"all of them: nowhere else to go", []*policyv1.RegionShare{{Region: "mumbai", Away: all}, {Region: "delhi", Away: all}, {Region: "frankfurt", Away: all}}, nil, nil},
		{"all but a drained one", []*policyv1.RegionShare{{Region: "mumbai", Away: all}, {Region: "delhi", Away: all}, {Region: "frankfurt", Drained: true}}, regions[:2], regions[:2]},
		{"all drained", []*policyv1.RegionShare{{Region: "mumbai", Drained: true}, {Region: "delhi", Drained: true}, {Region: "frankfurt", Drained: true}}, nil, nil},
		{"a region that is not there", []*policyv1.RegionShare{{Region: "mars", Away: all}}, nil, nil},
	} {
		var s Shares
		set(t, &s, away("orders", c.given...))
		got := s.Choose("orders", 7, regions)
		if !slices.Equal(got.Preferred, c.preferred) || !slices.Equal(got.Possible, c.possible) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if other := s.Choose("inventory", 7, regions); other.Preferred != nil {
			t.Errorf("%s: another server: %+v", c.name, other)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	var s Shares
	if !s.Quiet() || !(*Shares)(nil).Quiet() {
		t.Error("nothing was said, and it is not quiet")
	}
	set(t, &s, away("orders", &policyv1.RegionShare{Region: "mumbai", Away: 100}))
	if err := s.Set(away("orders", &policyv1.RegionShare{Region: "mumbai", Away: 101})); err == nil {
		t.Error("101 hundredths")
	}
	if s.Choose("orders", 1, regions).Preferred == nil {
		t.Error("what was refused counts")
	}
	set(t, &s, away("orders", &policyv1.RegionShare{Region: "mumbai"}))
	if !s.Quiet() {
		t.Error("no share, and it is not quiet")
	}
}

func TestQuietAllocatesNothing(t *testing.T) {
	var s Shares
	if n := testing.AllocsPerRun(100, func() { s.Choose("orders", 1, regions) }); n != 0 {
		t.Errorf("%v allocations where no share is set", n)
	}
}

// TestSuccession: the share of callers that are with a successor is what was asked for, none of them goes back and forth while
// it grows, and other successors get other callers.
func TestSuccession(t *testing.T) {
	const callers = 1 << 14
	over := make([]int, callers)
	both := 0
	for share := range uint32(hundredths + 1) {
		s, other := Between("orders", "orders-v2", share), Between("orders", "orders-v3", share)
		n := 0
		for p := range callers {
			switch is := s.Over(uint64(p + 1)); {
			case is:
				n++
				over[p]++
				if share == 50 && other.Over(uint64(p+1)) {
					both++
				}
			case over[p] > 0:
				t.Fatalf("caller %d went over below %d %% and is back", p, share)
			}
		}
		if got := 100 * float64(n) / callers; math.Abs(got-float64(share)) > 1.5 {
			t.Errorf("%d %% of callers, want %.1f", share, got)
		}
	}
	if got := 100 * float64(both) / callers; math.Abs(got-25) > 1.5 {
		t.Errorf("%.1f %% are with both of two successors that have half of the callers each", got)
	}
	if Between("orders", "orders-v2", 99).Over(0) || !Between("orders", "orders-v2", 100).Over(0) || (Succession{}).Over(7) {
		t.Error("who is not known does not go last, or somebody is with nobody")
	}
}
