package server

import (
	"fmt"
	"math/rand/v2"
	"testing"

	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
)

// TestHoldsAfterAnyExchange: what is remembered between two questions changes no answer; a look at
// every name, as processors' policies get, is the measure.
func TestHoldsAfterAnyExchange(t *testing.T) {
	held := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := &subscription{names: map[string]bool{}, acked: map[string]string{}, latest: map[string]string{}, wildcard: r.IntN(2) == 0}
		name := func() string { return fmt.Sprintf("n%d", r.IntN(4)) }
		var groups []resources.Group
		for range 3 {
			g := resources.Group{}
			for range r.IntN(4) {
				g[name()] = resources.Versioned{Version: fmt.Sprint(r.IntN(2))}
			}
			groups = append(groups, g)
		}
		sets := []*resources.Set{{}}
		for _, g := range groups {
			// Two sets may well have one group.
			sets = append(sets, &resources.Set{Clusters: g}, &resources.Set{Clusters: g})
		}
		for n := range 60 {
			switch r.IntN(7) {
			case 0:
				_ = s.subscribe([]string{name(), []string{"*", name()}[r.IntN(2)]}, nil)
			case 1:
				_ = s.subscribe(nil, []string{name(), []string{"*", name()}[r.IntN(2)]})
			default:
				nonce := fmt.Sprint(n)
				s.remember(response{nonce: nonce, changed: map[string]string{name(): fmt.Sprint(r.IntN(2))}, removed: []string{name()}[:r.IntN(2)]})
				if r.IntN(4) > 0 {
					s.answer(nonce, r.IntN(5) == 0, false)
				}
			}
			set := sets[r.IntN(len(sets))]
			g := set.Clusters
			want := s.holdsPolicies(g)
			if got := s.holds(set, resourcev3.ClusterType); got != want {
				t.Fatalf("seed %d, step %d: holds %v of %v: %v, want %v", seed, n, s.acked, g, got, want)
			}
			if want {
				held++
			}
			if got, want := s.version(resourcev3.ClusterType, true), resources.HashVersions(s.acked); len(s.acked) > 0 && got != want {
				t.Fatalf("seed %d, step %d: version %s, want %s", seed, n, got, want)
			}
		}
	}
	if held < 500 {
		t.Errorf("only %d of the groups were held", held)
	}
}
