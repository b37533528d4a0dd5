// Package stack runs a whole Holdfast on one machine: demo servers, control
// plane, external processors and Envoy, each a child of one supervisor, on the
// default addresses or on free ones. `holdfast up` is this package with a
// terminal, and end-to-end tests run it in a temporary folder.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// Default addresses of what the configuration does not name.
const (
	DefaultXDS           = "127.0.0.1:18000"
	DefaultXDSAdmin      = "127.0.0.1:18001"
	DefaultEnvoyAdmin    = "127.0.0.1:9901"
	defaultProcessorHTTP = "127.0.0.1:18011"
	anyPort              = "127.0.0.1:0"
)

// Programs are the paths of the binaries.
type Programs struct {
	// Holdfast runs the demo servers.
	Holdfast string
	XDS      string
	Extproc  string
	Envoy    string
}

// Options of a Stack.
type Options struct {
	// Config is the folder of the configuration.
	Config string
	// State is the folder for everything that is written; made when missing.
	State string
	// Temp is where the sockets go if State has too long a path for them, such as os.TempDir().
	Temp     string
	Programs Programs
	// Bootstrap is the path of Envoy's bootstrap.
	Bootstrap string
	// Region of Envoy and processors; empty: as the bootstrap says, and none.
	Region string
	// Processors is how many to run; 0: two.
	Processors int
	// ProcessorCores is how many cores each of them runs on; 0: an equal part of all.
	ProcessorCores int
	// Demo servers to run, of those whose address the configuration names.
	Demo []demo.Place
	// Redis, host:port, is shared by the processors; empty: they share nothing but what they
	// tell each other.
	Redis string
	// Tracing is where spans go, of every call where the configuration says nothing else.
	Tracing Tracing
	// AnyPorts listens on free ports instead of the configured and default ones.
	AnyPorts bool
	// EnvoyConcurrency is the number of Envoy's worker threads; 0: one per core.
	EnvoyConcurrency int
	// CheckSnapshots lets the control plane check each snapshot with Envoy.
	CheckSnapshots bool
	// Version is written to the run file.
	Version string
	// OnStep is told what Start does, and later what becomes of what Start did not wait for;
	// it must be safe for concurrent use. nil: nobody is told.
	OnStep func(Step)
	// OnEvent is told what happens to children; see supervise.Options.
	OnEvent func(supervise.Event)
	// Logger may be nil.
	Logger *slog.Logger
	// Backoff of the restarts.
	Backoff supervise.Backoff
}

// Step is one report of Start: with neither Done nor Note it begins, and the
// next one with Done ends it.
type Step struct {
	// Name such as "control plane".
	Name string
	Done bool
	// Beside: it went on beside the others, and maybe past the end of Start.
	Beside bool
	// Note is something to know, outside of the steps: "port 10000 is busy: using 10010".
	Note string
	// Took is the time of a Done step; Err why it failed.
	Took time.Duration
	Err  error
}

// Stack is a running Holdfast. Make one with Start, end it with Close.
type Stack struct {
	opts       Options
	cfg        *config.Config
	state      *stateDir
	ports      supervise.Ports
	supervisor *supervise.Supervisor
	control    *http.Server
	controlled chan struct{}
	info       RunInfo
	jaeger     jaegerRun
	remap      map[string]string
	// demo servers that run, and the configured address of each.
	places []demo.Place
}

// Start loads the configuration, takes the state folder and starts everything,
// each stage ready before the next one begins. When it fails, nothing is left
// running. *LockedError where a Stack runs on the state folder already.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	s := &Stack{opts: opts, remap: map[string]string{}}
	if s.opts.Processors <= 0 {
		s.opts.Processors = 2
	}
	if s.opts.ProcessorCores <= 0 {
		s.opts.ProcessorCores = max(1, runtime.NumCPU()/s.opts.Processors)
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := s.start(ctx); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

const closeTimeout = 30 * time.Second

func (s *Stack) start(ctx context.Context) error {
	var err error
	if s.opts.Config, err = filepath.Abs(s.opts.Config); err != nil {
		return fmt.Errorf("finding the configuration: %w", err)
	}
	if s.cfg, err = config.Load(s.opts.Config); err != nil {
		return fmt.Errorf("loading the configuration in %s: %w", s.opts.Config, err)
	}
	if s.state, err = openStateDir(s.opts.State); err != nil {
		return err
	}
	s.opts.State = s.state.path
	s.info = RunInfo{PID: os.Getpid(), Started: time.Now().UTC(), Version: s.opts.Version, Config: s.opts.Config, Redis: s.opts.Redis, Demo: map[string]DemoInfo{}}
	if s.info.RunDir, err = makeRunDir(s.opts.State, s.opts.Temp); err != nil {
		return err
	}
	if err := s.placeAddresses(); err != nil {
		return err
	}
	s.supervisor, err = supervise.New(supervise.Options{
		LogDir: filepath.Join(s.opts.State, "logs"), Logger: s.opts.Logger, OnEvent: s.opts.OnEvent, Backoff: s.opts.Backoff,
	})
	if err != nil {
		return err
	}
	s.startJaeger(ctx)
	if err := s.startStages(ctx); err != nil {
		return err
	}
	if err := s.serveControl(); err != nil {
		return err
	}
	for _, child := range s.supervisor.Children() {
		s.info.Children = append(s.info.Children, child.Status())
	}
	return s.state.write(&s.info)
}

// Close stops everything in order, the newest first, and removes sockets, run
// file and lock; logs and journals stay. When ctx ends, what is left is killed.
func (s *Stack) Close(ctx context.Context) error {
	var errs []error
	s.jaeger.close()
	if s.supervisor != nil {
		errs = append(errs, s.supervisor.Close(ctx))
	}
	// Not before: the end of a connection may be that of somebody for whom a child has to be started again.
	if s.control != nil {
		errs = append(errs, s.control.Close())
		<-s.controlled
	}
	s.ports.Close()
	if s.info.RunDir != "" {
		errs = append(errs, os.RemoveAll(s.info.RunDir))
	}
	if s.state != nil {
		errs = append(errs, s.state.close())
		s.state = nil
	}
	return errors.Join(errs...)
}

// Info returns where everything is.
func (s *Stack) Info() RunInfo { return s.info }

// Supervisor has the children.
func (s *Stack) Supervisor() *supervise.Supervisor { return s.supervisor }

// Config returns the configuration that the stack was started with.
func (s *Stack) Config() *config.Config { return s.cfg }

// step runs one step and reports it.
func (s *Stack) step(name string, do func() error) error {
	s.report(Step{Name: name})
	began := time.Now()
	err := do()
	s.report(Step{Name: name, Done: true, Took: time.Since(began), Err: err})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *Stack) report(step Step) {
	if s.opts.OnStep != nil {
		s.opts.OnStep(step)
	}
}

// serveControl lets `holdfast demo`, `holdfast drill` and tests act on everything but Envoy, which nothing stands in for.
func (s *Stack) serveControl() error {
	s.info.Control = filepath.Join(s.info.RunDir, "control.sock")
	listener, err := net.Listen("unix", s.info.Control) //nolint:noctx // returns at once
	if err != nil {
		return fmt.Errorf("listening for control: %w", err)
	}
	if err := os.Chmod(s.info.Control, 0o600); err != nil {
		return errors.Join(fmt.Errorf("closing the control socket to others: %w", err), listener.Close())
	}
	var names []string
	for _, child := range s.supervisor.Children() {
		if child.Name() != envoyName {
			names = append(names, child.Name())
		}
	}
	s.control = &http.Server{Handler: supervise.Control(s.supervisor, names), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	s.controlled = make(chan struct{})
	go func() {
		defer close(s.controlled)
		if err := s.control.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.opts.Logger.Error("control socket", slog.Any("error", err))
		}
	}()
	return nil
}
