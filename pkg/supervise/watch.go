package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watch follows the child from one process to the next until ctx ends or the
// child is left dead. It leaves a running process to whoever ended ctx.
func (c *Child) watch(ctx context.Context, p *process) {
	deaths := 0
	ready := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.exited:
		}
		if ctx.Err() != nil {
			return
		}
		event := Event{Kind: Died, PID: p.pid, Exit: p.exit, LastWords: c.Tail(lastWords)}
		if c.spec.Restart == RestartNever {
			c.set(StateDead)
			c.emit(event)
			return
		}
		if time.Since(ready) >= c.sup.opts.Backoff.Settled {
			deaths = 0
		}
		event.RestartIn = c.sup.opts.Backoff.wait(deaths)
		c.set(StateWaiting)
		c.emit(event)
		next, ok := c.revive(ctx, event.RestartIn, &deaths)
		if !ok {
			return
		}
		p, ready = next, time.Now()
	}
}

// revive waits and starts the child until it is ready; false when ctx ended first.
func (c *Child) revive(ctx context.Context, wait time.Duration, deaths *int) (*process, bool) {
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, false
		case <-timer.C:
		}
		*deaths++
		p, err := c.spawn()
		if err == nil {
			err = c.awaitReady(ctx, p)
		}
		if ctx.Err() != nil {
			return nil, false
		}
		if err == nil {
			c.mu.Lock()
			c.state = StateReady
			c.restarts++
			c.mu.Unlock()
			c.emit(Event{Kind: Restarted, PID: p.pid})
			return p, true
		}
		event := Event{Kind: RestartFailed, Err: err, LastWords: c.Tail(lastWords)}
		if p != nil {
			p.kill()
			event.PID = p.pid
		}
		c.set(StateWaiting)
		wait = c.sup.opts.Backoff.wait(*deaths)
		event.RestartIn = wait
		c.emit(event)
	}
}

const (
	firstProbeWait = 10 * time.Millisecond
	maxProbeWait   = 200 * time.Millisecond
	probeTimeout   = 2 * time.Second
)

// errEnded is a process that ended before it was ready.
var errEnded = errors.New("it ended before it was ready")

// awaitReady tries the probes in order, each until it passes.
func (c *Child) awaitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, c.spec.ReadyWithin)
	defer cancel()
	// A probe that is under way when the process ends is cut short too.
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	for _, probe := range c.spec.Ready {
		if err := await(ctx, probe); err != nil {
			select {
			case <-p.exited:
				return fmt.Errorf("%w: %s", errEnded, p.exit)
			default:
			}
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("it was not ready within %s: %w", c.spec.ReadyWithin, err)
			}
			return err
		}
	}
	return nil
}

// await tries one probe until it passes or ctx ends; the error is the probe's last.
func await(ctx context.Context, probe Probe) error {
	wait := firstProbeWait
	for {
		once, cancel := context.WithTimeout(ctx, probeTimeout)
		err := probe.Check(once)
		cancel()
		if err == nil {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", probe.Name, errors.Join(err, context.Cause(ctx)))
		case <-timer.C:
		}
		wait = min(2*wait, maxProbeWait)
	}
}
