package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/envoy"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

const upHelp = `Runs a whole Holdfast on this machine until Ctrl-C: ShopMax's demo servers, the
control plane, two external processors and Envoy. An Envoy is fetched if there is
none. Ports that are busy are moved, and said. What dies is said with its last
words and started again, except demo servers.

The configuration is watched while it runs: edit it and see the change land.

Traces of all calls go to a Jaeger that runs beside the rest. It is built the first time,
while everything else is up already; 'holdfast trace' shows what it has.

Environment: HOLDFAST_ENVOY names the Envoy binary to use, HOLDFAST_REDIS is the
default of --redis. HOLDFAST_JAEGER is off for no traces, or the URL of a Jaeger that
runs already, such as http://127.0.0.1:16686: spans then go to port 4317 of its host, or
to OTEL_EXPORTER_OTLP_ENDPOINT. HOLDFAST_JAEGER_BIN names the Jaeger binary to run; a
release of jaeger-all-in-one 1.x has the web page, which the one that is built lacks.`

// closeWithin bounds an orderly stop; each child has a shorter grace of its own.
const closeWithin = 45 * time.Second

type upFlags struct {
	config, state, bootstrap, region, redis string
	processors, concurrency                 int
	noDemo, statefulDemo, noCheck           bool
}

func newUp(env *environment) *cobra.Command {
	var flags upFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Run everything on this machine until Ctrl-C", Long: upHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), env, flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.config, "config", "", "folder of the configuration (default examples/shopmax)")
	f.StringVar(&flags.state, "state", env.stateDir(), "folder for logs, journals and what is remembered")
	f.StringVar(&flags.bootstrap, "bootstrap", "", "Envoy's bootstrap (default envoy/bootstrap.yaml)")
	f.StringVar(&flags.region, "region", "", "region of this Envoy (default: the bootstrap's)")
	f.IntVar(&flags.processors, "processors", 2, "number of external processors, 1 to 16")
	f.IntVar(&flags.concurrency, "envoy-concurrency", 0, "Envoy's worker threads (default: one per core)")
	f.StringVar(&flags.redis, "redis", env.Getenv("HOLDFAST_REDIS"), "host:port of a Redis that the processors share (default: none)")
	f.BoolVar(&flags.noDemo, "no-demo", false, "run no demo servers")
	f.BoolVar(&flags.statefulDemo, "stateful-demo", false, "let the demo servers keep sessions; see examples/sessions")
	f.BoolVar(&flags.noCheck, "no-snapshot-check", false, "do not let Envoy check each snapshot before it goes out")
	return cmd
}

func up(ctx context.Context, env *environment, flags upFlags) error {
	began := time.Now()
	show := newScreen(env)
	opts, err := upOptions(ctx, env, show, flags)
	if err != nil {
		return err
	}
	running, err := stack.Start(ctx, opts)
	if err != nil {
		if ctx.Err() != nil {
			show.line("Stopped before it was up.")
			return nil //nolint:nilerr // what somebody asked for
		}
		if locked := (*stack.LockedError)(nil); errors.As(err, &locked) {
			return locked
		}
		return fmt.Errorf("it is not up: %w\nLogs are in %s", err, filepath.Join(opts.State, "logs"))
	}
	say(env.Stdout, "%s", welcome(env, running, flags, time.Since(began)))
	var told sync.WaitGroup
	told.Go(func() { new(news).follow(ctx, running.Info().XDSAdmin, show.line) })
	<-ctx.Done()
	told.Wait()
	return down(show, running)
}

// down stops everything in order; a second signal makes it short.
func down(show *screen, running *stack.Stack) error {
	show.line("Stopping everything; Ctrl-C again kills what is left.")
	ctx, again := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer again()
	ctx, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	if err := running.Close(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	show.line("Stopped; nothing is left running.")
	return nil
}

func upOptions(ctx context.Context, env *environment, show *screen, flags upFlags) (stack.Options, error) {
	opts := stack.Options{
		Config: flags.config, State: flags.state, Temp: os.TempDir(), Bootstrap: flags.bootstrap, Region: flags.region,
		Processors: flags.processors, EnvoyConcurrency: flags.concurrency, CheckSnapshots: !flags.noCheck,
		Version: version(), OnStep: show.report, OnEvent: show.event,
	}
	if flags.processors < 1 || flags.processors > 16 {
		return opts, usagef(fmt.Sprintf("--processors %d is not between 1 and 16", flags.processors))
	}
	if opts.State == "" {
		return opts, usagef("there is no default state folder, since HOME is not set: say where with --state")
	}
	if !flags.noDemo {
		opts.Demo = demo.Places()
		for i := range opts.Demo {
			opts.Demo[i].Stateful = flags.statefulDemo
		}
	}
	if flags.redis != "" {
		if _, _, err := net.SplitHostPort(flags.redis); err != nil {
			return opts, usagef(fmt.Sprintf("--redis %q is not host:port", flags.redis))
		}
		opts.Redis = flags.redis
	}
	var errs [3]error
	opts.Programs.Holdfast = env.Executable
	opts.Programs.XDS, errs[0] = env.sibling("xds")
	opts.Programs.Extproc, errs[1] = env.sibling("extproc")
	if opts.Config == "" {
		opts.Config, errs[2] = env.shipped(filepath.Join("examples", "shopmax"), "config")
	}
	if err := errors.Join(errs[:]...); err != nil {
		return opts, err
	}
	if opts.Bootstrap == "" {
		path, err := env.bootstrap(opts.State)
		if err != nil {
			return opts, err
		}
		opts.Bootstrap = path
	}
	found, err := findEnvoy(ctx, env, show)
	if err != nil {
		return opts, err
	}
	opts.Programs.Envoy = found.Path
	opts.Tracing, err = env.tracing(ctx, func(text string) { show.line("  " + text) })
	return opts, err
}

// bootstrap finds envoy/bootstrap.yaml, or writes this program's own copy where
// there is no repository around.
func (e *environment) bootstrap(state string) (string, error) {
	if path, err := e.shipped(filepath.Join("envoy", "bootstrap.yaml"), "bootstrap"); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", fmt.Errorf("making the state folder: %w", err)
	}
	path := filepath.Join(state, "bootstrap-default.yaml")
	if err := os.WriteFile(path, envoy.Bootstrap, 0o600); err != nil {
		return "", fmt.Errorf("writing the bootstrap: %w", err)
	}
	return path, nil
}

// findEnvoy shows the search as a step.
func findEnvoy(ctx context.Context, env *environment, show *screen) (parts.Envoy, error) {
	show.begin("finding Envoy")
	began := time.Now()
	finder := env.finder(func(text string) { show.line("  " + text) })
	found, err := finder.Envoy(ctx)
	name := "Envoy"
	if err == nil {
		name = "Envoy " + found.Version
	}
	show.end(stack.Step{Name: name, Done: true, Took: time.Since(began), Err: err})
	if err != nil {
		return parts.Envoy{}, fmt.Errorf("finding Envoy: %w", err)
	}
	return found, nil
}
