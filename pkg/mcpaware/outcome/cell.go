package outcome

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// failureMemory is how long a failure of a tool is remembered: its place in a row
// of failures, and who made the call.
const failureMemory = time.Minute

// Tally is what is known of one tool in one region, over all its endpoints and all
// processors whose counts were merged. Tools that do not fail have none.
//
// Where the server has several callers, one caller's failures count no more than those of all others together, unless
// the same calls succeeded in another region and nobody else is answered in this one.
type Tally struct {
	// Failed and Answered in the last ten seconds.
	Failed, Answered uint32
	// Row is the number of failures since the last answer, none of them more than a
	// minute after the one before.
	Row uint32
	// RowFor is the time since the first of them.
	RowFor time.Duration
	// Confirmed: the failures are not those of one caller alone while there are others.
	Confirmed bool
}

// Tool returns the Tally of a tool in a region. Failures and answers before since
// are left out, to the second.
func (w *Window) Tool(server, tool, region string, since time.Time) Tally {
	w.mu.RLock()
	s := w.servers[server]
	w.mu.RUnlock()
	if s == nil {
		return Tally{}
	}
	s.cellsMu.RLock()
	c := s.cells[cellKey{tool, region}]
	s.cellsMu.RUnlock()
	if c == nil {
		return Tally{}
	}
	at := w.clock()
	var from time.Duration
	if !since.IsZero() {
		from = since.Sub(w.epoch) + windowSpan
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var t Tally
	sum, row := c.counts.sum(at, from), c.row
	if alone := s.onlyCaller(at); alone {
		t.Failed = sum.failed.n
	} else {
		excused, rowExcused := sum.witnessed, c.rowWitnessed
		if c.answering.anotherSince(sum.failed.lead.principal, max(c.began, at-windowSpan)) {
			excused, rowExcused = 0, 0
		}
		t.Failed, row.n = sum.failed.shared(excused), row.shared(rowExcused)
	}
	t.Answered = sum.answered
	if row.n > 0 && c.rowSince >= from && at-c.lastFailure <= failureMemory {
		t.Row, t.RowFor = row.n, at-c.rowSince
	}
	t.Confirmed = at-c.confirmed <= failureMemory && c.confirmed >= from && c.confirmed > 0 || s.confirms(&c.callers, at)
	return t
}

type cellKey struct{ tool, region string }

// cell is the recent past of a tool in a region, from its first failure on.
type cell struct {
	// callers are those that failed, answering those that were answered since.
	callers, answering callers

	mu     sync.Mutex
	counts buckets
	row    failures
	// rowWitnessed are those of the row that succeeded elsewhere.
	rowWitnessed uint32
	// rowSince is when the row began, began when failures did, after ten seconds without any.
	rowSince, began, lastFailure time.Duration
	// confirmed is when another region last did what failed here.
	confirmed time.Duration
}

// countTool counts an answer of a tool for its region. Tools that have not failed
// of late have no cell and cost nothing here.
func (s *server) countTool(c *Call, class Class, at time.Duration) {
	if class != Failed && s.failing.Load() == 0 || class == Busy {
		return
	}
	found := s.cell(cellKey{c.Tool, c.Region}, class == Failed, at)
	if found == nil {
		return
	}
	if class == Failed {
		found.callers.see(c.Principal, at)
		found.fail(failuresOf(c.Principal, 1), at)
		return
	}
	found.answering.see(c.Principal, at)
	found.answer(1, at)
}

// cell finds a cell; create makes it where there is none.
func (s *server) cell(key cellKey, create bool, at time.Duration) *cell {
	s.cellsMu.RLock()
	found := s.cells[key]
	s.cellsMu.RUnlock()
	if found != nil || !create {
		return found
	}
	s.cellsMu.Lock()
	defer s.cellsMu.Unlock()
	if found := s.cells[key]; found != nil {
		return found
	}
	if len(s.cells) >= maxCells {
		s.makeRoom(at)
	}
	found = &cell{}
	s.cells[key] = found
	s.failing.Store(int32(len(s.cells))) //nolint:gosec // at most maxCells
	return found
}

// makeRoom drops tools that have not failed for a while and, where that is not enough, the eighth that has not
// for longest: where callers make up names, a tool that keeps failing stays. cellsMu is held.
func (s *server) makeRoom(at time.Duration) {
	last := make(map[cellKey]time.Duration, len(s.cells))
	for key, c := range s.cells {
		c.mu.Lock()
		last[key] = max(c.lastFailure, c.confirmed)
		c.mu.Unlock()
	}
	oldest := slices.SortedFunc(maps.Keys(last), func(a, b cellKey) int { return cmp.Compare(last[a], last[b]) })
	for i, key := range oldest {
		if at-last[key] <= failureMemory && len(oldest)-i <= maxCells*7/8 {
			break
		}
		delete(s.cells, key)
	}
	s.failing.Store(int32(len(s.cells))) //nolint:gosec // at most maxCells
}

func (c *cell) fail(f failures, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.row.n == 0 || at-c.lastFailure > failureMemory {
		c.row, c.rowWitnessed, c.rowSince = failures{}, 0, at
	}
	if c.lastFailure == 0 || at-c.lastFailure > windowSpan {
		c.began = at
	}
	c.row.add(f)
	c.lastFailure = at
	c.counts.add(at, 0, f)
}

func (c *cell) confirm(n uint32, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.confirmed = at
	c.rowWitnessed = min(c.rowWitnessed+n, c.row.n)
	c.counts[c.counts.at(at)].witnessed += n
}

func (c *cell) answer(n uint32, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row, c.rowWitnessed = failures{}, 0
	c.counts.add(at, n, failures{})
}

// Confirm says that another region has just done what a tool failed to do at an
// endpoint, with the same arguments: the fault is not the caller's.
func (w *Window) Confirm(c Call) {
	if c.Server == "" || c.Endpoint == "" || c.Tool == "" {
		return
	}
	at := w.clock()
	e := w.endpoint(endpointKey{c.Server, c.Endpoint}, c.Region)
	if found := e.server.cell(cellKey{c.Tool, c.Region}, true, at); found != nil {
		found.confirm(1, at)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = at
	if counted := e.tool(toolKey{method: c.Method, tool: c.Tool}, at, true); counted != nil {
		counted.pending.confirmed++
	}
}
