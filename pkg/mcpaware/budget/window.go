package budget

import (
	"sync/atomic"
	"time"
)

const (
	// Span is what a budget looks back on.
	Span = 10 * time.Second
	// bucketSpan is how exactly it does.
	bucketSpan  = 500 * time.Millisecond
	spanBuckets = int64(Span / bucketSpan)
	// One bucket more than the span: the current one has only begun.
	buckets = spanBuckets + 1
)

// window counts events in buckets of time. It is safe for concurrent use and never waits.
type window struct {
	// Each bucket is the number of its half second, in the upper half, and a count.
	buckets [buckets]atomic.Uint64
}

const countBits = 32

func pack(at int64, count uint64) uint64 { return uint64(at)<<countBits | count } //nolint:gosec // at is positive

// add counts one event in bucket number at.
func (w *window) add(at int64) {
	b := &w.buckets[at%buckets]
	for {
		old := b.Load()
		held := int64(old >> countBits) //nolint:gosec // 32 bits
		if held > at {
			// A slow caller: its half second has been over for ten.
			return
		}
		next := pack(at, 1)
		if held == at {
			next = old + 1
		}
		if b.CompareAndSwap(old, next) {
			return
		}
	}
}

// sum is the number of events in the last n buckets, the one with number at included.
func (w *window) sum(at, n int64) int64 {
	var sum int64
	for i := range w.buckets {
		b := w.buckets[i].Load()
		if held := int64(b >> countBits); held <= at && held > at-n { //nolint:gosec // 32 bits
			sum += int64(b & (1<<countBits - 1)) //nolint:gosec // 32 bits
		}
	}
	return sum
}

// atLeast is the number of events of the last Span or a little more.
func (w *window) atLeast(at int64) int64 { return w.sum(at, buckets) }

// atMost is the number of events of the last Span or a little less.
func (w *window) atMost(at int64) int64 { return w.sum(at, spanBuckets) }
