package admit

import (
	"fmt"
	"time"
)

// Priorities of calls.
const (
	// MaxPriority is the highest; its calls are refused last.
	MaxPriority = 9
	// DefaultPriority is that of calls nobody gave one.
	DefaultPriority = 5
)

// Limit bounds the calls under way at a time. The zero Limit bounds nothing.
type Limit struct {
	// Concurrent is the number of calls under way, 0 for any number.
	Concurrent int
	// Queue is the number of calls that wait; 0 for none.
	Queue int
	// MaxWait is how long one call waits at most.
	MaxWait time.Duration
}

// Share is the part of a limit that one of n processors keeps: the limit divided by n,
// rounded up, at least 1. All of them together allow at most n-1 calls more than the
// limit says. n below 1 counts as 1.
func (l Limit) Share(n int) Limit {
	if n > 1 && l.Concurrent > 0 {
		l.Concurrent = (l.Concurrent + n - 1) / n
		l.Queue = (l.Queue + n - 1) / n
	}
	return l
}

// Rule names a tool rule of a route; the zero Rule stands for requests without one.
type Rule struct{ Policy, ID string }

// Call is what a Gate is asked to let through.
type Call struct {
	Server      string
	ServerLimit Limit
	Rule        Rule
	RuleLimit   Limit
	// Priority is 0 to MaxPriority.
	Priority int
	// Cost is what refusing the call costs; among calls of one priority the cheapest
	// are given up first.
	Cost int
	// Timeout bounds waiting and work together; 0 for no bound.
	Timeout time.Duration
}

// Reason is why a call is refused.
type Reason int

const (
	// QueueFull: the queue had no place, and nothing of less worth in it.
	QueueFull Reason = iota + 1
	// TooLate: the call would have waited, or has waited, longer than it may.
	TooLate
	// Shed: a call of more worth took its place in the queue.
	Shed
	// Overloaded: the processor itself is too busy for calls of this priority.
	Overloaded
)

func (r Reason) String() string {
	switch r {
	case QueueFull:
		return "queue full"
	case TooLate:
		return "too late"
	case Shed:
		return "shed"
	case Overloaded:
		return "overloaded"
	}
	return fmt.Sprintf("Reason(%d)", int(r))
}

// Refusal says that a call does not go to its server. It is an error.
type Refusal struct {
	Reason Reason
	// OfRule: the limit of the tool rule decided, not that of the server.
	OfRule bool
	// Limit that decided: what this processor allows at a time; 0 where none did.
	Limit int
	// RetryAfter is when there is likely to be room.
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return "not admitted: " + r.Reason.String() }
