package limit

import (
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on what a Memory holds.
const (
	shards = 64
	// maxKeys and maxGroups of one shard; a group has 16 bytes.
	maxKeys   = 4096
	maxGroups = 1 << 16
	// sampled is among how many keys one is looked for that can be given up.
	sampled = 8
)

// Memory counts in this processor's memory. It holds at most 262,144 keys and 64 MiB of
// windows; beyond that it forgets keys of which little is used.
type Memory struct {
	now   func() int64
	place func() Place
	// debts says that some cell has one.
	debts  atomic.Int64
	shards [shards]shard
}

var _ Engine = (*Memory)(nil)

// MemoryOptions of a Memory; the zero value is usable.
type MemoryOptions struct {
	// Place tells which share of the limits this processor keeps; nil keeps what the rules'
	// Instances say.
	Place func() Place
	// Now is nanoseconds of any clock that does not go back; nil is the process's own.
	Now func() int64
}

type shard struct {
	mu     sync.Mutex
	cells  map[Key]*cell
	groups int
}

// cell is what one key has used.
type cell struct {
	rule    *Rule
	who     Who
	window  window
	refused uint64
	// mirror is of use beside a Redis only.
	mirror mirror
}

// NewMemory makes an empty Memory.
func NewMemory(opts MemoryOptions) *Memory {
	m := &Memory{now: opts.Now, place: opts.Place}
	if m.place == nil {
		m.place = func() Place { return Place{} }
	}
	if m.now == nil {
		start := time.Now()
		m.now = func() int64 { return int64(time.Since(start)) }
	}
	for i := range m.shards {
		m.shards[i].cells = make(map[Key]*cell)
	}
	return m
}

// Take implements Engine. It does not block.
func (m *Memory) Take(charges []Charge, results []Result) bool {
	return m.take(charges, results, nil, (*shard).add)
}

// take charges with this processor's shares of the limits. prepare, where there is one, sees each cell before it
// is looked at; add takes the units of an admitted message.
func (m *Memory) take(charges []Charge, results []Result, prepare func(one *cell, place Place, now int64), add func(s *shard, one *cell, now, units int64)) bool {
	place := m.place()
	held := m.lock(charges)
	defer m.unlock(held)
	now := m.now()
	var few [8]*cell
	cells := few[:0]
	admitted := true
	for i := range charges {
		c := &charges[i]
		one := m.shardOf(c.Key).cell(c, now)
		cells = append(cells, one)
		if prepare != nil {
			prepare(one, place, now)
		}
		limit := place.share(c.Rule)
		taken := one.window.total + one.barredAt(now)
		most := taken + min(c.Units, limit)
		results[i] = Result{Limit: limit, Used: taken, Over: most > limit}
		if results[i].Over {
			one.refused++
			results[i].RetryAfter = one.wait(now, most-limit)
			admitted = admitted && c.Rule.Shadow
		}
	}
	if !admitted {
		return false
	}
	for i := range charges {
		if results[i].Over {
			continue
		}
		c := &charges[i]
		units := min(c.Units, results[i].Limit)
		results[i].Used += units
		add(m.shardOf(c.Key), cells[i], now, units)
	}
	return true
}

func (m *Memory) shardOf(k Key) *shard { return &m.shards[k[0]&(shards-1)] }

// lock takes the locks of all shards that the charges are in, in the order of the shards.
func (m *Memory) lock(charges []Charge) (held uint64) {
	for i := range charges {
		held |= 1 << (charges[i].Key[0] & (shards - 1))
	}
	for rest := held; rest != 0; rest &= rest - 1 {
		m.shards[bits.TrailingZeros64(rest)].mu.Lock()
	}
	return held
}

func (m *Memory) unlock(held uint64) {
	for ; held != 0; held &= held - 1 {
		m.shards[bits.TrailingZeros64(held)].mu.Unlock()
	}
}

// cell finds or makes the cell of a charge and drops what has left its window.
func (s *shard) cell(c *Charge, now int64) *cell {
	one := s.cells[c.Key]
	if one == nil {
		for len(s.cells) >= maxKeys || s.groups > maxGroups {
			s.forget(now)
		}
		who := c.Who
		// What a message says must not be held in memory as a whole.
		who.Server, who.Tool = strings.Clone(who.Server), strings.Clone(who.Tool)
		one = &cell{who: who}
		s.cells[c.Key] = one
	}
	one.rule = c.Rule
	one.window.expire(now, c.Rule.Per)
	if one.window.n == 0 {
		one.refused = 0
	}
	return one
}

// wait is how long it takes until so many units are free.
func (c *cell) wait(now, units int64) time.Duration {
	wait := c.window.wait(now, units, c.rule.Per)
	if c.barredAt(now) >= units {
		wait = min(wait, time.Duration(c.mirror.barredUntil-now))
	}
	return wait
}

func (s *shard) add(one *cell, now, units int64) {
	s.groups += one.window.add(now, units, grain(one.rule.Requests))
}

// forget gives up the key, of a few, of which the least is used.
func (s *shard) forget(now int64) {
	var victim Key
	least, seen := math.Inf(1), 0
	for key, one := range s.cells {
		one.window.expire(now, one.rule.Per)
		used := max(one.window.total, one.mirror.fresh(now, one.rule.Per))
		if part := float64(used) / float64(one.rule.Requests); part < least {
			victim, least = key, part
		}
		if seen++; seen == sampled {
			break
		}
	}
	if one := s.cells[victim]; one != nil {
		s.groups -= len(one.window.ring) + len(one.mirror.debt.ring)
		delete(s.cells, victim)
	}
}

// Keys is how many keys are held.
func (m *Memory) Keys() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.cells)
		s.mu.Unlock()
	}
	return n
}

// Top implements Engine. Keys of which nothing is used any more are dropped.
func (m *Memory) Top(n int) []Use {
	place, now := m.place(), m.now()
	var out []Use
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for key, one := range s.cells {
			one.window.expire(now, one.rule.Per)
			if one.idle(now) {
				s.groups -= len(one.window.ring) + len(one.mirror.debt.ring)
				delete(s.cells, key)
			}
			if one.window.n == 0 {
				continue
			}
			use := Use{Rule: one.rule, Who: one.who, Key: key, Used: one.window.total, Limit: place.share(one.rule), Refused: one.refused}
			if used := one.mirror.fresh(now, one.rule.Per); used > 0 {
				use.Used, use.Limit = max(used, use.Used), one.rule.Requests
			}
			out = append(out, use)
		}
		s.mu.Unlock()
		out = mostUsed(out, n)
	}
	return out
}

// mostUsed keeps the n uses that are the greatest parts of their limits.
func mostUsed(all []Use, n int) []Use {
	slices.SortFunc(all, func(a, b Use) int {
		// a.Used/a.Limit > b.Used/b.Limit, without fractions.
		left, right := a.Used*b.Limit, b.Used*a.Limit
		switch {
		case left > right:
			return -1
		case left < right:
			return 1
		}
		return strings.Compare(string(a.Key[:]), string(b.Key[:]))
	})
	return all[:min(n, len(all))]
}
