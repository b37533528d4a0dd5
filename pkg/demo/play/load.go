package play

import (
	"context"
	"errors"
	"sync"
	"time"
)

// load is open-loop traffic: calls fall due at a fixed rate whatever became of
// those before, so that a stall shows as many late calls and not as a few slow
// ones. A call that finds no caller free waits, and its time counts from when it
// was due.
type load struct {
	endpoint, version string
	callers, rate     int
	orders            []Order
	// neighbours: every other call is one of list_orders.
	neighbours bool

	mu       sync.Mutex
	outcomes []Outcome
	// changed is closed and replaced at each new outcome.
	changed chan struct{}
}

const (
	// maxOutcomes bounds the memory of a run; the play makes a few thousand.
	maxOutcomes = 500_000
	// maxWaiting is how many due calls may wait for a caller.
	maxWaiting = 10_000
)

// errOverrun is a call that was due while maxWaiting others waited.
var errOverrun = errors.New("the call was never made: too many others were waiting")

type dueCall struct {
	number int
	at     time.Time
}

// run makes calls until ctx ends and returns when the last of them is answered.
func (l *load) run(ctx context.Context) {
	due := make(chan dueCall, maxWaiting)
	var wg sync.WaitGroup
	// Calls outlive ctx: what has begun is awaited, and counted.
	calls := context.WithoutCancel(ctx)
	for range l.callers {
		wg.Go(func() {
			c := newCaller(l.endpoint, l.version)
			defer c.close()
			for d := range due {
				o := l.call(calls, c, d.number)
				o.Begun = d.at
				l.add(o)
			}
		})
	}
	l.schedule(ctx, due)
	close(due)
	wg.Wait()
}

// call makes the nth call.
func (l *load) call(ctx context.Context, c *caller, n int) Outcome {
	if l.neighbours {
		if n%2 == 1 {
			return c.listOrders(ctx)
		}
		n /= 2
	}
	return c.getOrder(ctx, l.orders[n%len(l.orders)])
}

func (l *load) schedule(ctx context.Context, due chan<- dueCall) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		at := began.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case due <- dueCall{number: n, at: at}:
		default:
			l.add(Outcome{OrderID: l.orders[n%len(l.orders)].ID, Begun: at, Ended: time.Now(), Err: errOverrun})
		}
	}
}

func (l *load) add(o Outcome) {
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

// all returns the outcomes up to now.
func (l *load) all() []Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcomes[:len(l.outcomes):len(l.outcomes)]
}

// await returns the first outcome, in order of answers, that is wanted.
func (l *load) await(ctx context.Context, wanted func(Outcome) bool) (Outcome, error) {
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
			return Outcome{}, ctx.Err() //nolint:wrapcheck // the caller says what it waited for
		case <-changed:
		}
	}
}
