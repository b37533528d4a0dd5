package limit

import "time"

// mirror is what a cell of a Redis's memory knows besides what was admitted here.
type mirror struct {
	// used is what all processors together had used at a moment, at.
	used, at int64
	// missing is this processor's share of that, as far as it is more than was admitted here.
	missing int64
	// debt is what was admitted here and Redis has not heard of.
	debt window
}

// note keeps what Redis said of charges, for the time when it is away.
func (m *Memory) note(charges []Charge, results []Result, admitted bool) {
	place := m.place()
	held := m.lock(charges)
	defer m.unlock(held)
	now := m.now()
	for i := range charges {
		c := &charges[i]
		one := m.shardOf(c.Key).cell(c, now)
		switch {
		case results[i].Over:
			one.refused++
		case admitted:
			m.shardOf(c.Key).add(one, now, min(c.Units, c.Rule.Requests))
		}
		of := int64(max(place.Of, 1))
		one.mirror.used, one.mirror.at = results[i].Used, now
		one.mirror.missing = max((results[i].Used+of-1)/of-one.window.total, 0)
	}
}

// alone charges a message while Redis is away: this processor's share of each limit, less what it
// admitted before and its share of what the others did.
func (m *Memory) alone(charges []Charge, results []Result) bool {
	return m.take(charges, results, func(s *shard, one *cell, now int64) {
		if at := one.mirror.at; one.mirror.missing > 0 && at+int64(one.rule.Per) > now {
			s.groups += one.window.add(at, one.mirror.missing, grain(one.rule.Requests))
		}
		one.mirror.missing = 0
	}, func(s *shard, one *cell, now, units int64) {
		s.add(one, now, units)
		s.groups += one.mirror.debt.add(now, units, grain(one.rule.Requests))
		m.debts.Add(1)
	})
}

// room says whether this processor's share of each limit has room, and takes nothing.
func (m *Memory) room(charges []Charge, results []Result) bool {
	return m.take(charges, results, nil, func(*shard, *cell, int64, int64) {})
}

// debt is what Redis is to be told of one key.
type debt struct {
	key  Key
	rule *Rule
	// ages and units of groups, oldest first.
	ages  []time.Duration
	units []int64
}

// drainDebts takes out what Redis has not heard of, or everything that was admitted here where
// all is to be told again.
func (m *Memory) drainDebts(all bool) []debt {
	m.debts.Store(0)
	now := m.now()
	var out []debt
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for key, one := range s.cells {
			one.window.expire(now, one.rule.Per)
			one.mirror.debt.expire(now, one.rule.Per)
			w := &one.mirror.debt
			if all {
				w = &one.window
			}
			if w.n > 0 {
				out = append(out, debtOf(key, one.rule, w, now))
			}
			s.groups -= len(one.mirror.debt.ring)
			one.mirror.debt = window{}
		}
		s.mu.Unlock()
	}
	return out
}

func debtOf(key Key, rule *Rule, w *window, now int64) debt {
	d := debt{key: key, rule: rule}
	for i := range w.n {
		g := w.at(i)
		d.ages, d.units = append(d.ages, time.Duration(now-g.at)), append(d.units, g.units)
	}
	return d
}

// owe puts back what Redis could not be told.
func (m *Memory) owe(debts []debt) {
	now := m.now()
	for _, d := range debts {
		s := m.shardOf(d.key)
		s.mu.Lock()
		if one := s.cells[d.key]; one != nil {
			restored := window{}
			for i := range d.ages {
				s.groups += restored.add(now-int64(d.ages[i]), d.units[i], grain(d.rule.Requests))
			}
			for i := range one.mirror.debt.n {
				g := one.mirror.debt.at(i)
				s.groups += restored.add(g.at, g.units, grain(d.rule.Requests))
			}
			s.groups -= len(one.mirror.debt.ring)
			one.mirror.debt = restored
		}
		s.mu.Unlock()
	}
	m.debts.Add(int64(len(debts)))
}
