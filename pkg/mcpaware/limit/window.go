package limit

import "time"

// grains is into how many groups the units of a full window are put at least, where there
// are so many: what a window may be wrong by is one group.
const grains = 1000

// group is a number of units that were taken one after the other.
type group struct {
	// at is when the first of them was, in nanoseconds.
	at, units int64
}

// window is the units taken in the last Per, oldest first. Units are kept in groups of
// at most a thousandth of the limit (single ones where the limit is below 2000), and a group
// leaves as a whole when its first unit does. So the total is never more than what was
// taken, and less by one group at most. The zero window is empty.
type window struct {
	ring []group
	head int
	n    int
	// total units of all groups.
	total int64
}

// grain is how many units a group may have.
func grain(limit int64) int64 { return max(1, limit/grains) }

func (w *window) at(i int) *group { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// expire drops what is older than per.
func (w *window) expire(now int64, per time.Duration) {
	for w.n > 0 {
		first := w.at(0)
		if first.at+int64(per) > now {
			return
		}
		w.total -= first.units
		w.head = (w.head + 1) & (len(w.ring) - 1)
		w.n--
	}
}

// add takes units at a time, which counts as that of the last units where it is earlier. It
// says by how many groups the ring has grown.
func (w *window) add(now, units, grain int64) (grown int) {
	w.total += units
	if w.n > 0 {
		last := w.at(w.n - 1)
		if last.units+units <= grain {
			last.units += units
			return 0
		}
		now = max(now, last.at)
	}
	if w.n == len(w.ring) {
		grown = w.grow()
	}
	w.n++
	*w.at(w.n - 1) = group{at: now, units: units}
	return grown
}

// insert takes units at a time that may be earlier than that of the last ones.
func (w *window) insert(at, units, grain int64) (grown int) {
	n := w.n
	grown = w.add(at, units, grain)
	if w.n == n {
		return grown
	}
	i := w.n - 1
	for ; i > 0 && w.at(i-1).at > at; i-- {
		*w.at(i) = *w.at(i - 1)
	}
	*w.at(i) = group{at: at, units: units}
	return grown
}

// grow doubles the ring, whose length is a power of two.
func (w *window) grow() int {
	size := max(4, 2*len(w.ring))
	ring := make([]group, size)
	for i := range w.n {
		ring[i] = *w.at(i)
	}
	before := len(w.ring)
	w.ring, w.head = ring, 0
	return size - before
}

// wait is how long it takes until so many units have left.
func (w *window) wait(now, units int64, per time.Duration) time.Duration {
	for i := range w.n {
		g := w.at(i)
		if units -= g.units; units <= 0 {
			return max(time.Duration(g.at+int64(per)-now), 1)
		}
	}
	return per
}
