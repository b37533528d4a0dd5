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
	// …or that fail five times more than they succeed, where they are half of the tools
	// that are called…
	halfRow = 5
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
	// maxCells bounds the tools of a server, region by region, that have failed of late.
	maxCells = 1024
)

// Call names what an answer was given to.
type Call struct {
	// Server and Endpoint (its address) that answered, and the region it stands in.
	Server, Endpoint, Region string
	// Method, and Tool where it is tools/call. Every other method counts as a tool
	// of its own.
	Method, Tool string
	// Principal is the caller's hash, see package principal; 0 is a caller like any other.
	Principal uint64
	// Took is the time to the first whole message, or until the try was given up.
	Took time.Duration
	// Alone: the server has no other endpoint, so that this one is better than none
	// whatever its tools do.
	Alone bool
}

// Window counts the answers of endpoints over the last ten seconds, those of this
// processor and, by Merge, those that others saw. It is safe for concurrent use
// and allocates nothing for tools it knows.
type Window struct {
	now   func() time.Time
	epoch time.Time

	mu        sync.RWMutex
	endpoints map[endpointKey]*endpoint
	servers   map[string]*server
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
		endpoints: make(map[endpointKey]*endpoint), servers: make(map[string]*server),
	}
}

// Observe counts an answer and says what it means for the endpoint: Good unless
// class is Failed, then ToolFailed or EndpointFailed, or Busy. Unrelated counts nothing.
func (w *Window) Observe(c Call, class Class) Verdict {
	if class == Unrelated {
		return Good
	}
	e, at := w.record(&c, class)
	switch {
	case class == Busy:
		return TooBusy
	case class != Failed:
		return Good
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failed(at) && !c.Alone && e.server.confirms(&e.failing, at) && e.server.give(c.Endpoint, at) {
		e.condemn(at)
		return EndpointFailed
	}
	return ToolFailed
}

// ObserveBroken counts a failure that the endpoint's own HTTP status tells. It is
// EndpointFailed, unless one caller alone, or nearly alone, gets such answers while the server has others.
func (w *Window) ObserveBroken(c Call) Verdict {
	e, at := w.record(&c, Failed)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.confirmed(at) {
		e.condemn(at)
		return EndpointFailed
	}
	return ToolFailed
}

// handOver is how long Envoy is given to eject an endpoint that is called failed.
const handOver = 10 * time.Second

// LeftToEnvoy says that an endpoint is called failed, and Envoy still has time to eject
// it. Where it has not in ten seconds, too little of what the endpoint does fails for that, and
// its broken tools have to be kept away from it one by one.
func (w *Window) LeftToEnvoy(c Call) bool {
	at := w.clock()
	e := w.endpoint(endpointKey{c.Server, c.Endpoint}, c.Region)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leftToEnvoy(at)
}

// Anticipates says that a retry which leaves one endpoint of a server for another does what Envoy is about to do
// with all of the first one's calls: that one is left to Envoy, as LeftToEnvoy has it, and the other does
// not fail as well. Endpoints that are not known fail nothing.
func (w *Window) Anticipates(server, from, to string) bool {
	w.mu.RLock()
	left, taken := w.endpoints[endpointKey{server, from}], w.endpoints[endpointKey{server, to}]
	w.mu.RUnlock()
	if left == nil || from == to {
		return false
	}
	at := w.clock()
	left.mu.Lock()
	leaving := left.leftToEnvoy(at)
	left.mu.Unlock()
	if !leaving || taken == nil {
		return leaving
	}
	taken.mu.Lock()
	defer taken.mu.Unlock()
	return !taken.failed(at)
}

// record counts an answer where the verdicts on the endpoint, and on the tool in
// its region, look for it.
func (w *Window) record(c *Call, class Class) (*endpoint, time.Duration) {
	at := w.clock()
	e := w.endpoint(endpointKey{c.Server, c.Endpoint}, c.Region)
	if c.Tool != "" && class != Refused {
		e.server.see(c.Tool, at)
	}
	e.server.callers.see(c.Principal, at)
	if c.Tool != "" {
		e.server.countTool(c, class, at)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = at
	switch class {
	case Failed:
		if at-e.lastFailure > windowSpan {
			e.row = failures{}
		}
		e.row.add(failuresOf(c.Principal, 1))
		e.lastFailure = at
		e.failing.see(c.Principal, at)
	case Succeeded, Refused:
		e.row = failures{}
	case Unrelated, Busy:
	}
	if counted := e.count(toolKey{method: c.Method, tool: c.Tool}, at, c.Principal, class); counted != nil {
		counted.pending.add(c, class)
	}
	return e, at
}

// clock is the time since the Window was made, never within windowSpan of zero:
// bucket 0 stands for "never used".
func (w *Window) clock() time.Duration { return w.now().Sub(w.epoch) + windowSpan }

func (w *Window) endpoint(key endpointKey, region string) *endpoint {
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
	of := w.servers[key.server]
	if of == nil {
		of = &server{cells: make(map[cellKey]*cell)}
		w.servers[key.server] = of
	}
	e = &endpoint{region: region, tools: make(map[toolKey]*counts), server: of}
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
