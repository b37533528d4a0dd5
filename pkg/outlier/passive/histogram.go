// Package passive keeps what callers' own calls say of endpoints and regions: how many there were, how many
// failed, and how long they took. It takes the summaries of processors, a second each (api/outcome).
package passive

import (
	"math"
	"time"
)

// buckets of a histogram: bucket i holds what took up to 2^i milliseconds, which is told in finer ones; see outcomev1.Count.
const (
	buckets   = 17
	perOctave = 8
)

// histogram counts answers by how long they took.
type histogram [buckets]uint32

func (h *histogram) add(counts []uint32) {
	for i, n := range counts {
		to := min((i+perOctave-1)/perOctave, buckets-1)
		h[to] = plus(h[to], n)
	}
}

func (h *histogram) join(other *histogram) {
	for i, n := range other {
		h[i] = plus(h[i], n)
	}
}

func (h *histogram) total() uint64 {
	var n uint64
	for _, c := range h {
		n += uint64(c)
	}
	return n
}

// quantile is the time within which a share of the answers came, in proportion within its bucket; 0 where there are none.
func (h *histogram) quantile(share float64) time.Duration {
	total := h.total()
	if total == 0 {
		return 0
	}
	rank := share * float64(total)
	below := 0.0
	for i, c := range h {
		n := float64(c)
		if n > 0 && below+n >= rank {
			low, high := 0.0, 1.0
			if i > 0 {
				low, high = math.Exp2(float64(i-1)), math.Exp2(float64(i))
			}
			return time.Duration((low + (high-low)*(rank-below)/n) * float64(time.Millisecond))
		}
		below += n
	}
	return time.Duration(math.Exp2(buckets-1)) * time.Millisecond
}

func plus(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}

// slot is what was counted in one piece of time.
type slot struct {
	// at is the piece's number; 0 is none.
	at                 int64
	good, failed, busy uint32
	took               histogram
}

func (s *slot) join(other *slot) {
	s.good, s.failed, s.busy = plus(s.good, other.good), plus(s.failed, other.failed), plus(s.busy, other.busy)
	s.took.join(&other.took)
}

// ring keeps the slots of the last pieces of time.
type ring struct {
	width time.Duration
	slots []slot
}

func newRing(width time.Duration, n int) *ring {
	return &ring{width: width, slots: make([]slot, n)}
}

func (r *ring) piece(at time.Time) int64 { return at.UnixNano() / int64(r.width) }

func (r *ring) add(s *slot, at time.Time) {
	piece := r.piece(at)
	to := &r.slots[piece%int64(len(r.slots))]
	if to.at != piece {
		*to = slot{at: piece}
	}
	to.join(s)
}

// sum joins the slots that began more than from and at most to pieces ago, the one under way being 0 ago.
func (r *ring) sum(now time.Time, from, to int) slot {
	var out slot
	last := r.piece(now)
	for i := range r.slots {
		if age := last - r.slots[i].at; r.slots[i].at != 0 && age >= int64(from) && age < int64(to) {
			out.join(&r.slots[i])
		}
	}
	return out
}
