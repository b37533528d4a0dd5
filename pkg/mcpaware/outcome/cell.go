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

// Confirmed stands among the failed principals of a Count where no second caller is
// needed: the same call succeeded in another region, so that its arguments were
// not the reason.
const Confirmed = ^uint64(0)

// Tally is what is known of one tool in one region, over all its endpoints and all
// processors whose counts were merged. Tools that do not fail have none.
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
	if c.row > 0 && c.rowSince >= from && at-c.lastFailure <= failureMemory {
		t.Row, t.RowFor = c.row, at-c.rowSince
	}
	t.Failed, t.Answered = c.counts.sum(at, from)
	t.Confirmed = at-c.confirmed <= failureMemory && c.confirmed >= from && c.confirmed > 0 || s.confirms(&c.callers, at)
	return t
}

type cellKey struct{ tool, region string }

// cell is the recent past of a tool in a region, from its first failure on.
type cell struct {
	callers callers

	mu     sync.Mutex
	counts buckets
	row    uint32
	// rowSince is when the row began.
	rowSince, lastFailure time.Duration
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
		found.fail(1, at)
		return
	}
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

func (c *cell) fail(n uint32, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.row == 0 || at-c.lastFailure > failureMemory {
		c.row, c.rowSince = 0, at
	}
	c.row += n
	c.lastFailure = at
	c.counts.add(at, 0, n)
}

func (c *cell) confirm(at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.confirmed = at
}

func (c *cell) answer(n uint32, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row = 0
	c.counts.add(at, n, 0)
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
		found.confirm(at)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = at
	if counted := e.tool(toolKey{method: c.Method, tool: c.Tool}, at, true); counted != nil {
		counted.pending.confirmed = true
	}
}
