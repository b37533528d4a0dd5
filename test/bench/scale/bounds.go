package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	// caches fill and the history reaches its bound.
	growAfter = 200
	// maxGrowth is how much more there may be at the end of a run than there was then, of
	// memory and on disk. Both move up and down by themselves.
	maxGrowth = 1.5
)

// usage is what a control plane has at one moment.
type usage struct {
	changes, memoryKB int
	diskBytes         int64
}

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
		first, last := f.usage[0], f.usage[n-1]
		if float64(last.memoryKB) > maxGrowth*float64(first.memoryKB) {
			miss("memory grew from %d KiB after %d changes to %d KiB after %d", first.memoryKB, first.changes, last.memoryKB, last.changes)
		}
		if float64(last.diskBytes) > maxGrowth*float64(first.diskBytes) {
			miss("the state directory grew from %d bytes after %d changes to %d after %d", first.diskBytes, first.changes, last.diskBytes, last.changes)
		}
	}
	return errors.Join(errs...)
}

// use notes what the control plane has after so many changes.
func (f *figures) use(p *plane, state string, changes int) error {
	kb, err := p.memoryKB("VmRSS")
	if err != nil {
		return err
	}
	u := usage{changes: changes, memoryKB: kb}
	err = filepath.WalkDir(state, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			u.diskBytes += info.Size()
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("measuring the state directory: %w", err)
	}
	f.usage = append(f.usage, u)
	return nil
}

// growth is one line about the usage noted.
func (f *figures) growth() string {
	parts := make([]string, 0, len(f.usage))
	for _, u := range f.usage {
		parts = append(parts, fmt.Sprintf("%d: %d MiB, %d KiB on disk", u.changes, u.memoryKB/1024, u.diskBytes/1024))
	}
	return strings.Join(parts, "; ")
}
