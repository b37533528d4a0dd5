package limit

// loss is when Redis went away.
type loss struct {
	// number of the loss, counted from 1; 0 is a single answer that did not come in time.
	number uint64
	// at is the time of the memory's clock.
	at int64
}

// alone charges a message while Redis is away: this processor's share of each limit, less what
// others may have of it.
//
// A processor that has no more than its share can have taken nothing of another's, so where all
// are like that, everybody may use its own up. A processor that Redis gives more has told all others before, and so has
// everybody who was given something of that key since. They all know what is left, and divide it.
func (m *Memory) alone(charges []Charge, results []Result, l loss) bool {
	return m.take(charges, results, func(one *cell, place Place, now int64) { one.bar(place, l, now) },
		func(s *shard, one *cell, now, units int64) {
			s.add(one, now, units)
			s.groups += one.mirror.debt.add(now, units, grain(one.rule.Requests))
			m.debts.Add(1)
		})
}

// room says whether this processor's share of each limit has room, and takes nothing.
func (m *Memory) room(charges []Charge, results []Result, l loss) bool {
	return m.take(charges, results, func(one *cell, place Place, now int64) { one.bar(place, l, now) },
		func(*shard, *cell, int64, int64) {})
}

// onTheWay is what each processor keeps back of what is left: answers and news that leave a
// dying Redis together arrive in an order that a starved machine does not keep.
const onTheWay = 2

// bar works out, once for each loss, what of this processor's share others may have.
func (c *cell) bar(place Place, l loss, now int64) {
	if l.number == 0 {
		// It counts for this call only.
		l.at = now
	} else if c.mirror.loss == l.number {
		return
	}
	m := &c.mirror
	m.loss, m.barred, m.barredUntil = l.number, 0, 0
	own, share := c.window.total, place.share(c.rule)
	until := l.at + int64(c.rule.Per)
	if own >= share || m.borrowed <= l.at || now >= until {
		return
	}
	left := max(c.rule.Requests-m.fresh(l.at, c.rule.Per), 0)/place.of(c.rule) - onTheWay
	m.barred, m.barredUntil = share-own-min(share-own, max(left, 0)), until
	if l.number == 0 {
		m.barredUntil = now + 1
	}
}

// barredAt is how many units are left out at a time.
func (c *cell) barredAt(now int64) int64 {
	if now < c.mirror.barredUntil {
		return c.mirror.barred
	}
	return 0
}
