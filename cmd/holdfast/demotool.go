package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/demo/play"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// playTool breaks one tool of the first of the orders servers by its own fault switch.
func playTool(ctx context.Context, env *environment, flags demoFlags, out io.Writer, info *stack.RunInfo, endpoint string, orders []string) error {
	primary := info.Demo[orders[0]]
	mended := func() {}
	defer func() { mended() }()
	opts := play.ToolOptions{
		Endpoint: endpoint, Primary: orders[0], Standby: orders[1], Callers: flags.callers, Rate: flags.rate, Act: flags.act,
		Out: out, Colors: env.colors(env.Stdout), Version: version(),
		Break: func(ctx context.Context, tool string, broken bool) error {
			if !broken {
				return demo.PutFaults(ctx, primary.Control, demo.Faults{}) //nolint:wrapcheck // the play says what it did
			}
			release, err := demo.HoldFaults(ctx, primary.Control, demo.Faults{Mode: demo.FaultIsError, Tools: []string{tool}})
			if err == nil {
				mended = release
			}
			return err //nolint:wrapcheck // the play says what it did
		},
		Linger: func(lingering context.Context) (context.Context, context.CancelFunc) {
			if errors.Is(context.Cause(ctx), errUnread) {
				return context.WithTimeout(lingering, 0)
			}
			return signal.NotifyContext(lingering, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		},
	}
	if info.EnvoyAdmin != "" {
		admin, err := envoyadmin.New(info.EnvoyAdmin)
		if err != nil {
			return fmt.Errorf("asking Envoy: %w", err)
		}
		defer admin.Close()
		opts.Ejected = func(ctx context.Context) (bool, error) { return ejected(ctx, admin, primary.Address) }
	}
	summary, err := play.RunTool(ctx, opts)
	return played(ctx, env, err, summary.Broken, toolRestored(summary, orders[0]))
}

// toolRestored says what a play that was stopped has left.
func toolRestored(s play.ToolSummary, primary string) string {
	switch {
	case !s.WasBroken:
		return "nothing was broken yet"
	case s.Back:
		return "the tool that was broken works again, and its calls go to " + primary
	default:
		return "the tool that was broken is mended; its breaker is still open, and closes by its next calls"
	}
}

// ejected tells whether Envoy does not use an endpoint.
func ejected(ctx context.Context, admin *envoyadmin.Client, address string) (bool, error) {
	health, err := admin.Clusters(ctx)
	if err != nil {
		return false, err //nolint:wrapcheck // the play says what was asked
	}
	for _, h := range health {
		if h.Address == address && h.State == envoyadmin.Ejected {
			return true, nil
		}
	}
	return false, nil
}
