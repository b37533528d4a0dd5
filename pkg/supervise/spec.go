package supervise

import (
	"fmt"
	"path/filepath"
	"regexp"
	"time"
)

// Restart says what happens when a child ends that nobody stopped.
type Restart int

const (
	// RestartNever leaves it dead until Child.Start.
	RestartNever Restart = iota
	// RestartAlways starts it again after a back-off.
	RestartAlways
)

// Spec is how one child is run.
type Spec struct {
	// Name of the child and of its log file: 1 to 64 of [a-z0-9-].
	Name string
	// Path of the program, and its arguments without argument zero.
	Path string
	Args []string
	// Env is the environment; nil: the supervisor's own.
	Env []string
	// Dir is the working folder; empty: the supervisor's own.
	Dir string
	// Ready probes must all pass before the child counts as started; none: it is
	// ready as soon as it runs.
	Ready []Probe
	// ReadyWithin bounds the time from start to ready. Default 15 s.
	ReadyWithin time.Duration
	// Grace between SIGTERM and SIGKILL. Default 5 s.
	Grace   time.Duration
	Restart Restart
	// MaxLogBytes is the size at which the log file is moved to <name>.log.1,
	// replacing an older one. Default 16 MiB.
	MaxLogBytes int64

	logPath string
}

const (
	defaultReadyWithin = 15 * time.Second
	defaultGrace       = 5 * time.Second
	defaultMaxLogBytes = 16 << 20
)

var childName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (s Spec) withDefaults(logDir string) (Spec, error) {
	if !childName.MatchString(s.Name) {
		return Spec{}, fmt.Errorf("%q is not a name for a child: 1 to 64 of a-z, 0-9 and -", s.Name)
	}
	if s.Path == "" {
		return Spec{}, fmt.Errorf("child %q has no program", s.Name)
	}
	if s.ReadyWithin <= 0 {
		s.ReadyWithin = defaultReadyWithin
	}
	if s.Grace <= 0 {
		s.Grace = defaultGrace
	}
	if s.MaxLogBytes <= 0 {
		s.MaxLogBytes = defaultMaxLogBytes
	}
	s.logPath = filepath.Join(logDir, s.Name+".log")
	return s, nil
}

// Backoff is the wait between the death of a child and its next start: Min,
// then twice as long after each death, up to Max.
type Backoff struct {
	// Min defaults to 500 ms.
	Min time.Duration
	// Max defaults to 15 s.
	Max time.Duration
	// Settled is how long a child must have been ready for the next wait to be
	// Min again. Default 30 s.
	Settled time.Duration
}

func (b Backoff) withDefaults() Backoff {
	if b.Min <= 0 {
		b.Min = 500 * time.Millisecond
	}
	if b.Max < b.Min {
		b.Max = max(15*time.Second, b.Min)
	}
	if b.Settled <= 0 {
		b.Settled = 30 * time.Second
	}
	return b
}

// wait before start number n after a death, counted from 0.
func (b Backoff) wait(n int) time.Duration {
	d := b.Min
	for range n {
		if d >= b.Max/2 {
			return b.Max
		}
		d *= 2
	}
	return d
}
