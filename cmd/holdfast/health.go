package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

const healthHelp = `Asks URL once. It is for health checks in images that have no other program to ask
with; redirects and proxies are not followed.

Exit codes: 0 the answer has status 200 (healthy) or 429 (degraded), 1 it has not or there is none, 2 the
command was not understood.`

const (
	defaultHealthTimeout = 2 * time.Second
	maxHealthTimeout     = time.Minute
)

// newHealth is for containers; people look at 'holdfast status'.
func newHealth(env *environment) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "health URL", Short: "Ask whether a program is well", Long: healthHelp, Hidden: true,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 || timeout > maxHealthTimeout {
				return usagef(fmt.Sprintf("--timeout %v is not above 0s and at most %v", timeout, maxHealthTimeout))
			}
			return askHealth(cmd.Context(), env, args[0], timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", defaultHealthTimeout, "limit for the whole answer")
	return cmd
}

func askHealth(ctx context.Context, env *environment, target string, timeout time.Duration) error {
	parsed, err := url.Parse(target)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return usagef(fmt.Sprintf("%q is not an http or https URL", target))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := supervise.ReadyProbe(target).Check(ctx); err != nil {
		return fmt.Errorf("%s is not well: %w", parsed.Redacted(), err)
	}
	say(env.Stdout, "%s is well\n", parsed.Redacted())
	return nil
}
