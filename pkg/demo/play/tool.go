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

// ToolOptions of a play in which one tool fails and the server does not.
type ToolOptions struct {
	// Endpoint, Primary, Standby, Callers, Rate, Act, Colors and Version are as in Options.
	Endpoint         string
	Primary, Standby string
	Callers, Rate    int
	Act              time.Duration
	Colors           bool
	Version          string
	// Break lets a tool of the primary fail while broken is true, and work again after.
	Break func(ctx context.Context, tool string, broken bool) error
	// Ejected tells whether Envoy has taken the primary out of rotation; nil where it cannot
	// be asked.
	Ejected func(ctx context.Context) (bool, error)
	// Linger bounds the wait for the tool's calls to come back in a play that was broken off; nil: there is none.
	Linger func(context.Context) (context.Context, context.CancelFunc)
	// Out gets the play.
	Out io.Writer
}

// toolPatience is how long the play waits for the tool's return: a breaker that has opened
// a few times in a row takes its time.
const toolPatience = 90 * time.Second

// lingerPace is the time between two calls of linger: as many as settled take longer than processors to tell each
// other that a breaker has closed.
const lingerPace = 150 * time.Millisecond

// settled is how many calls of the tool in a row the primary answers when it is back.
const settled = 20

// toolMoments of the play; zero where it did not get that far.
type toolMoments struct{ began, broken, healed, ended time.Time }

// toolPlay is one run.
type toolPlay struct {
	play
	opts    ToolOptions
	times   toolMoments
	ejected bool
	// failing: the tool is broken now.
	failing bool
}

// RunTool plays once how get_order breaks in the primary's region and returns, and gives what
// was measured. Errors, and promises that were broken, are as for Run; the tool is mended
// whatever happens.
func RunTool(ctx context.Context, opts ToolOptions) (ToolSummary, error) {
	whole := Options{
		Endpoint: opts.Endpoint, Primary: opts.Primary, Standby: opts.Standby, Callers: opts.Callers, Rate: opts.Rate, Act: opts.Act,
	}.withDefaults()
	opts.Callers, opts.Rate, opts.Act = whole.Callers, whole.Rate, whole.Act
	p := &toolPlay{opts: opts, play: play{
		opts: whole, print: newPrinter(opts.Out, opts.Colors), narrator: agents.NewCaller(whole.client()),
		load: newLoad(whole, true),
	}}
	defer p.narrator.Close()
	p.print.note(fmt.Sprintf("%d callers, %d calls a second, half of %s and half of %s; %s breaks in %s and is mended, %s works throughout",
		opts.Callers, opts.Rate, toolName, neighbourName, toolName, opts.Primary, neighbourName))
	if err := p.awaitPrimary(ctx); err != nil {
		return ToolSummary{}, err
	}
	loadCtx, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	var loading sync.WaitGroup
	loading.Go(func() { p.load.Run(loadCtx) })
	err := p.acts(ctx)
	stopLoad()
	loading.Wait()
	if err = errors.Join(err, p.mend(ctx)); err != nil {
		return ToolSummary{WasBroken: !p.times.broken.IsZero(), Back: p.linger(context.WithoutCancel(ctx))}, err
	}
	p.times.ended = time.Now()
	summary := summariseTool(opts, p.times, p.load.All())
	if p.ejected {
		summary.Broken = append(summary.Broken, opts.Primary+" was taken out of rotation for one tool")
	}
	p.print.toolSummary(summary)
	return summary, nil
}

func (p *toolPlay) acts(ctx context.Context) error {
	p.times.began = time.Now()
	if _, err := p.load.Await(ctx, func(o Outcome) bool { return o.Good }); err != nil {
		return fmt.Errorf("waiting for the load's first answer: %w", err)
	}
	p.both(ctx)
	if err := pause(ctx, p.opts.Act); err != nil {
		return err
	}
	if err := p.breakTool(ctx); err != nil {
		return err
	}
	if err := pause(ctx, p.opts.Act); err != nil {
		return err
	}
	p.both(ctx)
	if err := p.look(ctx); err != nil {
		return err
	}
	if err := p.heal(ctx); err != nil {
		return err
	}
	return pause(ctx, p.opts.Act)
}

// both shows a call of either tool.
func (p *toolPlay) both(ctx context.Context) {
	p.print.call(getOrder(ctx, p.narrator, shippedOrder, time.Now()))
	p.print.call(listOrders(ctx, p.narrator, time.Now()))
}

// breakTool shows the first answer that came from the standby after the primary had failed,
// and the first that did not ask the primary any more.
func (p *toolPlay) breakTool(ctx context.Context) error {
	p.failing = true
	p.times.broken = time.Now()
	if err := p.opts.Break(ctx, toolName, true); err != nil {
		return fmt.Errorf("breaking %s: %w", toolName, err)
	}
	p.print.event(toolName + " broken in " + p.opts.Primary + ": HTTP 200, isError, every time")
	moved, err := p.awaitLoad(ctx, func(o Outcome) bool { return p.moved(o) })
	if err != nil {
		return fmt.Errorf("waiting for an answer of %s: %w", p.opts.Standby, err)
	}
	p.print.call(moved)
	direct, err := p.awaitLoad(ctx, func(o Outcome) bool { return p.moved(o) && o.Attempts == 1 })
	if err != nil {
		return fmt.Errorf("waiting for the breaker to open: %w", err)
	}
	p.print.event(fmt.Sprintf("breaker open: %s no longer asks %s", toolName, p.opts.Primary))
	p.print.call(direct)
	return nil
}

func (p *toolPlay) moved(o Outcome) bool {
	return o.Good && o.Tool == toolName && o.Via == p.opts.Standby && o.Ended.After(p.times.broken)
}

func (p *toolPlay) look(ctx context.Context) error {
	if p.opts.Ejected == nil {
		return nil
	}
	var err error
	if p.ejected, err = p.opts.Ejected(ctx); err != nil {
		return fmt.Errorf("asking Envoy about %s: %w", p.opts.Primary, err)
	}
	return nil
}

// heal waits until the primary answers again, and goes on doing so.
func (p *toolPlay) heal(ctx context.Context) error {
	p.times.healed = time.Now()
	if err := p.mend(ctx); err != nil {
		return err
	}
	p.print.event(toolName + " mended in " + p.opts.Primary + "; the next trial call finds out")
	ctx, cancel := context.WithTimeout(ctx, toolPatience)
	defer cancel()
	row := 0
	back, err := p.load.Await(ctx, func(o Outcome) bool {
		if o.Tool != toolName || o.Ended.Before(p.times.healed) {
			return false
		}
		if row++; o.Via != p.opts.Primary {
			row = 0
		}
		return row >= settled
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to come back to %s: %w", toolName, p.opts.Primary, err)
	}
	p.print.call(back)
	return nil
}

// linger makes calls until the primary answers them again, as its breaker closes by calls alone. It says
// whether that has come about.
func (p *toolPlay) linger(ctx context.Context) bool {
	if p.times.broken.IsZero() || p.failing || p.opts.Linger == nil {
		return false
	}
	ctx, stop := p.opts.Linger(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, toolPatience)
	defer cancel()
	p.print.note(fmt.Sprintf("%s is mended; calling it until its breaker closes (Ctrl-C: leave that to others)", toolName))
	for row := 0; row < settled; {
		if row++; getOrder(ctx, p.narrator, shippedOrder, time.Now()).Via != p.opts.Primary {
			row = 0
		}
		if pause(ctx, lingerPace) != nil {
			return false
		}
	}
	return true
}

// mend lets the tool work again where it does not.
func (p *toolPlay) mend(ctx context.Context) error {
	if !p.failing {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	if err := p.opts.Break(ctx, toolName, false); err != nil {
		return fmt.Errorf("mending %s: %w", toolName, err)
	}
	p.failing = false
	return nil
}
