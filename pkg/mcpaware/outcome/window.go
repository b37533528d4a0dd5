package outcome

import (
	"sync"
	"time"
)

// What makes an endpoint failed. All counts are of the last windowSpan.
const (
	// Two tools or more that fail, three times each, and never succeed…
	failingTools    = 2
	failuresPerTool = 3
	// …or that fail as often and succeed in between, when a fifth of at least
	// twenty answers are failures: the share that Envoy's failure percentage acts on.
	broadMinAnswers  = 20
	broadFailPercent = 20
	// A server that has shown one tool only: five failures, and nothing else, in a row.
	loneToolRow = 5
)

const (
	windowBuckets = 10
	bucketSpan    = time.Second
	windowSpan    = windowBuckets * bucketSpan
	// toolMemory is how long a server is known to have a tool.
	toolMemory = 10 * time.Minute
)

// Bounds: tool names come from callers.
const (
	maxEndpoints = 4096
	maxTools     = 128
)

// Call names what an answer was given to.
type Call struct {
	// Server and Endpoint (its address) that answered.
	Server, Endpoint string
	// Method, and Tool where it is tools/call. Every other method counts as a tool
	// of its own.
	Method, Tool string
	// Alone: the server has no other endpoint, so that this one is better than none
	// whatever its tools do.
	Alone bool
}

// Window counts the answers of endpoints over the last ten seconds. It is safe
// for concurrent use and allocates nothing for tools it knows.
type Window struct {
	now   func() time.Time
	epoch time.Time

	mu        sync.RWMutex
	endpoints map[endpointKey]*endpoint
	servers   map[string]*shownTools
}

type endpointKey struct{ server, endpoint string }

type toolKey struct{ method, tool string }

// otherTools is the key of all tools beyond the bound.
var otherTools = toolKey{method: "other"}

// NewWindow makes an empty window; now gives the time and defaults to time.Now.
func NewWindow(now func() time.Time) *Window {
	if now == nil {
		now = time.Now
	}
	return &Window{
		now: now, epoch: now(),
		endpoints: make(map[endpointKey]*endpoint), servers: make(map[string]*shownTools),
	}
}

// Observe counts an answer and says what it means for the endpoint: Good unless
// class is Failed, then ToolFailed or EndpointFailed. Unrelated counts nothing.
func (w *Window) Observe(c Call, class Class) Verdict {
	if class == Unrelated {
		return Good
	}
	// Bucket 0 stands for "never used".
	at := w.now().Sub(w.epoch) + windowSpan
	e := w.endpoint(endpointKey{c.Server, c.Endpoint})
	key := toolKey{method: c.Method, tool: c.Tool}
	if c.Tool != "" && class != Refused {
		e.shown.see(c.Tool, at)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = at
	if class != Failed {
		e.row = 0
		e.count(key, at, class)
		return Good
	}
	if at-e.lastFailure > windowSpan {
		e.row = 0
	}
	e.row++
	e.lastFailure = at
	e.count(key, at, class)
	if e.failed(at) && !c.Alone && e.shown.give(c.Endpoint, at) {
		return EndpointFailed
	}
	return ToolFailed
}

// give says whether a failing endpoint may be given to outlier detection: one of a
// server at a time. Were all of them ejected, tools that work everywhere would be
// gone with those that fail everywhere.
func (s *shownTools) give(endpoint string, at time.Duration) bool {
	s.givenMu.Lock()
	defer s.givenMu.Unlock()
	if s.given != endpoint && s.given != "" && at-s.givenAt <= windowSpan {
		return false
	}
	s.given, s.givenAt = endpoint, at
	return true
}

func (w *Window) endpoint(key endpointKey) *endpoint {
	w.mu.RLock()
	e := w.endpoints[key]
	w.mu.RUnlock()
	if e != nil {
		return e
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.endpoints[key]; e != nil {
		return e
	}
	if len(w.endpoints) >= maxEndpoints {
		w.evict()
	}
	shown := w.servers[key.server]
	if shown == nil {
		shown = &shownTools{}
		w.servers[key.server] = shown
	}
	e = &endpoint{tools: make(map[toolKey]*counts), shown: shown}
	w.endpoints[key] = e
	return e
}

// evict makes room by forgetting the endpoint that has been silent longest, and
// servers that no endpoint is left of.
func (w *Window) evict() {
	var oldest endpointKey
	var since time.Duration = -1
	for key, e := range w.endpoints {
		e.mu.Lock()
		seen := e.seen
		e.mu.Unlock()
		if since < 0 || seen < since {
			oldest, since = key, seen
		}
	}
	delete(w.endpoints, oldest)
	for key := range w.endpoints {
		if key.server == oldest.server {
			return
		}
	}
	delete(w.servers, oldest.server)
}

// endpoint is the recent past of one endpoint.
type endpoint struct {
	shown *shownTools

	mu    sync.Mutex
	tools map[toolKey]*counts
	// row is the number of failures since the last other answer.
	row               int
	lastFailure, seen time.Duration
}

// counts of one tool, a bucket a second.
type counts [windowBuckets]struct {
	second           int64
	failed, answered uint32
}

func (e *endpoint) count(key toolKey, at time.Duration, class Class) {
	c := e.tools[key]
	if c == nil {
		// A tool known only from refusals may be an invention of the caller.
		if class == Refused {
			return
		}
		if len(e.tools) >= maxTools && !e.forgetQuiet(at) {
			key = otherTools
			c = e.tools[key]
		}
		if c == nil {
			c = &counts{}
			e.tools[key] = c
		}
	}
	second := int64(at / bucketSpan)
	b := &c[second%windowBuckets]
	if b.second != second {
		b.second, b.failed, b.answered = second, 0, 0
	}
	if class == Failed {
		b.failed++
	} else {
		b.answered++
	}
}

// forgetQuiet drops tools without an answer in the window and reports whether
// that made room.
func (e *endpoint) forgetQuiet(at time.Duration) bool {
	for key, c := range e.tools {
		if failed, answered := c.sum(at); failed+answered == 0 {
			delete(e.tools, key)
		}
	}
	return len(e.tools) < maxTools
}

func (c *counts) sum(at time.Duration) (failed, answered uint32) {
	second := int64(at / bucketSpan)
	for i := range c {
		if b := &c[i]; b.second > second-windowBuckets {
			failed += b.failed
			answered += b.answered
		}
	}
	return failed, answered
}

func (e *endpoint) failed(at time.Duration) bool {
	if e.row >= loneToolRow && e.shown.atMostOne(at) {
		return true
	}
	var total, totalFailed uint32
	var failing, hopeless int
	for _, c := range e.tools {
		failed, answered := c.sum(at)
		total += failed + answered
		totalFailed += failed
		if failed >= failuresPerTool {
			failing++
			if answered == 0 {
				hopeless++
			}
		}
	}
	return hopeless >= failingTools ||
		(failing >= failingTools && total >= broadMinAnswers && totalFailed*100 >= total*broadFailPercent)
}

// shownTools remembers the last two tools of a server, enough to know whether it
// has more than one.
type shownTools struct {
	// given is the endpoint that was given to outlier detection last.
	givenMu sync.Mutex
	given   string
	givenAt time.Duration

	mu          sync.Mutex
	last, other string
	otherSeen   time.Duration
	lastSeen    time.Duration
}

func (s *shownTools) see(tool string, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tool != s.last {
		s.other, s.otherSeen = s.last, s.lastSeen
		s.last = tool
	}
	s.lastSeen = at
}

func (s *shownTools) atMostOne(at time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.other == "" || at-s.otherSeen > toolMemory
}
