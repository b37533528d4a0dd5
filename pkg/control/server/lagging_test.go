package server

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
)

// whatItHolds is holds, without anything remembered.
func whatItHolds(s *subscription, g resources.Group) bool {
	if s.wildcard {
		return g.Matches(s.acked)
	}
	for name := range s.names {
		r, exists := g[name]
		if version, has := s.acked[name]; has != exists || version != r.Version {
			return false
		}
	}
	return true
}

// TestHoldsAfterAnyExchange: what is remembered between two questions changes no answer.
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
		groups = append(groups, nil)
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
			g := groups[r.IntN(len(groups))]
			want := whatItHolds(s, g)
			if got := s.holds(g, true); got != want {
				t.Fatalf("seed %d, step %d: holds %v of %v: %v, want %v", seed, n, s.acked, g, got, want)
			}
			if want {
				held++
			}
			if got, want := s.version(true), resources.HashVersions(s.acked); len(s.acked) > 0 && got != want {
				t.Fatalf("seed %d, step %d: version %s, want %s", seed, n, got, want)
			}
		}
	}
	if held < 500 {
		t.Errorf("only %d of the groups were held", held)
	}
}
