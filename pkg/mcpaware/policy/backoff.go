package policy

import (
	"math/rand/v2"
	"time"
)

const (
	backoffBase = 100 * time.Millisecond
	backoffMax  = 5 * time.Second
)

// backoff gives pauses between attempts to connect: doubling from backoffBase to
// backoffMax, each shortened by a random half at most, so that processors do not
// come back all at once. The zero value is ready.
type backoff struct{ attempt int }

func (b *backoff) next() time.Duration {
	d := min(backoffBase<<min(b.attempt, 10), backoffMax)
	b.attempt++
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreading load needs no secrecy
}

func (b *backoff) reset() { b.attempt = 0 }
