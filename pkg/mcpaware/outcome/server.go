package outcome

import (
	"sync"
	"sync/atomic"
	"time"
)

// server is what the endpoints of one server have in common.
type server struct {
	callers callers

	// given is the endpoint that was given to outlier detection last.
	givenMu sync.Mutex
	given   string
	givenAt time.Duration

	// The last two tools, enough to know whether there is more than one.
	mu          sync.Mutex
	last, other string
	otherSeen   time.Duration
	lastSeen    time.Duration

	// failing is the number of cells: tools that work everywhere cost one look at it.
	failing atomic.Int32
	cellsMu sync.RWMutex
	cells   map[cellKey]*cell
}

// give says whether a failing endpoint may be given to outlier detection: one of a
// server at a time. Were all of them ejected, tools that work everywhere would be
// gone with those that fail everywhere.
func (s *server) give(endpoint string, at time.Duration) bool {
	s.givenMu.Lock()
	defer s.givenMu.Unlock()
	if s.given != endpoint && s.given != "" && at-s.givenAt <= windowSpan {
		return false
	}
	s.given, s.givenAt = endpoint, at
	return true
}

func (s *server) see(tool string, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tool != s.last {
		s.other, s.otherSeen = s.last, s.lastSeen
		s.last = tool
	}
	s.lastSeen = at
}

func (s *server) atMostOne(at time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.other == "" || at-s.otherSeen > toolMemory
}

// callerMemory is how long a caller counts as one of a server's.
const callerMemory = 10 * time.Minute

// onlyCaller says that the server has no second one.
func (s *server) onlyCaller(at time.Duration) bool { return !s.callers.several(at, callerMemory) }

// confirms says whether failures of these callers may speak for all callers: at
// least two have failed, or the server has no other.
func (s *server) confirms(failing *callers, at time.Duration) bool {
	return failing.several(at, failureMemory) || s.onlyCaller(at)
}

// callers remembers the last two, enough to know whether there is more than one.
type callers struct {
	mu                  sync.Mutex
	last, other         uint64
	lastSeen, otherSeen time.Duration
	hasLast, hasAnother bool
}

func (c *callers) see(principal uint64, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasLast || principal != c.last {
		c.other, c.otherSeen, c.hasAnother = c.last, c.lastSeen, c.hasLast
		c.last, c.hasLast = principal, true
	}
	c.lastSeen = at
}

// anotherSince says whether one but this was seen since a moment.
func (c *callers) anotherSince(principal uint64, since time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hasLast && c.last != principal && c.lastSeen >= since || c.hasAnother && c.other != principal && c.otherSeen >= since
}

// several says whether two were seen within memory.
func (c *callers) several(at, memory time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hasAnother && c.other != c.last && at-c.otherSeen <= memory && at-c.lastSeen <= memory
}
