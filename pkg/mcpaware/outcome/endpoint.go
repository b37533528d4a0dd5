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
	// row is the number of failures since the last other answer.
	row               int
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
	// pending is what Drain has not handed out yet.
	pending pending
}

// buckets are counts, a bucket a second.
type buckets [windowBuckets]struct {
	second           int64
	failed, answered uint32
}

// count adds an answer and returns where; nil where it is not counted.
func (e *endpoint) count(key toolKey, at time.Duration, class Class) *counts {
	// A tool known only from refusals may be an invention of the caller.
	c := e.tool(key, at, class != Refused)
	if c == nil {
		return nil
	}
	switch class {
	case Failed:
		c.exceed(1)
		c.add(at, 0, 1)
	case Succeeded, Refused:
		c.exceed(-1)
		c.add(at, 1, 0)
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
		if failed, answered := c.sum(at, 0); failed+answered == 0 {
			delete(e.tools, key)
		}
	}
	return len(e.tools) < maxTools
}

func (c *counts) exceed(by int64) { c.excess = max(0, min(c.excess+by, 2*halfRow)) }

func (c *buckets) add(at time.Duration, answered, failed uint32) {
	second := int64(at / bucketSpan)
	b := &c[second%windowBuckets]
	if b.second != second {
		b.second, b.failed, b.answered = second, 0, 0
	}
	b.failed += failed
	b.answered += answered
}

// sum adds up the last ten seconds; what is older than from is left out.
func (c *buckets) sum(at, from time.Duration) (failed, answered uint32) {
	oldest := max(int64(at/bucketSpan)-windowBuckets+1, int64(from/bucketSpan))
	for i := range c {
		if b := &c[i]; b.second >= oldest {
			failed += b.failed
			answered += b.answered
		}
	}
	return failed, answered
}

// condemn notes that the endpoint is called failed.
func (e *endpoint) condemn(at time.Duration) {
	if e.lastly == 0 || at-e.lastly > windowSpan {
		e.condemned = at
	}
	e.lastly = at
}

// leftToEnvoy says that the endpoint is called failed, and for less than handOver.
func (e *endpoint) leftToEnvoy(at time.Duration) bool {
	return e.lastly > 0 && at-e.lastly <= windowSpan && at-e.condemned < handOver
}

func (e *endpoint) failed(at time.Duration) bool {
	if e.row >= loneToolRow && e.server.atMostOne(at) {
		return true
	}
	var total, totalFailed uint32
	var failing, hopeless, called, exceeding int
	for key, c := range e.tools {
		failed, answered := c.sum(at, 0)
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
