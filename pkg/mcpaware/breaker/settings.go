package breaker

import (
	"fmt"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
)

// Defaults of Settings; pkg/config fills the same ones in.
const (
	DefaultFailures   = 10
	DefaultOpenFor    = 5 * time.Second
	DefaultMaxOpenFor = time.Minute
)

const (
	// passesToClose are the good trials in a row that close a breaker.
	passesToClose = 3
	// steady is how long a breaker has to stay closed to count as well again.
	steady = 2 * time.Minute
	// rare is how long half a row takes of a tool that is called rarely.
	rare = 10 * time.Second
	// jitter is the share by which back-offs differ from their mean, so that
	// breakers which opened together do not try together.
	jitter = 0.2
)

// Settings of the breakers of one server.
type Settings struct {
	// Disabled: its breakers never open.
	Disabled bool
	// Failures in a row that open a breaker, and by how many failures must outnumber
	// answers in ten seconds; at least 2. 0: DefaultFailures.
	Failures uint32
	// OpenFor is how long a breaker stays open the first time. 0: DefaultOpenFor.
	OpenFor time.Duration
	// MaxOpenFor bounds the time, which doubles with every opening. 0: DefaultMaxOpenFor.
	MaxOpenFor time.Duration
}

func (s Settings) failures() uint32 {
	if s.Failures == 0 {
		return DefaultFailures
	}
	return s.Failures
}

// broken says whether a tally opens a breaker, and why.
func (s Settings) broken(t outcome.Tally) (reason string, broken bool) {
	if !t.Confirmed {
		return "", false
	}
	row := s.failures()
	if t.RowFor >= rare {
		// Rarely called: half as many will do, or it would take minutes.
		row = (row + 1) / 2
	}
	switch {
	case t.Row >= row:
		return fmt.Sprintf("%d calls in a row failed", t.Row), true
	case t.Failed >= t.Answered+s.failures():
		return fmt.Sprintf("%d of %d calls failed in 10 s", t.Failed, t.Failed+t.Answered), true
	}
	return "", false
}

// backOff is how long the nth opening lasts; random is of [0, 1).
func (s Settings) backOff(openings uint32, random float64) time.Duration {
	base, most := s.OpenFor, s.MaxOpenFor
	if base <= 0 {
		base = DefaultOpenFor
	}
	if most <= 0 {
		most = max(DefaultMaxOpenFor, base)
	}
	wait := base
	for n := uint32(1); n < openings && wait < most; n++ {
		wait *= 2
	}
	wait = min(wait, most)
	return time.Duration(float64(wait) * (1 - jitter + 2*jitter*random))
}
