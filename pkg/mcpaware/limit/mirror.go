package limit

import "time"

// mirror is what a cell of a Redis's memory knows besides what was admitted here.
type mirror struct {
	// used is what all processors together had used at a moment: heard by Redis's clock in
	// microseconds, at by this processor's.
	used, heard, at int64
	// borrowed is until when some processor may have more than its share.
	borrowed int64
	// asking is how many units Redis is being asked for.
	asking int64
	// barred units of this processor's share are left out until barredUntil, since others may have them. They
	// were worked out for the loss of that number.
	barred, barredUntil int64
	loss                uint64
	// debt is what was admitted here and Redis has not heard of.
	debt window
}

// reply is what Redis says of charges.
type reply struct {
	results  []Result
	admitted bool
	// beyond says of each charge whether it would leave this processor with more than its share.
	beyond []bool
	// told: all processors are told of a charge, and have to be before it is admitted. Redis writes last to whom
	// it has owed an answer for the longest time, so another command comes before the question.
	told bool
	// asked is this processor's time before the question, clock Redis's at the answer, in microseconds.
	asked, clock int64
}

// ask notes that Redis is asked for charges.
func (m *Memory) ask(charges []Charge, r *reply) {
	place := m.place()
	held := m.lock(charges)
	defer m.unlock(held)
	r.asked = m.now()
	for i := range charges {
		c := &charges[i]
		one := m.shardOf(c.Key).cell(c, r.asked)
		one.mirror.asking += min(c.Units, c.Rule.Requests)
		r.beyond[i] = one.window.total+one.mirror.asking > place.share(c.Rule)
		r.told = r.told || r.beyond[i] || one.mirror.borrowed > r.asked
	}
}

// unasked takes back what ask has noted, where there is no answer.
func (m *Memory) unasked(charges []Charge) {
	held := m.lock(charges)
	defer m.unlock(held)
	for i := range charges {
		if one := m.shardOf(charges[i].Key).cells[charges[i].Key]; one != nil {
			one.mirror.answered(&charges[i])
		}
	}
}

// answered ends an asking. A cell that was forgotten and made again meanwhile does not know of it.
func (m *mirror) answered(c *Charge) {
	m.asking = max(m.asking-min(c.Units, c.Rule.Requests), 0)
}

// note keeps what Redis said of charges, for the time when it is away.
func (m *Memory) note(charges []Charge, r *reply) {
	held := m.lock(charges)
	defer m.unlock(held)
	now := m.now()
	for i := range charges {
		c, result := &charges[i], &r.results[i]
		s := m.shardOf(c.Key)
		one := s.cell(c, now)
		one.mirror.answered(c)
		switch {
		case result.Over:
			one.refused++
		case r.admitted:
			// Redis has counted it a little later, so what leaves this window may still be in Redis's, and
			// never the other way round.
			s.groups += one.window.insert(r.asked, min(c.Units, c.Rule.Requests), grain(c.Rule.Requests))
			if r.beyond[i] {
				one.mirror.borrowed = now + int64(c.Rule.Per)
			}
		}
		one.mirror.hear(result.Used, r.clock, now)
	}
}

// clockBack is by how much Redis's clock has to have gone back to be believed, in
// microseconds; what is less is an answer that comes late.
const clockBack = int64(time.Second / time.Microsecond)

// hear keeps the newest of what Redis says.
func (m *mirror) hear(used, clock, now int64) {
	if clock >= m.heard || clock < m.heard-clockBack {
		m.used, m.heard, m.at = used, clock, now
	}
}

// news is what Redis tells all processors: of a key of which one of them has more than its share, what all have used.
type news struct {
	key         Key
	used, clock int64
	limit       int64
	per         time.Duration
}

// learn keeps news, of keys that were never charged here too.
func (m *Memory) learn(n news) {
	s := m.shardOf(n.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	one := s.cells[n.key]
	if one == nil {
		one = s.cell(&Charge{Rule: &Rule{Requests: n.limit, Per: n.per}, Key: n.key}, now)
	}
	one.mirror.borrowed = now + int64(n.per)
	one.mirror.hear(n.used, n.clock, now)
}

// fresh is what all had used at a time, as far as it is known here and may still be in the window.
func (m *mirror) fresh(at int64, per time.Duration) int64 {
	if m.heard == 0 || m.at+int64(per) <= at {
		return 0
	}
	return m.used
}

// idle: nothing is known that a later charge has to know.
func (c *cell) idle(now int64) bool {
	return c.window.n == 0 && c.mirror.asking == 0 && c.mirror.borrowed <= now && c.mirror.fresh(now, c.rule.Per) == 0
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
