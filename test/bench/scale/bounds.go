package main

import (
	"errors"
	"fmt"
	"time"
)

// bounds are what must hold of a run; zero ones are not looked at. Times are for the machine
// of calibration, and stretched by its factor where a run finds itself on a slower one.
type bounds struct {
	change, firstSync time.Duration
	// memory in MB (10^6 bytes).
	memory int
}

const (
	// growAfter is how many changes there are before growth is looked at, each so many again:
	// caches are full then.
	growAfter = 200
	// maxGrowth is how much more there may be at the end of a run than there was then, of
	// memory, heap, goroutines and on disk. All move up and down by themselves.
	maxGrowth = 1.5
)

// missed says which bounds the figures do not keep.
func (b bounds) missed(f *figures) error {
	factor := f.calibration.factor()
	stretched := func(d time.Duration) time.Duration { return time.Duration(float64(d) * factor) }
	var errs []error
	miss := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if b.change > 0 && len(f.changes) > 0 && percentile(f.changes, 99) > stretched(b.change) {
		miss("change to last ACK: p99 is %s, more than %s", percentile(f.changes, 99), stretched(b.change))
	}
	if b.firstSync > 0 && f.firstSync > stretched(b.firstSync) {
		miss("first sync took %s, more than %s", f.firstSync, stretched(b.firstSync))
	}
	if used := f.peakKB * 1024 / 1_000_000; b.memory > 0 && used > b.memory {
		miss("memory was %d MB, more than %d MB", used, b.memory)
	}
	if n := len(f.usage); n > 1 {
		errs = append(errs, grown(f.usage[0], f.usage[n-1]))
	}
	return errors.Join(errs...)
}
