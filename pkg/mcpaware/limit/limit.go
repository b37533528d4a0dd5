package limit

import (
	"encoding/hex"
	"time"
)

// Rule is one rate limit. It is immutable.
type Rule struct {
	// ID says where the rule is written, such as "shopmax tools[0].rateLimits[1]".
	ID string
	// Requests that are admitted in any window of the length Per; at least 1.
	Requests int64
	Per      time.Duration
	// Shadow counts, and refuses nothing.
	Shadow bool
	// Instances is the number of processors that share the rule, for as long as a processor does
	// not know better; below 1 counts as 1.
	Instances int
}

// Key names what is counted together: a hash over the rule and the values that it counts by.
type Key [16]byte

func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Who says for people what a Key stands for. Names are empty and hashes 0 where the rule does
// not count by them.
type Who struct {
	Server, Tool                 string
	Principal, Session, Argument uint64
}

// Charge is what one message takes of one rule.
type Charge struct {
	Rule *Rule
	Key  Key
	// Units are taken, or all that the limit has where they are more; at least 1.
	Units int64
	Who   Who
}

// Result is what became of one Charge.
type Result struct {
	// Limit is what is admitted in a window: the rule's, or this processor's share of it.
	Limit int64
	// Used is how much of it is taken, this charge included where the message was admitted.
	Used int64
	// Over: the charge found no room. A message with such a charge is refused, unless the
	// rule is a shadow.
	Over bool
	// RetryAfter is when there will be room, if nobody else takes it; 0 unless Over.
	RetryAfter time.Duration
}

// Engine counts. All implementations are safe for concurrent use.
type Engine interface {
	// Take charges a message for all its rules, or for none of them: admitted is false where
	// a rule that is no shadow has no room. The keys of charges differ; results has their number, and is
	// filled in either case. Take blocks for a few milliseconds at most, and does not keep what it is given.
	Take(charges []Charge, results []Result) (admitted bool)
	// Top gives the keys that have used the greatest part of their limits, at most n, the
	// greatest first.
	Top(n int) []Use
}

// Use is how much of a limit one key has used.
type Use struct {
	Rule *Rule
	Who  Who
	Key  Key
	// Used of Limit in the window that ends now.
	Used, Limit int64
	// Refused is how many messages found no room since the key was last unused.
	Refused uint64
}

// Place is a processor's place among those that share limits.
type Place struct {
	// Rank is the index of this processor, 0 to Of-1; -1 where it is not known.
	Rank int
	// Of is the number of processors; 0 where it is not known.
	Of int
}

// share is what this processor admits of a limit by itself. The shares of all add up to
// the limit, but everybody has one at least.
func (p Place) share(r *Rule) int64 {
	of := p.of(r)
	if p.Of < 1 {
		p.Rank = -1
	}
	own := r.Requests / of
	if p.Rank >= 0 && int64(p.Rank) < r.Requests%of {
		own++
	}
	return max(own, 1)
}

// of is among how many a limit is divided.
func (p Place) of(r *Rule) int64 {
	if p.Of < 1 {
		return int64(max(r.Instances, 1))
	}
	return int64(p.Of)
}
