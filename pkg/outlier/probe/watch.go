package probe

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Standing is what is known of one layer of an endpoint.
type Standing struct {
	Layer Layer
	// Outcome after as many probes in a row as the layer's thresholds ask for.
	Outcome Outcome
	// Since is when the first of the probes began that led to the outcome; zero before there is one.
	Since time.Time
	// Confirmed is when the last of them ended.
	Confirmed time.Time
	// Last is the newest probe's result; its zero value before there is one.
	Last Result
	// row is how many of the last probes had the same outcome, which began at rowSince.
	row      int
	rowSince time.Time
}

// take counts one more result. An outcome that a layer has not had before counts at once, where it is
// good: nothing has to be made good again.
func (s *Standing) take(r Result, pace Threshold) {
	if r.Outcome != s.Last.Outcome || s.row == 0 {
		s.row, s.rowSince = 0, r.Began
	}
	s.row++
	s.Last = r
	needed := pace.Failures
	switch {
	case r.Outcome == Good && s.Outcome == Unknown, r.Outcome == Unknown:
		needed = 1
	case r.Outcome == Good:
		needed = pace.Successes
	}
	if s.Outcome != r.Outcome && s.row >= needed {
		s.Outcome, s.Since, s.Confirmed = r.Outcome, s.rowSince, r.Began.Add(r.Took)
	}
}

// Threshold is how many probes in a row make an outcome.
type Threshold struct{ Failures, Successes int }

// WatchOptions of a Watch. Target and Look are required.
type WatchOptions struct {
	Target Target
	// Look makes one probe; see Prober.Probe. It is called by one goroutine.
	Look func(context.Context, Layer) Result
	// Told is called after each probe with all layers that are looked at, from the lowest to the highest. The
	// slice is the callee's own.
	Told func([]Standing)
	// Slots bounds how many probes are under way over all Watches; nil does not.
	Slots chan struct{}
	// Delay before the first probe.
	Delay time.Duration
	// Random gives numbers from 0 to 1 for the jitter; nil: math/rand's.
	Random func() float64
}

// jitter is the part of an interval by which probes come earlier at most, so that endpoints that were
// configured together are not looked at together for ever.
const jitter = 0.1

// justNow is how long a good word about a layer saves another look at it when a higher one fails.
const justNow = time.Second

// Watch looks at one endpoint again and again, one probe at a time.
type Watch struct {
	opts WatchOptions
	// looks belong to Run, the lowest layer first.
	looks []look

	mu   sync.Mutex
	fast bool
	wake chan struct{}
}

// look is what a Watch knows of one layer, and when it looks again.
type look struct {
	Standing
	due time.Time
}

// NewWatch makes a Watch that waits for Run.
func NewWatch(opts WatchOptions) *Watch {
	if opts.Random == nil {
		opts.Random = rand.Float64
	}
	w := &Watch{opts: opts, wake: make(chan struct{}, 1)}
	n := 0
	for _, l := range Layers() {
		if opts.Target.pace(l) != nil {
			n++
		}
	}
	w.looks = make([]look, 0, n)
	for _, l := range Layers() {
		if opts.Target.pace(l) != nil {
			w.looks = append(w.looks, look{Standing: Standing{Layer: l}})
		}
	}
	return w
}

// Faster has probes come twice as fast, or at their own pace again. It is safe for concurrent use.
func (w *Watch) Faster(fast bool) {
	w.mu.Lock()
	changed := w.fast != fast
	w.fast = fast
	w.mu.Unlock()
	if changed && fast {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	if len(w.looks) == 0 {
		return
	}
	start := time.Now().Add(w.opts.Delay)
	for i := range w.looks {
		w.looks[i].due = start
	}
	timer := time.NewTimer(w.opts.Delay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			w.hurry(time.Now())
		case <-timer.C:
		}
		for i := w.next(time.Now()); i >= 0 && ctx.Err() == nil; i = w.next(time.Now()) {
			w.look(ctx, i)
		}
		timer.Reset(time.Until(w.earliest()))
	}
}

// next is the lowest layer whose time has come, -1 where none's has. Layers above one that has just failed wait for it.
func (w *Watch) next(now time.Time) int {
	for i := range w.open {
		if !w.looks[i].due.After(now) {
			return i
		}
	}
	return -1
}

// open gives the layers that can be looked at: what is above one that fails would fail for the same
// reason. Metrics stand apart, since they may be anywhere.
func (w *Watch) open(yield func(int) bool) {
	blocked := false
	for i := range w.looks {
		l := w.looks[i].Layer
		if blocked && l != Metrics {
			continue
		}
		if !yield(i) {
			return
		}
		switch l {
		case TCP, TLS, HTTP, Handshake:
			blocked = blocked || w.looks[i].Last.Outcome == Failed
		case List, Query, Metrics:
		}
	}
}

func (w *Watch) earliest() time.Time {
	var at time.Time
	for i := range w.open {
		if at.IsZero() || w.looks[i].due.Before(at) {
			at = w.looks[i].due
		}
	}
	return at
}

// look makes one probe, and where it fails looks at once whether a lower layer is the reason.
func (w *Watch) look(ctx context.Context, i int) {
	failed := w.one(ctx, i) && w.looks[i].Layer != Metrics
	if !failed {
		return
	}
	for lower := range w.looks[:i] {
		if ctx.Err() != nil {
			return
		}
		s := &w.looks[lower]
		if s.Last.Outcome == Failed || time.Since(s.Last.Began) > justNow {
			if w.one(ctx, lower) {
				return
			}
		}
	}
}

// one makes one probe and says whether it failed.
func (w *Watch) one(ctx context.Context, i int) (failed bool) {
	if w.opts.Slots != nil {
		select {
		case w.opts.Slots <- struct{}{}:
			defer func() { <-w.opts.Slots }()
		case <-ctx.Done():
			return false
		}
	}
	s := &w.looks[i]
	began := time.Now()
	r := w.apart(ctx, s.Layer)
	if ctx.Err() != nil {
		// The watch ends: what it found then is its own doing.
		return false
	}
	pace := w.opts.Target.pace(s.Layer)
	was := s.Last.Outcome
	s.take(r, Threshold{Failures: pace.Failures, Successes: pace.Successes})
	s.due = began.Add(w.interval(s))
	if was == Failed && r.Outcome != Failed {
		// What is above was not looked at meanwhile.
		for higher := i + 1; higher < len(w.looks); higher++ {
			w.looks[higher].due = time.Now()
		}
	}
	if w.opts.Told != nil {
		w.opts.Told(w.all())
	}
	return r.Outcome == Failed
}

// apart makes a probe on a stack of its own, which is given back when it ends: those of thousands of watches, which
// wait for most of the time, stay small.
func (w *Watch) apart(ctx context.Context, l Layer) Result {
	done := make(chan Result, 1)
	go func() { done <- w.opts.Look(ctx, l) }()
	return <-done
}

// interval until the next probe of a layer: half of its own while it is not certain yet how it stands, or the
// endpoint is watched.
func (w *Watch) interval(s *look) time.Duration {
	every := w.opts.Target.pace(s.Layer).Interval
	w.mu.Lock()
	fast := w.fast
	w.mu.Unlock()
	if fast || s.Last.Outcome != s.Outcome {
		every /= 2
	}
	return every - time.Duration(jitter*w.opts.Random()*float64(every))
}

// hurry brings forward what would otherwise come at the pace from before.
func (w *Watch) hurry(now time.Time) {
	for i := range w.looks {
		if soon := now.Add(w.interval(&w.looks[i])); soon.Before(w.looks[i].due) {
			w.looks[i].due = soon
		}
	}
}

func (w *Watch) all() []Standing {
	out := make([]Standing, 0, len(w.looks))
	for i := range w.looks {
		out = append(out, w.looks[i].Standing)
	}
	return out
}
