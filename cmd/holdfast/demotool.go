package main

import (
	"context"
	"fmt"

	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/demo/play"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// playTool breaks one tool of the first of the orders servers by its own fault switch.
func playTool(ctx context.Context, env *environment, flags demoFlags, info *stack.RunInfo, endpoint string, orders []string) error {
	primary := info.Demo[orders[0]]
	opts := play.ToolOptions{
		Endpoint: endpoint, Primary: orders[0], Standby: orders[1], Callers: flags.callers, Rate: flags.rate, Act: flags.act,
		Out: env.Stdout, Colors: env.colors(env.Stdout), Version: version(),
		Break: func(ctx context.Context, tool string, broken bool) error {
			faults := demo.Faults{}
			if broken {
				faults = demo.Faults{Mode: demo.FaultIsError, Tools: []string{tool}}
			}
			return demo.PutFaults(ctx, primary.Control, faults) //nolint:wrapcheck // the play says what it did
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
	return played(ctx, env, err, summary.Broken, "the tool that was broken works again")
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
