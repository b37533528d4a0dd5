package agents

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Load is open-loop traffic: calls fall due at a fixed rate whatever became of
// those before, so that a stall shows as many late calls and not as a few slow
// ones. A call that finds no caller free waits. T is what is kept of a call. Set the exported
// fields before Run; All and Await may be called meanwhile.
type Load[T any] struct {
	Client Client
	// Callers at the same time, Rate in calls a second of all together.
	Callers, Rate int
	// Call makes the nth call, from 0, which was due at a moment.
	Call func(ctx context.Context, c *Caller, n int, due time.Time) T
	// Missed is a call that was due while 10,000 others waited, and was never made.
	Missed func(n int, due time.Time) T

	mu       sync.Mutex
	outcomes []T
	// changed is closed and replaced at each new outcome.
	changed chan struct{}
}

const (
	// maxOutcomes bounds the memory of a run; a play makes a few thousand.
	maxOutcomes = 500_000
	// maxWaiting is how many due calls may wait for a caller.
	maxWaiting = 10_000
)

// ErrOverrun is what to say of a missed call.
var ErrOverrun = errors.New("the call was never made: too many others were waiting")

type dueCall struct {
	number int
	at     time.Time
}

// Run makes calls until ctx ends and returns when the last of them is answered.
func (l *Load[T]) Run(ctx context.Context) {
	due := make(chan dueCall, maxWaiting)
	var wg sync.WaitGroup
	// Calls outlive ctx: what has begun is awaited, and counted.
	calls := context.WithoutCancel(ctx)
	for range l.Callers {
		wg.Go(func() {
			c := NewCaller(l.Client)
			defer c.Close()
			for d := range due {
				l.add(l.Call(calls, c, d.number, d.at))
			}
		})
	}
	l.schedule(ctx, due)
	close(due)
	wg.Wait()
}

func (l *Load[T]) schedule(ctx context.Context, due chan<- dueCall) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		at := began.Add(time.Duration(n) * time.Second / time.Duration(l.Rate))
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case due <- dueCall{number: n, at: at}:
		default:
			l.add(l.Missed(n, at))
		}
	}
}

func (l *Load[T]) add(o T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.outcomes) < maxOutcomes {
		l.outcomes = append(l.outcomes, o)
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// All returns the outcomes up to now, in order of answers.
func (l *Load[T]) All() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcomes[:len(l.outcomes):len(l.outcomes)]
}

// Await returns the first outcome, in order of answers, that is wanted.
func (l *Load[T]) Await(ctx context.Context, wanted func(T) bool) (T, error) {
	for seen := 0; ; {
		l.mu.Lock()
		fresh := l.outcomes[seen:]
		seen = len(l.outcomes)
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		for _, o := range fresh {
			if wanted(o) {
				return o, nil
			}
		}
		select {
		case <-ctx.Done():
			var none T
			return none, ctx.Err() //nolint:wrapcheck // the caller says what it waited for
		case <-changed:
		}
	}
}
