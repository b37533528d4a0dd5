// Package supervise starts, watches, signals and stops the processes of a
// Holdfast that runs on one machine. Each child has a process group, a log file
// and a bounded memory of its last lines. Nothing outlives the supervisor: it
// stops what it started, and where it is itself killed the kernel kills its
// children (prctl(2), PR_SET_PDEATHSIG): this package is for Linux.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
)

// Options of a Supervisor.
type Options struct {
	// LogDir gets one file per child, <name>.log; made when missing.
	LogDir string
	// OnEvent is told what happens to children after their start, one event at a
	// time and in order for each child. It must return soon and must not call the
	// Supervisor; nil: nobody is told.
	OnEvent func(Event)
	// Logger may be nil.
	Logger *slog.Logger
	// Backoff between a death and the next start; the zero value has defaults.
	Backoff Backoff
}

// Supervisor is a set of children in the order of their start. Its methods are
// safe for concurrent use. Make one with New, end it with Close.
type Supervisor struct {
	opts    Options
	spawner *spawner
	// closing is closed by Close, so that a Start under way gives up.
	closing chan struct{}

	eventMu sync.Mutex

	mu       sync.Mutex
	children map[string]*Child
	// stages are the children that were started together, in order of start.
	stages [][]*Child
}

// ErrClosed is returned by a Supervisor after Close.
var ErrClosed = errors.New("the supervisor is closed")

// New makes a Supervisor and its log folder.
func New(opts Options) (*Supervisor, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Backoff = opts.Backoff.withDefaults()
	if err := os.MkdirAll(opts.LogDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log folder: %w", err)
	}
	return &Supervisor{opts: opts, spawner: newSpawner(), closing: make(chan struct{}), children: map[string]*Child{}}, nil
}

// Start starts the given children at the same time, as one stage, and returns
// when all of them are ready. The error names every child that could not be
// started, with its last words; the others keep running. Names are unique in a
// Supervisor for ever: a child that was stopped is started again by Child.Start.
func (s *Supervisor) Start(ctx context.Context, specs ...Spec) error {
	stage, err := s.add(specs)
	if err != nil {
		return err
	}
	return together(stage, func(c *Child) error { return c.Start(ctx) })
}

// add registers all of specs or none.
func (s *Supervisor) add(specs []Spec) ([]*Child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return nil, ErrClosed
	}
	added := map[string]*Child{}
	stage := make([]*Child, 0, len(specs))
	for _, spec := range specs {
		spec, err := spec.withDefaults(s.opts.LogDir)
		if err != nil {
			return nil, err
		}
		if s.children[spec.Name] != nil || added[spec.Name] != nil {
			return nil, fmt.Errorf("there is a child %q already", spec.Name)
		}
		child := &Child{spec: spec, sup: s, log: newChildLog(spec.logPath, spec.MaxLogBytes), state: StateStopped}
		added[spec.Name] = child
		stage = append(stage, child)
	}
	maps.Copy(s.children, added)
	s.stages = append(s.stages, stage)
	return stage, nil
}

func (s *Supervisor) isClosed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Child returns the child of that name.
func (s *Supervisor) Child(name string) (*Child, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	child, ok := s.children[name]
	return child, ok
}

// Children returns the children in order of their start.
func (s *Supervisor) Children() []*Child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.stages...)
}

// Close stops every child, the last stage first and the children of one stage
// together, and ends the Supervisor. When ctx ends first, what is left is killed
// without grace. No child runs when Close returns, whatever it returns.
func (s *Supervisor) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.isClosed() {
		s.mu.Unlock()
		return nil
	}
	close(s.closing)
	stages := slices.Clone(s.stages)
	s.mu.Unlock()
	var errs []error
	for _, stage := range slices.Backward(stages) {
		errs = append(errs, together(stage, func(c *Child) error { return c.Stop(ctx) }))
	}
	s.spawner.close()
	for _, child := range slices.Concat(stages...) {
		child.log.close()
	}
	return errors.Join(errs...)
}

func together(stage []*Child, do func(*Child) error) error {
	errs := make([]error, len(stage))
	var wg sync.WaitGroup
	for i, child := range stage {
		wg.Go(func() { errs[i] = do(child) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// emit hands e over; events of all children are serialised.
func (s *Supervisor) emit(e Event) {
	s.opts.Logger.Info("child", slog.String("name", e.Child), slog.String("event", string(e.Kind)),
		slog.Int("pid", e.PID), slog.String("exit", e.Exit.String()))
	if s.opts.OnEvent == nil {
		return
	}
	s.eventMu.Lock()
	defer s.eventMu.Unlock()
	s.opts.OnEvent(e)
}
