package outcome

import (
	"sync"
	"time"
)

// endpoint is the recent past of one endpoint.
type endpoint struct {
	server *server
	region string

	mu    sync.Mutex
	tools map[toolKey]*counts
	// row are the failures since the last other answer.
	row               failures
	lastFailure, seen time.Duration
	// failing are the callers that failed here.
	failing callers
	// condemned is when it began to be called failed, lastly when it was so last.
	condemned, lastly time.Duration
}

// counts of one tool.
type counts struct {
	buckets
	// excess of failures over answers of late, 0 to twice halfRow: a row that an answer
	// shortens rather than ends, since others' counts come in out of order.
	excess int64
	// failing is the caller of the last failure.
	failing uint64
	// pending is what Drain has not handed out yet.
	pending pending
}

// buckets are counts, a bucket a second.
type buckets [windowBuckets]struct {
	second   int64
	failed   failures
	answered uint32
	// witnessed are failures of calls that succeeded elsewhere.
	witnessed uint32
}

// totals of several buckets.
type totals struct {
	failed              failures
	answered, witnessed uint32
}

// count adds an answer and returns where; nil where it is not counted.
func (e *endpoint) count(key toolKey, at time.Duration, principal uint64, class Class) *counts {
	// A tool known only from refusals may be an invention of the caller.
	c := e.tool(key, at, class != Refused)
	if c == nil {
		return nil
	}
	switch class {
	case Failed:
		if principal != c.failing || e.server.onlyCaller(at) {
			c.exceed(1)
		}
		c.failing = principal
		c.add(at, 0, failuresOf(principal, 1))
	case Succeeded, Refused:
		c.exceed(-1)
		c.add(at, 1, failures{})
	case Unrelated, Busy:
	}
	return c
}

// tool finds the counts of a tool; create makes them where there are none.
func (e *endpoint) tool(key toolKey, at time.Duration, create bool) *counts {
	c := e.tools[key]
	if c != nil || !create {
		return c
	}
	if len(e.tools) >= maxTools && !e.forgetQuiet(at) {
		key = otherTools
		c = e.tools[key]
	}
	if c == nil {
		c = &counts{}
		e.tools[key] = c
	}
	return c
}

// forgetQuiet drops tools without an answer in the window and reports whether
// that made room.
func (e *endpoint) forgetQuiet(at time.Duration) bool {
	for key, c := range e.tools {
		if t := c.sum(at, 0); t.failed.n+t.answered == 0 {
			delete(e.tools, key)
		}
	}
	return len(e.tools) < maxTools
}

func (c *counts) exceed(by int64) { c.excess = max(0, min(c.excess+by, 2*halfRow)) }

func (c *buckets) add(at time.Duration, answered uint32, failed failures) {
	b := c.at(at)
	c[b].failed.add(failed)
	c[b].answered += answered
}

// at is the index of the current bucket, emptied of what was there ten seconds ago.
func (c *buckets) at(at time.Duration) int {
	second := int64(at / bucketSpan)
	i := int(second % windowBuckets)
	if c[i].second != second {
		c[i].second, c[i].failed, c[i].answered, c[i].witnessed = second, failures{}, 0, 0
	}
	return i
}

// sum adds up the last ten seconds; what is older than from is left out.
func (c *buckets) sum(at, from time.Duration) (t totals) {
	oldest := max(int64(at/bucketSpan)-windowBuckets+1, int64(from/bucketSpan))
	for i := range c {
		if b := &c[i]; b.second >= oldest {
			t.failed.add(b.failed)
			t.answered += b.answered
			t.witnessed += b.witnessed
		}
	}
	return t
}

// condemn notes that the endpoint is called failed.
func (e *endpoint) condemn(at time.Duration) {
	if e.lastly == 0 || at-e.lastly > windowSpan {
		e.condemned = at
	}
	e.lastly = at
}

// confirmed says that several callers have failed in this row, none of them all alone.
func (e *endpoint) confirmed(at time.Duration) bool {
	return e.server.onlyCaller(at) || e.server.confirms(&e.failing, at) && e.row.shared(0) >= failingTools*failuresPerTool
}

// leftToEnvoy says that the endpoint is called failed, and for less than handOver.
func (e *endpoint) leftToEnvoy(at time.Duration) bool {
	return e.lastly > 0 && at-e.lastly <= windowSpan && at-e.condemned < handOver
}

// speakFor is how many of some failures count against the endpoint.
func (e *endpoint) speakFor(f failures, alone bool) uint32 {
	if alone {
		return f.n
	}
	return f.shared(0)
}

func (e *endpoint) failed(at time.Duration) bool {
	alone := e.server.onlyCaller(at)
	if e.speakFor(e.row, alone) >= loneToolRow && e.server.atMostOne(at) {
		return true
	}
	var total, totalFailed uint32
	var failing, hopeless, called, exceeding int
	for key, c := range e.tools {
		t := c.sum(at, 0)
		failed, answered := e.speakFor(t.failed, alone), t.answered
		total += failed + answered
		totalFailed += failed
		if key.tool != "" && failed+answered > 0 {
			called++
			if c.excess >= halfRow && failed > 0 {
				exceeding++
			}
		}
		if failed >= failuresPerTool {
			failing++
			if answered == 0 {
				hopeless++
			}
		}
	}
	return hopeless >= failingTools || (exceeding >= failingTools && exceeding*2 >= called) ||
		(failing >= failingTools && total >= broadMinAnswers && totalFailed*100 >= total*broadFailPercent)
}
