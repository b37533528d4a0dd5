package admit

import (
	"context"
	"sync/atomic"
	"time"
)

// The processor's own pressure is read from how late a goroutine of it wakes up: that is
// the time which every message waits for a processor core, here or in the
// operating system. As in CoDel (RFC 8289) the least delay of a window counts, so that one
// late wake-up, or a busy moment, says nothing.
const (
	// PressureTick is how often the goroutine sleeps.
	PressureTick = 10 * time.Millisecond
	// PressureWindow is how long it has to be late every time.
	PressureWindow = 500 * time.Millisecond
	// PressureTarget is how late. A call takes four wake-ups of a processor and more, and
	// Envoy gives up after 500 ms of silence.
	PressureTarget = 40 * time.Millisecond
)

// Pressure says which priorities a busy processor gives up: those below its level.
// Each window in which every wake-up was later than PressureTarget raises the level by
// one, up to MaxPriority, and each other window lowers it. So calls of the highest
// priority are never given up, and those of DefaultPriority after three seconds.
// The zero Pressure gives up nothing; it is safe for concurrent use.
type Pressure struct {
	level atomic.Int32

	// window and least belong to Run.
	window time.Time
	least  time.Duration
}

// Level is the lowest priority that is still served.
func (p *Pressure) Level() int { return int(p.level.Load()) }

// Sheds says that calls of a priority are given up for now.
func (p *Pressure) Sheds(priority int) bool { return priority < p.Level() }

// Refusal is for a call that the processor gives up.
func (p *Pressure) Refusal() *Refusal {
	return &Refusal{Reason: Overloaded, RetryAfter: time.Duration(1+p.Level()) * PressureWindow}
}

// Run measures until ctx ends. It is to be called once.
func (p *Pressure) Run(ctx context.Context) {
	timer := time.NewTimer(PressureTick)
	defer timer.Stop()
	due := time.Now().Add(PressureTick)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		p.Observe(now, now.Sub(due))
		due = now.Add(PressureTick)
		timer.Reset(PressureTick)
	}
}

// Observe takes one delay; now must not go back. Run calls it, and nobody beside it may.
func (p *Pressure) Observe(now time.Time, late time.Duration) {
	if p.window.IsZero() {
		p.window, p.least = now, late
		return
	}
	p.least = min(p.least, late)
	if now.Sub(p.window) < PressureWindow {
		return
	}
	level := p.level.Load()
	if p.least > PressureTarget {
		level = min(level+1, MaxPriority)
	} else {
		level = max(level-1, 0)
	}
	p.level.Store(level)
	p.window, p.least = now, PressureWindow
}
