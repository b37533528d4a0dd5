package main

import (
	"strings"
	"testing"
	"time"
)

// TestBoundsFail: each bound that is missed is told, and a machine that is slower by half may
// take half as long again.
func TestBoundsFail(t *testing.T) {
	b := bounds{change: 250 * time.Millisecond, firstSync: 5 * time.Second, memory: 256}
	of := func(slower float64, change func(*figures)) *figures {
		f := &figures{
			firstSync: 2 * time.Second, changes: []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}, peakKB: 200_000,
			usage:       []usage{{200, 100_000, 1e6, 100, 1000}, {400, 120_000, 1e6, 100, 1100}},
			calibration: &calibration{took: []time.Duration{time.Duration(slower * float64(quietWork))}},
		}
		change(f)
		return f
	}
	for want, f := range map[string]*figures{
		"": of(1, func(*figures) {}),
		"change to last ACK: p99 is 260ms, more than 250ms":                             of(0.5, func(f *figures) { f.changes[1] = 260 * time.Millisecond }),
		"change to last ACK: p99 is 380ms, more than 375ms":                             of(1.5, func(f *figures) { f.changes[1] = 380 * time.Millisecond }),
		"first sync took 6s, more than 5s":                                              of(1, func(f *figures) { f.firstSync = 6 * time.Second }),
		"memory was 257 MB, more than 256 MB":                                           of(9, func(f *figures) { f.peakKB = 251_000 }),
		"memory grew from 100000 KiB after 200 changes to 151000 KiB after 400":         of(9, func(f *figures) { f.usage[1].memoryKB = 151_000 }),
		"the heap grew from 1000000 bytes after 200 changes to 2000000 bytes after 400": of(1, func(f *figures) { f.usage[1].heapBytes = 2e6 }),
		"the number of goroutines grew from 100 after 200 changes to 160 after 400":     of(1, func(f *figures) { f.usage[1].goroutines = 160 }),
	} {
		got := ""
		if err := b.missed(f); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	grown := of(1, func(f *figures) { f.usage[1].diskBytes = 1600; f.firstSync = time.Minute })
	if err := b.missed(grown); err == nil || !strings.Contains(err.Error(), "state directory grew") || !strings.Contains(err.Error(), "first sync") {
		t.Errorf("told %v", err)
	}
}
