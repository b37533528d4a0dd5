package names

import (
	"fmt"
	"slices"
	"testing"
)

// TestSubset: whatever regions of up to four are to be avoided, exactly the endpoints of the others are
// in the subset that the call asks for. Of more they are when one is to be avoided, and else the two most preferred
// ones, of more than eight the most preferred one.
func TestSubset(t *testing.T) {
	t.Parallel()
	for n := 2; n <= 10; n++ {
		regions := make([]string, n)
		for i := range regions {
			regions[i] = fmt.Sprintf("r%d", (i*3)%n*10+i) // in no alphabetical order
		}
		for mask := 1; mask < 1<<n-1; mask++ {
			var good []string
			for i, r := range regions {
				if mask>>i&1 == 1 {
					good = append(good, r)
				}
			}
			key, value := Subset("orders", regions, good)
			var found []string
			for _, r := range regions {
				// The control plane may order regions otherwise for another Envoy.
				turned := append(slices.Clone(regions[1:]), regions[0])
				avoid, only := SubsetValues("orders", turned, r)
				if slices.Contains(map[string][]string{LBAvoid: avoid, LBRegion: only}[key], value) {
					found = append(found, r)
				}
				other, others := SubsetValues("archive", regions, r)
				if slices.Contains(other, value) || slices.Contains(others, value) {
					t.Errorf("%s is one of another server's subsets", value)
				}
			}
			want := good
			switch {
			case n <= 4 || len(good) == n-1:
			case n <= 8:
				want = good[:min(len(good), 2)]
			default:
				want = good[:1]
			}
			if !slices.Equal(found, want) {
				t.Fatalf("%v of %v: %s=%s finds %v, want %v", good, regions, key, value, found, want)
			}
		}
	}
}

// TestSubsetsAreBounded: the subsets of a server, each of which costs every worker of Envoy memory.
func TestSubsetsAreBounded(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]int{2: 2, 3: 6, 4: 14, 5: 20, 8: 44, 16: 32} {
		all := map[string]bool{}
		regions := make([]string, n)
		for i := range regions {
			regions[i] = fmt.Sprint("r", i)
		}
		for _, r := range regions {
			avoid, only := SubsetValues("orders", regions, r)
			for _, v := range avoid {
				all[LBAvoid+v] = true
			}
			for _, v := range only {
				all[LBRegion+v] = true
			}
		}
		if len(all) != most {
			t.Errorf("%d regions make %d subsets, want %d", n, len(all), most)
		}
	}
}
