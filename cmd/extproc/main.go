// Command extproc is Holdfast's external processor: the service that Envoy asks
// about every MCP request and every answer to one.
//
// It exits with 0 after a clean shutdown, 1 when it cannot go on and 2 when it was
// started wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(execute(os.Args[1:], os.LookupEnv, os.Stderr))
}

// settings are what the command line says.
type settings struct {
	listen    string
	xds       string
	http      string
	state     string
	nodeID    string
	region    string
	drain     time.Duration
	linger    time.Duration
	logFormat string
	logLevel  string
	gcPercent int
	procs     int

	redis redisSettings
	// resultsMiB is how much of what tools have answered is remembered in memory.
	resultsMiB int

	nativeHistograms bool
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func execute(args []string, env func(string) (string, bool), stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := command(env, stderr)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(stderr, "extproc: %v\nSee extproc --help.\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(stderr, "extproc: %v\n", err)
	return exitFailure
}

func command(env func(string) (string, bool), stderr io.Writer) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "extproc --listen ADDRESS --node-id ID",
		Short: "Holdfast's external processor for Envoy",
		Long: `extproc answers Envoy's questions about MCP requests and answers.

It takes its policies from the control plane (--xds), keeps the last accepted
ones under --state, and starts with those while the control plane is away. It
counts as ready once it has policies.

GOGC and GOMAXPROCS in the environment win over --gc-percent and --procs.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(stderr, s.logFormat, s.logLevel)
			if err != nil {
				return usageError{err}
			}
			if err := s.check(); err != nil {
				return usageError{err}
			}
			tune(s, env)
			// The client of Redis would log every attempt to connect.
			logging.Disable()
			return run(cmd.Context(), s, logger)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := cmd.Flags()
	flags.StringVar(&s.listen, "listen", "127.0.0.1:18002", "address for Envoy, unix:///path or host:port")
	flags.StringVar(&s.xds, "xds", "127.0.0.1:18000", "address of the control plane")
	flags.StringVar(&s.http, "http", "127.0.0.1:18011", "address of /health, /ready and /metrics")
	flags.StringVar(&s.state, "state", "", "directory for the last accepted policies, one for each processor; empty keeps none")
	flags.StringVar(&s.nodeID, "node-id", "", "name of this processor, unique among all (required)")
	flags.StringVar(&s.region, "region", "", "region that this processor runs in")
	flags.DurationVar(&s.drain, "drain", 1500*time.Millisecond, "how long to go on serving after a stop signal while the health check fails, so that Envoy moves away; 0s to 5m")
	flags.DurationVar(&s.linger, "linger", 5*time.Second, "how long streams may last after that before they are cut; 0s to 5m")
	flags.StringVar(&s.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal, json elsewhere")
	flags.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.IntVar(&s.gcPercent, "gc-percent", 400, "heap growth between garbage collections; streams are short and leave little behind; 10 to 10000")
	flags.IntVar(&s.procs, "procs", 0, "processors to run on; 0 takes all. Where cores are few, several instances on one each serve more than one instance on all")
	flags.BoolVar(&s.nativeHistograms, "native-histograms", false, "add native histograms to the metrics, for a Prometheus that scrapes them")
	flags.IntVar(&s.resultsMiB, "results-mib", 32, "memory for results of tools that are remembered where a rule says so, in MiB, 1 to 4096")
	s.redis.add(flags)
	return cmd
}

func (s settings) check() error {
	const longest = 5 * time.Minute
	switch {
	case s.nodeID == "":
		return errors.New("--node-id is required")
	case s.drain < 0 || s.drain > longest:
		return fmt.Errorf("--drain %v is not within 0s to %v", s.drain, longest)
	case s.linger < 0 || s.linger > longest:
		return fmt.Errorf("--linger %v is not within 0s to %v", s.linger, longest)
	case s.gcPercent < 10 || s.gcPercent > 10000:
		return fmt.Errorf("--gc-percent %d is not within 10 to 10000", s.gcPercent)
	case s.resultsMiB < 1 || s.resultsMiB > 4096:
		return fmt.Errorf("--results-mib %d is not within 1 to 4096", s.resultsMiB)
	case s.procs < 0:
		return fmt.Errorf("--procs %d is negative", s.procs)
	}
	return s.redis.check()
}

// tune sets the runtime where the environment has not.
func tune(s settings, env func(string) (string, bool)) {
	if _, set := env("GOGC"); !set {
		debug.SetGCPercent(s.gcPercent)
	}
	if _, set := env("GOMAXPROCS"); !set && s.procs > 0 {
		runtime.GOMAXPROCS(s.procs)
	}
}
