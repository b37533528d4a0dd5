package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// saturation is how long all callers are kept busy, and what the memory may grow by.
type saturation struct {
	span   time.Duration
	rounds int
	// atMost is how much larger the last third's peak may be than that of the third before it; the first third
	// is for pools and caches to fill. slackKB is added.
	atMost  float64
	slackKB int
}

// fully keeps a saturated system for span.
func fully(span time.Duration) saturation {
	return saturation{span: span, rounds: 30, atMost: 1.05, slackKB: 4 << 10}
}

// saturate repeats calls of several kinds at 32 connections, with limits and traces on, and returns an error when
// the memory of Envoy or of the processor still grows.
func saturate(ctx context.Context, s *system, p saturation) error {
	i := slices.IndexFunc(s.rows, func(r row) bool { return r.name == rowTraced })
	r := s.rows[i]
	kinds := slices.DeleteFunc(shapes(), func(sh shape) bool { return sh.name == read1MiB || sh.answer == "1048576" })
	each := p.span / time.Duration(p.rounds*len(kinds))
	var envoy, processor []int
	calls := 0
	for n := range p.rounds {
		for _, sh := range kinds {
			got, err := load(ctx, r, sh, 32, each)
			if err != nil {
				return fmt.Errorf("at saturation: %s: %w", sh.name, err)
			}
			calls += got.calls
		}
		envoy, processor = append(envoy, residentKB(r.envoy)), append(processor, residentKB(r.processor))
		fmt.Fprintf(os.Stderr, "round %d of %d, %d calls: Envoy %d KiB, processor %d KiB\n", n+1, p.rounds, calls, envoy[n], processor[n])
	}
	return errors.Join(p.check("Envoy", envoy), p.check("processor", processor))
}

func (p saturation) check(name string, kB []int) error {
	third := len(kB) / 3
	before, after := slices.Max(kB[third:len(kB)-third]), slices.Max(kB[len(kB)-third:])
	if float64(after) > p.atMost*float64(before)+float64(p.slackKB) {
		return fmt.Errorf("the memory of the %s grows: %d KiB, then %d KiB", name, before, after)
	}
	return nil
}
