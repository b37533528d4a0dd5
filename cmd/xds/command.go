package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flags are the command line.
type flags struct {
	config, listen, admin, state, envoy string
	api                                 api.ListenOptions
	history                             int
	processors, remap, peers            []string
	traces                              string
	measure                             string
	logFormat, logLevel                 string
}

const long = `xds watches a directory of Gateway, MCPServer and MCPRoute resources, takes more of
them by its admin API, and gives Envoys (listeners, routes, clusters, endpoints) and extproc
instances (policies, catalog) what they say, over xDS.

A configuration is used as a whole or not at all: while the directory has a fault,
the last good one stays. Each change is a revision of its own, kept in the state
directory. It goes out in phases, new things first and removals last. A change of the
directory is taken back when a node refuses it; one by the API says what is to happen then.

Exit codes: 0 stopped on request, 1 failed, 2 wrong usage.`

const example = `  xds --config examples/shopmax --processors unix:///run/holdfast/extproc-1.sock,unix:///run/holdfast/extproc-2.sock
  curl -s http://127.0.0.1:18001/v1/status`

func command() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use: "xds --config DIR", Short: "Holdfast's control plane", Long: long, Example: example,
		Version: version(), SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unexpected argument %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.Context()) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.config, "config", "", "directory of configuration to watch (*.yaml, *.yml); required")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:18000", "address for xDS; it has no access control, so keep it away from foreign networks")
	fs.StringVar(&f.admin, "admin", "127.0.0.1:18001", "loopback address for /health, /ready, /metrics, /v1/status and the admin API")
	fs.StringVar(&f.api.Address, "api", "", "another address for the admin API, host:port or unix:///path; other machines can reach it only with TLS and credentials, and with those --admin no longer takes changes")
	fs.StringVar(&f.api.CertFile, "api-cert", "", "certificate chain of --api, PEM")
	fs.StringVar(&f.api.KeyFile, "api-key", "", "private key of --api, PEM")
	fs.StringVar(&f.api.ClientCAFile, "api-client-ca", "", "authorities whose client certificates may use --api, PEM; their organizational unit gives the role")
	fs.StringVar(&f.api.TokensFile, "api-tokens", "", "tokens that may use --api, a line each: read|write SUBJECT sha256:HEX; mode 0600")
	fs.StringVar(&f.state, "state", "", "directory that keeps the revisions and what else a restart must know (default $XDG_STATE_HOME/holdfast/xds, a folder there for each --config)")
	fs.IntVar(&f.history, "history", store.DefaultKeep, fmt.Sprintf("revisions that are kept, 1 to %d", store.MaxKeep))
	fs.StringSliceVar(&f.processors, "processors", nil, "addresses of the extproc instances, unix:///path or host:port, for a Gateway that names none")
	fs.StringVar(&f.traces, "traces", "", "OTLP receiver (gRPC, host:port) for traces of every call, for a Gateway that names none")
	fs.StringArrayVar(&f.remap, "remap", nil, "OLD=NEW: use host:port NEW where the configuration says OLD; repeatable")
	fs.StringVar(&f.measure, "measure", "all", "what is found out of endpoints: all, calls (no probes are made) or nothing (they are left to Envoy)")
	fs.StringSliceVar(&f.peers, "peers", nil, "xDS addresses, host:port, of the other control planes that have the same configuration (this one's own may be among them): each looks at its part of the endpoints, and takes over within seconds what another one looked at that is gone; like xDS itself without access control")
	fs.StringVar(&f.envoy, "envoy", "", "Envoy binary that checks every revision before it goes out (default: no check)")
	fs.StringVar(&f.logFormat, "log-format", "", "text or json (default: text on a terminal, else json)")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (f *flags) options() (control.Options, error) {
	logger, err := f.logger()
	if err != nil {
		return control.Options{}, err
	}
	switch {
	case f.config == "":
		return control.Options{}, usagef("--config DIR is required")
	case f.state == "" && defaultState() == "":
		return control.Options{}, usagef("--state DIR is required: there is no home directory to derive one from")
	case f.history < 1 || f.history > store.MaxKeep:
		return control.Options{}, usagef("--history %d: want 1 to %d", f.history, store.MaxKeep)
	case f.api.Address == "" && f.api.CertFile+f.api.KeyFile+f.api.ClientCAFile+f.api.TokensFile != "":
		return control.Options{}, usagef("--api-cert, --api-key, --api-client-ca and --api-tokens are for --api, which is missing")
	}
	if f.state == "" {
		key, err := config.DirKey(f.config)
		if err != nil {
			return control.Options{}, fmt.Errorf("choosing the state directory: %w", err)
		}
		f.state = filepath.Join(defaultState(), key)
	}
	remap, err := remaps(f.remap)
	if err != nil {
		return control.Options{}, err
	}
	if _, _, err := net.SplitHostPort(f.traces); f.traces != "" && err != nil {
		return control.Options{}, usagef("--traces %q is not host:port", f.traces)
	}
	opts := control.Options{
		ConfigDir: f.config, StateDir: f.state, History: f.history, Version: version(), Logger: logger,
		Compiler: revision.Compiler{Processors: f.processors, Traces: f.traces, Remap: remap},
	}
	ok := false
	measures := map[string]control.Measure{"all": control.MeasureAll, "calls": control.MeasureCalls, "nothing": control.MeasureNothing}
	if opts.Measure, ok = measures[f.measure]; !ok {
		return control.Options{}, usagef("--measure %q: want all, calls or nothing", f.measure)
	}
	if len(f.peers) > 0 && opts.Measure != control.MeasureAll {
		return control.Options{}, usagef("--peers share probes, which --measure %s does without", f.measure)
	}
	for _, address := range f.peers {
		host, _, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			return control.Options{}, usagef("--peers %q is not host:port", address)
		}
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return control.Options{}, usagef("--peers %q: %v", address, err)
		}
		opts.Peers = append(opts.Peers, conn)
	}
	if f.envoy != "" {
		opts.Check = &revision.EnvoyCheck{Path: f.envoy}
	}
	return opts, nil
}

func remaps(pairs []string) (map[string]string, error) {
	out := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		from, to, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--remap %q: want OLD=NEW", pair)
		}
		for _, address := range []string{from, to} {
			if _, _, err := net.SplitHostPort(address); err != nil {
				return nil, usagef("--remap %q: %q is not host:port", pair, address)
			}
		}
		if old, dup := out[from]; dup && old != to {
			return nil, usagef("--remap: %s is mapped to both %s and %s", from, old, to)
		}
		out[from] = to
	}
	return out, nil
}

func (f *flags) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usagef("--log-level %q: want debug, info, warn or error", f.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	format := f.logFormat
	if format == "" {
		format = "json"
		if term.IsTerminal(int(os.Stderr.Fd())) {
			format = "text"
		}
	}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, opts)), nil
	default:
		return nil, usagef("--log-format %q: want text or json", f.logFormat)
	}
}

// defaultState follows the XDG base directories; empty when there is no home.
func defaultState() string {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "holdfast", "xds")
}

// release is what whoever linked the program calls it (-X main.release=1.2.3); empty:
// nothing. A build away from the repository, such as an image's, knows nothing else.
var release string

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
