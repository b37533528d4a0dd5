package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

type demoServerFlags struct {
	name, region, listen, journal, control, traces string
	stateful                                       bool
}

// newDemoServer is for 'holdfast up' and for tests; people do not need it.
func newDemoServer(env *environment) *cobra.Command {
	var flags demoServerFlags
	cmd := &cobra.Command{
		Use: "demo-server orders|inventory", Short: "Run one ShopMax demo server", Hidden: true,
		Args:      usageArgs(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{demo.Orders, demo.Inventory},
		RunE: func(cmd *cobra.Command, args []string) error {
			return serveDemo(cmd.Context(), env, args[0], flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.name, "name", "", "name of the endpoint, for the journal")
	f.StringVar(&flags.region, "region", "", "region of the endpoint, for the journal")
	f.StringVar(&flags.listen, "listen", "", "address to answer on, host:port")
	f.StringVar(&flags.journal, "journal", "", "file to which executions are appended (default: none)")
	f.StringVar(&flags.control, "control", "", "where faults are set: unix:///path, or host:port on loopback (default: nowhere)")
	f.BoolVar(&flags.stateful, "stateful", false, "keep a session for each client, as servers of older MCP revisions do")
	f.StringVar(&flags.traces, "traces", "", "OTLP receiver (gRPC, host:port) of spans for messages that their sender traces (default: none)")
	return cmd
}

func serveDemo(ctx context.Context, env *environment, kind string, flags demoServerFlags) (err error) {
	if flags.name == "" || flags.listen == "" {
		return usagef("--name and --listen are needed")
	}
	logger := slog.New(slog.NewTextHandler(env.Stderr, nil))
	cfg := demo.Config{Server: kind, Name: flags.name, Region: flags.region, Version: version(), Logger: logger, Stateful: flags.stateful}
	if flags.journal != "" {
		journal, err := demo.OpenJournal(flags.journal)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, journal.Close()) }()
		cfg.Journal = journal
	}
	if flags.traces != "" {
		spans := trace.NewCurrent(trace.Source{Service: "shopmax-" + kind, Version: version(), Instance: flags.name}, nil, logger)
		defer spans.Close()
		spans.Use(&trace.Settings{Address: flags.traces})
		cfg.Traces = spans.Pipeline()
	}
	server, err := demo.NewServer(cfg)
	if err != nil {
		return err
	}
	var listening net.ListenConfig
	public, err := listening.Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", flags.listen, err)
	}
	control, err := listenControl(ctx, flags.control)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	logger.Info("serving", slog.String("server", kind), slog.String("name", flags.name), slog.String("address", public.Addr().String()))
	return server.Serve(ctx, public, control)
}

// listenControl opens the control endpoint to this machine only, a unix socket to
// its owner only. A socket file that a killed process has left is replaced; one
// that answers is not.
func listenControl(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	network, target := demo.SplitAddress(address)
	if network == "unix" {
		if conn, err := new(net.Dialer).DialContext(ctx, network, target); err == nil {
			return nil, errors.Join(fmt.Errorf("another process listens on %s", address), conn.Close())
		}
		if info, err := os.Lstat(target); err == nil && info.Mode().Type() == os.ModeSocket {
			if err := os.Remove(target); err != nil {
				return nil, fmt.Errorf("removing an old socket: %w", err)
			}
		}
	} else if host, _, err := net.SplitHostPort(target); err != nil || !isLoopback(host) {
		return nil, usagef(fmt.Sprintf("--control %s is neither unix:///path nor a loopback host:port", address))
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, network, target)
	if err != nil {
		return nil, fmt.Errorf("listening for control on %s: %w", address, err)
	}
	if network == "unix" {
		if err := os.Chmod(target, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("closing the control socket to others: %w", err), listener.Close())
		}
	}
	return listener, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
