package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
)

// Options of a drill.
type Options struct {
	Kind  Kind
	Fault Fault
	// Client says what is called; Calls which tools, one in ten an unsafe one where there are both.
	Client agents.Client
	Calls  []Call
	// Callers at the same time; 0: 16. Rate of calls a second; 0: 100.
	Callers, Rate int
	// Before is how long all is well at first, 0: 3 s; Hold how long it is broken, 0: 10 s; After how long all is
	// well again at the end, 0: 2 s. Recovery is awaited for Patience, 0: 30 s.
	Before, Hold, After, Patience time.Duration
	// AbortAt is the share of calls that may fail within two seconds; beyond it the fault is mended at once. 0: a tenth.
	AbortAt float64
	// CallIDKey is the key of _meta under which servers look for a call's id, for their journals; empty: none.
	CallIDKey string
	// Runs counts executions by call id; nil: nobody does.
	Runs func() (map[string]int, error)
	// Version for the report.
	Version string
	// Say is told what happens; nil: nobody is.
	Say func(text string)
}

const (
	defaultCallers  = 16
	defaultRate     = 100
	defaultBefore   = 3 * time.Second
	defaultHold     = 10 * time.Second
	defaultAfter    = 2 * time.Second
	defaultPatience = 30 * time.Second
	defaultAbortAt  = 0.1
	// abortWindow and abortLeast: no share is told from fewer calls.
	abortWindow = 2 * time.Second
	abortLeast  = 20
	// mendWithin bounds the mending, which goes on whatever happens to the drill.
	mendWithin = time.Minute
	// look is how often somebody is asked what they have noticed.
	look = 25 * time.Millisecond
)

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (o Options) withDefaults() Options {
	o.Callers, o.Rate = orDefault(o.Callers, defaultCallers), orDefault(o.Rate, defaultRate)
	o.Before, o.Hold, o.After = orDefault(o.Before, defaultBefore), orDefault(o.Hold, defaultHold), orDefault(o.After, defaultAfter)
	o.Patience, o.AbortAt = orDefault(o.Patience, defaultPatience), orDefault(o.AbortAt, defaultAbortAt)
	if o.Say == nil {
		o.Say = func(string) {}
	}
	return o
}

// NotWellError says that nothing was broken, since the system was not well before.
type NotWellError struct{ Why string }

// Error implements error.
func (e *NotWellError) Error() string {
	return "the system is not well before the drill, so nothing was broken: " + e.Why
}

// exercise is one run.
type exercise struct {
	opts Options
	load *agents.Load[*made]
	// moments; zero where it did not get that far.
	began, broke, mended, noticed, cleared time.Time
	by                                     string
	aborted                                string
}

// Run plays a drill once. The error says why it could not be played, *NotWellError that it was not begun; a drill that
// was played, and showed that a promise is broken, is told in Report.Broken. What was broken is mended whatever happens.
func Run(ctx context.Context, opts Options) (*Report, error) {
	e := &exercise{opts: opts.withDefaults()}
	if len(opts.Calls) == 0 {
		return nil, errNoCalls
	}
	e.load = e.opts.load("drill-" + rand.Text()[:8])
	loadCtx, stop := context.WithCancel(ctx)
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { e.load.Run(loadCtx) })
	err := e.play(ctx)
	stop()
	loading.Wait()
	if err != nil {
		return nil, err
	}
	var runs map[string]int
	if e.opts.Runs != nil {
		if runs, err = e.opts.Runs(); err != nil {
			return nil, fmt.Errorf("counting executions: %w", err)
		}
	}
	return e.report(runs), nil
}

func (e *exercise) play(ctx context.Context) error {
	e.began = time.Now()
	e.opts.Say(fmt.Sprintf("%d callers make %d calls a second; all is well for %s", e.opts.Callers, e.opts.Rate, e.opts.Before))
	if err := e.warmUp(ctx); err != nil {
		return err
	}
	e.broke = time.Now()
	err := e.hold(ctx)
	if mendErr := e.mend(ctx); mendErr != nil {
		return errors.Join(err, mendErr)
	}
	if err != nil {
		return err
	}
	if err := e.recover(ctx); err != nil {
		return err
	}
	return pause(ctx, e.opts.After)
}

// warmUp lets the load run until it is steady, and makes sure that the system is well.
func (e *exercise) warmUp(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, e.opts.Patience)
	defer cancel()
	if _, err := e.load.Await(within, (*made).good); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the first good answer: %w", ctx.Err())
		}
		return &NotWellError{"no call was answered well within " + e.opts.Patience.String() + lastSaid(e.load.All())}
	}
	if err := e.settle(within); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	settled := time.Now()
	if err := pause(ctx, e.opts.Before); err != nil {
		return err
	}
	for _, m := range e.load.All() {
		if m.failed() && m.due.After(settled) {
			return &NotWellError{fmt.Sprintf("a call of %s failed: %s", m.call.Tool, m.said())}
		}
	}
	return nil
}

// settle waits until nobody sees anything wrong any more: a drill before this one may have left its traces.
func (e *exercise) settle(ctx context.Context) error {
	if e.opts.Fault.Noticed == nil {
		return nil
	}
	for {
		by, err := e.opts.Fault.Noticed(ctx)
		switch {
		case err == nil && by == "":
			return nil
		case pause(ctx, look) == nil:
			continue
		case err != nil:
			return &NotWellError{"nobody can be asked whether something is wrong: " + err.Error()}
		default:
			return &NotWellError{"something is wrong already, say " + by}
		}
	}
}

func lastSaid(calls []*made) string {
	if len(calls) == 0 {
		return ""
	}
	return ": " + calls[len(calls)-1].said()
}

// hold breaks it, and watches until the time is over or too much fails.
func (e *exercise) hold(ctx context.Context) error {
	e.opts.Say(e.opts.Fault.Does)
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { e.noticed, e.by = e.notice(within) })
	if err := e.harm(ctx); err != nil {
		return fmt.Errorf("breaking it: %w", err)
	}
	over := time.NewTimer(e.opts.Hold)
	defer over.Stop()
	tick := time.NewTicker(abortWindow / 10)
	defer tick.Stop()
	flap, flapped := e.flaps()
	defer flap.Stop()
	for down := true; ; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the drill was broken off: %w", ctx.Err())
		case <-over.C:
			return nil
		case <-flapped:
			act := e.harm
			if down {
				act = e.opts.Fault.Mend
			}
			if err := act(ctx); err != nil {
				return fmt.Errorf("flapping: %w", err)
			}
			down = !down
		case <-tick.C:
			if why := e.tooMuch(); why != "" {
				e.aborted = why
				e.opts.Say("aborted: " + why)
				return nil
			}
		}
	}
}

// harm breaks it.
func (e *exercise) harm(ctx context.Context) error {
	if e.opts.Fault.BreakBy == nil {
		return e.opts.Fault.Break(ctx)
	}
	return e.opts.Fault.BreakBy(ctx, e.median())
}

// flaps ticks where the kind of drill is to flap.
func (e *exercise) flaps() (*time.Ticker, <-chan time.Time) {
	t := time.NewTicker(flapEvery)
	if e.opts.Kind.Name != Flapping {
		return t, nil
	}
	return t, t.C
}

// notice returns when somebody has noticed, and who; empty when ctx ended before.
func (e *exercise) notice(ctx context.Context) (time.Time, string) {
	if e.opts.Fault.Noticed == nil {
		return time.Time{}, ""
	}
	for {
		by, err := e.opts.Fault.Noticed(ctx)
		if err == nil && by != "" {
			return time.Now(), by
		}
		if pause(ctx, look) != nil {
			return time.Time{}, ""
		}
	}
}

// tooMuch says why the drill has to end; empty: it goes on.
func (e *exercise) tooMuch() string {
	since := time.Now().Add(-abortWindow)
	all, failed := 0, 0
	calls := e.load.All()
	for i := len(calls) - 1; i >= 0 && calls[i].Ended.After(since); i-- {
		all++
		if calls[i].failed() {
			failed++
		}
	}
	if all < abortLeast || float64(failed) <= e.opts.AbortAt*float64(all) {
		return ""
	}
	return fmt.Sprintf("%d of %d calls failed within %s, more than %g %%", failed, all, abortWindow, e.opts.AbortAt*100) //nolint:mnd // percent
}

func (e *exercise) mend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mendWithin)
	defer cancel()
	e.opts.Say(e.opts.Fault.Undoes)
	e.mended = time.Now()
	if err := e.opts.Fault.Mend(ctx); err != nil {
		return fmt.Errorf("mending it, which has to be done by hand now: %w", err)
	}
	return nil
}

// recover waits until calls go the usual way again and nobody sees anything wrong.
func (e *exercise) recover(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, e.opts.Patience)
	defer cancel()
	usual := e.usual(e.load.All())
	_, err := e.load.Await(within, func(m *made) bool { return e.back(m, usual) })
	for err == nil && e.opts.Fault.Noticed != nil {
		if by, asked := e.opts.Fault.Noticed(within); asked == nil && by == "" {
			e.cleared = time.Now()
			break
		}
		err = pause(within, look)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the drill was broken off: %w", ctx.Err())
	}
	return nil // that it did not recover is in the report
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("the drill was broken off: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}
