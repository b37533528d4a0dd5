package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// State of a child.
type State string

// States of a child.
const (
	// StateStopped: it was not started yet, or it was stopped or killed on purpose.
	StateStopped State = "stopped"
	// StateStarting: it runs and its probes have not all passed yet.
	StateStarting State = "starting"
	StateReady    State = "ready"
	// StatePaused: it was sent SIGSTOP through this package.
	StatePaused State = "paused"
	// StateWaiting: it died and is started again after the back-off.
	StateWaiting State = "waiting"
	// StateDead: it died and stays so until Start.
	StateDead State = "dead"
)

// Errors of a Child.
var (
	ErrRunning    = errors.New("it is running already")
	ErrNotRunning = errors.New("it is not running")
)

// Child is one supervised program. Its methods are safe for concurrent use;
// Start, Stop and Kill exclude each other.
type Child struct {
	spec Spec
	sup  *Supervisor
	log  *childLog

	// op is held by Start, Stop and Kill. It guards started: there was a Start
	// that went well.
	op      sync.Mutex
	started bool

	mu       sync.Mutex
	state    State
	proc     *process
	restarts int
	// cancel ends the watch loop, watched is closed when it has ended; nil: there is none.
	cancel  context.CancelFunc
	watched chan struct{}
}

// Status is a Child at one moment.
type Status struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// PID of the running process, else 0.
	PID int `json:"pid,omitzero"`
	// Restarts after deaths, not counting those on purpose.
	Restarts int `json:"restarts,omitzero"`
	// Log is the path of the log file.
	Log string `json:"log"`
}

// Name of the child.
func (c *Child) Name() string { return c.spec.Name }

// Status returns the child's present status.
func (c *Child) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{Name: c.spec.Name, State: c.state, Restarts: c.restarts, Log: c.spec.logPath}
	switch c.state {
	case StateStarting, StateReady, StatePaused:
		s.PID = c.proc.pid
	case StateStopped, StateWaiting, StateDead:
	}
	return s
}

// Tail returns up to n last lines that the child's process, or the last one it had,
// has put out, oldest first.
func (c *Child) Tail(n int) []string { return c.log.tail(n) }

// Start runs the child and returns when it is ready. Where it ends first, or is
// not ready in time, it is killed and the error has its last words.
func (c *Child) Start(ctx context.Context) error {
	c.op.Lock()
	defer c.op.Unlock()
	if c.sup.isClosed() {
		return ErrClosed
	}
	c.mu.Lock()
	state := c.state
	c.mu.Unlock()
	if state != StateStopped && state != StateDead {
		return fmt.Errorf("starting %s: %w", c.spec.Name, ErrRunning)
	}
	c.endWatch()
	ctx, cancelStart := context.WithCancelCause(ctx)
	defer cancelStart(nil)
	go func() {
		select {
		case <-c.sup.closing:
			cancelStart(ErrClosed)
		case <-ctx.Done():
		}
	}()
	p, err := c.spawn()
	if err != nil {
		return fmt.Errorf("starting %s: %w", c.spec.Name, err)
	}
	if err := c.awaitReady(ctx, p); err != nil {
		p.kill()
		c.set(StateStopped)
		return fmt.Errorf("starting %s: %w%s", c.spec.Name, err, quoteLines(c.Tail(lastWords)))
	}
	c.set(StateReady)
	if c.started {
		c.emit(Event{Kind: Started, PID: p.pid})
	}
	c.started = true
	watchCtx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.mu.Lock()
	c.cancel, c.watched = cancel, done
	c.mu.Unlock()
	go func() {
		defer close(done)
		c.watch(watchCtx, p)
	}()
	return nil
}

// Stop asks the child to end, with SIGTERM, and kills its group when the grace or
// ctx is over. It is no error where the child has ended before.
func (c *Child) Stop(ctx context.Context) error {
	return c.halt(func(p *process) { p.stop(c.spec.Grace, ctx.Done()) })
}

// Kill ends the child's group with SIGKILL, on purpose: it stays dead until
// Start, whatever its restart policy. It returns the moment just before the
// signal. ErrNotRunning where there is nothing to kill.
func (c *Child) Kill() (time.Time, error) {
	var at time.Time
	err := c.halt(func(p *process) {
		at = time.Now()
		p.kill()
	})
	if err == nil && at.IsZero() {
		err = fmt.Errorf("killing %s: %w", c.spec.Name, ErrNotRunning)
	}
	return at, err
}

// halt ends the watch, ends the process by the given means and says so.
func (c *Child) halt(end func(*process)) error {
	c.op.Lock()
	defer c.op.Unlock()
	c.endWatch()
	c.mu.Lock()
	p := c.proc
	running := c.state != StateStopped && c.state != StateDead && c.state != StateWaiting
	c.mu.Unlock()
	if !running {
		c.set(StateStopped)
		return nil
	}
	c.emit(Event{Kind: Stopping, PID: p.pid})
	end(p)
	c.set(StateStopped)
	c.emit(Event{Kind: Stopped, PID: p.pid, Exit: p.exit})
	return nil
}

// Signal sends sig to the child's group as anybody outside could: the restart
// policy applies to a child that ends by it.
func (c *Child) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateReady && c.state != StatePaused && c.state != StateStarting {
		return fmt.Errorf("signalling %s: %w", c.spec.Name, ErrNotRunning)
	}
	err := c.proc.signal(sig, true)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling %s: %w", c.spec.Name, ErrNotRunning)
	}
	if err != nil {
		return fmt.Errorf("signalling %s: %w", c.spec.Name, err)
	}
	switch {
	case sig == syscall.SIGSTOP && c.state == StateReady:
		c.state = StatePaused
	case sig == syscall.SIGCONT && c.state == StatePaused:
		c.state = StateReady
	}
	return nil
}

// Pause stops the child with SIGSTOP: it hangs, with its connections open.
func (c *Child) Pause() error { return c.Signal(syscall.SIGSTOP) }

// Continue lets a paused child go on.
func (c *Child) Continue() error { return c.Signal(syscall.SIGCONT) }

func (c *Child) set(state State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

func (c *Child) emit(e Event) {
	e.Time, e.Child = time.Now(), c.spec.Name
	c.sup.emit(e)
}

// endWatch ends the watch loop, if there is one, and waits for its end.
func (c *Child) endWatch() {
	c.mu.Lock()
	cancel, done := c.cancel, c.watched
	c.cancel, c.watched = nil, nil
	c.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

func (c *Child) spawn() (*process, error) {
	c.log.begin()
	p, err := startProcess(c.sup.spawner, c.spec, c.log)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proc, c.state = p, StateStarting
	return p, nil
}

// lastWords is the number of lines that an error or event repeats.
const lastWords = 8

func quoteLines(lines []string) string {
	if len(lines) == 0 {
		return " (it said nothing)"
	}
	return "; its last words:\n    " + strings.Join(lines, "\n    ")
}
