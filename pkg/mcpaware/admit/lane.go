package admit

import (
	"cmp"
	"slices"
	"time"
)

// lane is the calls of one server: those under way, those that wait. It has no
// clock and no goroutine; the Gate's lock guards it.
type lane struct {
	room
	rules map[Rule]*room
	// waiting is ordered: higher priority first, then arrival.
	waiting []*Ticket
	// arrivals numbers the calls.
	arrivals uint64
}

// room is what one limit has left.
type room struct {
	limit  Limit
	active int
	queued int
	// hold is the moving average of how long calls keep their slot; 0 before one ended.
	hold time.Duration
}

// holdWeight: each call moves the average by an eighth of its difference.
const holdWeight = 8

func (r *room) free() bool { return r.limit.Concurrent <= 0 || r.active < r.limit.Concurrent }

func (r *room) learn(held time.Duration) {
	if r.hold == 0 {
		r.hold = max(held, 1)
		return
	}
	r.hold = max(r.hold+(held-r.hold)/holdWeight, 1)
}

// wait is how long the call waits that has so many before it.
func (r *room) wait(before int) time.Duration {
	if r.limit.Concurrent <= 0 {
		return 0
	}
	return time.Duration(before+1) * r.hold / time.Duration(r.limit.Concurrent)
}

func (r *room) idle() bool { return r.active == 0 && r.queued == 0 }

func (l *lane) rule(of Rule) *room {
	r := l.rules[of]
	if r == nil {
		if len(l.rules) >= maxRooms {
			// Rules come and go with the configuration.
			for key, old := range l.rules {
				if old.idle() {
					delete(l.rules, key)
				}
			}
		}
		r = &room{}
		l.rules[of] = r
	}
	return r
}

// enqueue puts a ticket behind all that have at least its priority.
func (l *lane) enqueue(t *Ticket) {
	l.arrivals++
	t.arrival = l.arrivals
	at, _ := slices.BinarySearchFunc(l.waiting, t, order)
	l.waiting = slices.Insert(l.waiting, at, t)
	l.queued++
	t.rule.queued++
}

// order is that in which tickets are served.
func order(a, b *Ticket) int {
	return cmp.Or(cmp.Compare(b.call.Priority, a.call.Priority), cmp.Compare(a.arrival, b.arrival))
}

// worth is the order in which tickets are given up.
func worth(a, b *Ticket) int {
	return cmp.Or(
		cmp.Compare(a.call.Priority, b.call.Priority),
		cmp.Compare(a.call.Cost, b.call.Cost),
		cmp.Compare(b.arrival, a.arrival),
	)
}

func (l *lane) remove(t *Ticket) {
	at, found := slices.BinarySearchFunc(l.waiting, t, order)
	if !found {
		return
	}
	l.waiting = slices.Delete(l.waiting, at, at+1)
	l.queued--
	t.rule.queued--
}

// dispatch gives slots to those first in order whose rule has room.
func (l *lane) dispatch(now time.Time) {
	for at := 0; at < len(l.waiting) && l.free(); {
		t := l.waiting[at]
		if !t.rule.free() {
			at++
			continue
		}
		l.remove(t)
		l.active++
		t.rule.active++
		t.state, t.granted = held, now
		close(t.settled)
	}
}

// before counts the tickets that are served earlier than t, and those of its rule.
func (l *lane) before(t *Ticket) (all, sameRule int) {
	for _, other := range l.waiting {
		if other == t {
			break
		}
		all++
		if other.rule == t.rule {
			sameRule++
		}
	}
	return all, sameRule
}

// forecast is how long a ticket that waits will wait, and whether its rule decides that.
func (l *lane) forecast(t *Ticket) (wait time.Duration, ofRule bool) {
	all, sameRule := l.before(t)
	byServer, byRule := time.Duration(0), time.Duration(0)
	if !l.free() || all > 0 {
		byServer = l.wait(all)
	}
	if !t.rule.free() || sameRule > 0 {
		byRule = t.rule.wait(sameRule)
	}
	if byRule > byServer || l.limit.Concurrent <= 0 {
		return byRule, true
	}
	return byServer, false
}

// overfull gives the ticket that must go because a queue is longer than its limit: nil
// where none is. newest has just been put in.
func (l *lane) overfull(newest *Ticket) (victim *Ticket, ofRule bool) {
	switch {
	case newest.rule.limit.Concurrent > 0 && newest.rule.queued > newest.rule.limit.Queue && !newest.rule.free():
		// All of a rule have the same worth.
		return newest, true
	case l.limit.Concurrent > 0 && l.queued > l.limit.Queue:
		return slices.MinFunc(l.waiting, worth), false
	}
	return nil, false
}
