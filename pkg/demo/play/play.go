// Package play is the disaster that `holdfast demo` plays on a running ShopMax:
// under steady load the first region's server is killed, then the second's too,
// and then both come back. It measures what callers saw and says whether it was
// what Holdfast promises.
package play

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
)

// Servers kills and starts demo servers by name. Both methods return the moment
// at which it took effect: for a kill the one just before the signal.
type Servers interface {
	Kill(ctx context.Context, name string) (time.Time, error)
	Start(ctx context.Context, name string) (time.Time, error)
}

// Options of a play.
type Options struct {
	// Endpoint is the URL of the MCP endpoint in front of the orders servers.
	Endpoint string
	Servers  Servers
	// Primary and Standby are the names of the two orders servers.
	Primary, Standby string
	// Callers at the same time, each with a session of its own; 0: 16.
	Callers int
	// Rate of calls a second, all callers together; 0: 100.
	Rate int
	// Act is how long each state lasts before the next blow; 0: 2 s.
	Act time.Duration
	// Out gets the play, Colors says whether it may be coloured.
	Out    io.Writer
	Colors bool
	// Version of the client, as told to servers.
	Version string
}

const (
	defaultCallers = 16
	defaultRate    = 100
	defaultAct     = 2 * time.Second
	// patience is how long the play waits for what should come within a second.
	patience = 30 * time.Second
	// restoreTimeout bounds the restoring of the servers at the end.
	restoreTimeout = 20 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Callers <= 0 {
		o.Callers = defaultCallers
	}
	if o.Rate <= 0 {
		o.Rate = defaultRate
	}
	if o.Act <= 0 {
		o.Act = defaultAct
	}
	return o
}

// shippedOrder and confirmedOrder are two orders that every orders server knows.
var (
	shippedOrder   = Order{ID: "ORD-7701", CustomerID: "C-1201", Status: "SHIPPED", TotalRs: 78_000}
	confirmedOrder = Order{ID: "ORD-7702", CustomerID: "C-3302", Status: "CONFIRMED", TotalRs: 34_500}
)

// play is one run.
type play struct {
	opts     Options
	print    *printer
	load     *agents.Load[Outcome]
	narrator *agents.Caller
	times    moments
}

// moments of the play; zero where it did not get that far.
type moments struct {
	began, primaryKilled, bothKilled, bothStarting, ended time.Time
}

// Run plays the disaster once and returns what was measured. The error says why
// the play could not be finished; a play that was, but broke a promise, is told
// in Summary.Broken. The servers that it killed are started again whatever happens.
func Run(ctx context.Context, opts Options) (Summary, error) {
	opts = opts.withDefaults()
	p := &play{
		opts: opts, print: newPrinter(opts.Out, opts.Colors), narrator: agents.NewCaller(opts.client()),
		load: newLoad(opts, false),
	}
	defer p.narrator.Close()
	p.print.note(fmt.Sprintf("%d callers, %d calls a second; %s is killed, then %s, then both come back",
		p.opts.Callers, p.opts.Rate, p.opts.Primary, p.opts.Standby))
	if err := p.awaitPrimary(ctx); err != nil {
		return Summary{}, err
	}
	loadCtx, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	var loading sync.WaitGroup
	loading.Go(func() { p.load.Run(loadCtx) })
	err := p.acts(ctx)
	stopLoad()
	loading.Wait()
	err = errors.Join(err, p.restore(ctx))
	if err != nil {
		return Summary{}, err
	}
	p.times.ended = time.Now()
	summary := summarise(opts, p.times, p.load.All())
	p.print.summary(summary)
	return summary, nil
}

// awaitPrimary waits until calls go to the primary: it may be out of rotation for
// a while after an earlier play.
func (p *play) awaitPrimary(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for said := false; ; {
		o := getOrder(ctx, p.narrator, shippedOrder, time.Now())
		if o.Good && o.Via == p.opts.Primary {
			return nil
		}
		if !said {
			p.print.note("waiting for " + p.opts.Primary + " to answer: " + describe(o))
			said = true
		}
		timer := time.NewTimer(200 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("the play needs %s to answer at first, and within %s it did not: %s; is its region the first one in the configuration?",
				p.opts.Primary, patience, describe(o))
		case <-timer.C:
		}
	}
}

func describe(o Outcome) string {
	switch {
	case o.Err != nil:
		return o.Err.Error()
	case o.Good:
		return "the answer came from " + o.Via
	default:
		return o.Text
	}
}

// acts plays the acts, each after the one before has lasted.
func (p *play) acts(ctx context.Context) error {
	p.times.began = time.Now()
	if _, err := p.load.Await(ctx, func(o Outcome) bool { return o.Good }); err != nil {
		return fmt.Errorf("waiting for the load's first answer: %w", err)
	}
	p.print.call(getOrder(ctx, p.narrator, shippedOrder, time.Now()))
	if err := pause(ctx, p.opts.Act); err != nil {
		return err
	}
	if err := p.killPrimary(ctx); err != nil {
		return err
	}
	if err := pause(ctx, p.opts.Act); err != nil {
		return err
	}
	if err := p.killStandby(ctx); err != nil {
		return err
	}
	if err := pause(ctx, p.opts.Act); err != nil {
		return err
	}
	if err := p.startBoth(ctx); err != nil {
		return err
	}
	return pause(ctx, p.opts.Act)
}

// killPrimary shows the first answer that a caller of the load got from the
// standby: the call that the blow hit, or one right behind it.
func (p *play) killPrimary(ctx context.Context) error {
	at, err := p.opts.Servers.Kill(ctx, p.opts.Primary)
	if err != nil {
		return fmt.Errorf("killing %s: %w", p.opts.Primary, err)
	}
	p.times.primaryKilled = at
	p.print.event(p.opts.Primary + " killed")
	o, err := p.awaitLoad(ctx, func(o Outcome) bool {
		return o.Good && o.OrderID == confirmedOrder.ID && o.Ended.After(at) && o.Via != p.opts.Primary
	})
	if err != nil {
		return fmt.Errorf("waiting for an answer of %s: %w", p.opts.Standby, err)
	}
	p.print.call(o)
	return nil
}

func (p *play) killStandby(ctx context.Context) error {
	at, err := p.opts.Servers.Kill(ctx, p.opts.Standby)
	if err != nil {
		return fmt.Errorf("killing %s: %w", p.opts.Standby, err)
	}
	p.times.bothKilled = at
	p.print.event(p.opts.Standby + " killed")
	p.print.call(getOrder(ctx, p.narrator, shippedOrder, time.Now()))
	return nil
}

func (p *play) startBoth(ctx context.Context) error {
	p.times.bothStarting = time.Now()
	p.print.event(p.opts.Primary + " and " + p.opts.Standby + " started again")
	if err := p.startAll(ctx); err != nil {
		return err
	}
	o, err := p.awaitLoad(ctx, func(o Outcome) bool { return o.Good && o.Ended.After(p.times.bothStarting) })
	if err != nil {
		return fmt.Errorf("waiting for a good answer after both were started: %w", err)
	}
	p.print.call(o)
	return nil
}

func (p *play) awaitLoad(ctx context.Context, wanted func(Outcome) bool) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.load.Await(ctx, wanted)
}

func (p *play) startAll(ctx context.Context) error {
	names := []string{p.opts.Primary, p.opts.Standby}
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			if _, err := p.opts.Servers.Start(ctx, name); err != nil {
				errs[i] = fmt.Errorf("starting %s: %w", name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// restore starts what the play has killed and not started again.
func (p *play) restore(ctx context.Context) error {
	if p.times.primaryKilled.IsZero() || !p.times.bothStarting.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	p.print.note("starting the servers again")
	if p.times.bothKilled.IsZero() {
		if _, err := p.opts.Servers.Start(ctx, p.opts.Primary); err != nil {
			return fmt.Errorf("starting %s: %w", p.opts.Primary, err)
		}
		return nil
	}
	return p.startAll(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("the play was broken off: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}
