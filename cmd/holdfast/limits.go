package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

const limitsHelp = `Rate limits bound how many requests a caller, session, server, tool or argument may
have in a time; 'holdfast explain' says which ones a message counts for.

Exit codes: 0 done, 1 it failed, 2 the command was not understood.`

const limitsTopHelp = `Shows who has used the most of a rate limit: those over it were refused, and how often.
Callers, sessions and arguments stand there as short hashes. The processors are asked
at their HTTP addresses; by default those of 'holdfast up', else 127.0.0.1:18011 and
18012. Without a Redis each counts what came by itself, and the sum is shown.

Exit codes: 0 shown, 1 no processor could be asked, 2 the command was not understood.`

const limitsTimeout = 5 * time.Second

type limitsFlags struct {
	processors []string
	state      string
	n          int
}

func newLimits(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "limits", Short: "Show who is near a rate limit or over it", Long: limitsHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var flags limitsFlags
	top := &cobra.Command{
		Use: "top", Short: "List the greatest users of rate limits", Long: limitsTopHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.n < 1 || flags.n > limit.MaxPageUses {
				return usagef(fmt.Sprintf("-n %d is not within 1 to %d", flags.n, limit.MaxPageUses))
			}
			return limitsTop(cmd.Context(), env, flags)
		},
	}
	top.Flags().StringSliceVar(&flags.processors, "processor", nil, "HTTP `address` of a processor, host:port; may be repeated")
	top.Flags().StringVar(&flags.state, "state", env.stateDir(), "folder of the running 'holdfast up'")
	top.Flags().IntVarP(&flags.n, "number", "n", limit.DefaultPageUses, "how many to show")
	cmd.AddCommand(top)
	return cmd
}

func limitsTop(ctx context.Context, env *environment, flags limitsFlags) error {
	addresses := flags.processors
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1:18011", "127.0.0.1:18012"}
		if info, err := stack.ReadRunInfo(flags.state); err == nil && len(info.ProcessorHTTP) > 0 {
			addresses = info.ProcessorHTTP
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			say(env.Stderr, "what holdfast up wrote down is not read: %v\n", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limitsTimeout)
	defer cancel()
	var pages []limit.Page
	var problems []error
	for _, address := range addresses {
		page, err := limitsOf(ctx, address)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		pages = append(pages, page)
	}
	if len(pages) == 0 {
		return errors.Join(problems...)
	}
	for _, problem := range problems {
		say(env.Stderr, "not asked: %v\n", problem)
	}
	showLimits(env.Stdout, limit.Join(pages, flags.n))
	return nil
}

func limitsOf(ctx context.Context, address string) (limit.Page, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s?n=%d", address, limit.PagePath, limit.MaxPageUses), nil)
	if err != nil {
		return limit.Page{}, fmt.Errorf("processor %s: %w", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return limit.Page{}, fmt.Errorf("processor %s: %w", address, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if response.StatusCode != http.StatusOK {
		return limit.Page{}, fmt.Errorf("processor %s: %s", address, response.Status)
	}
	page, err := limit.ReadPage(response.Body)
	if err != nil {
		return limit.Page{}, fmt.Errorf("processor %s: %w", address, err)
	}
	return page, nil
}

func showLimits(to io.Writer, page limit.Page) {
	if len(page.Uses) == 0 {
		say(to, "Nobody has used anything of a rate limit lately.\n")
		return
	}
	out := newTable("USED", "OF", "IN", "REFUSED", "LIMIT", "WHO")
	for _, u := range page.Uses {
		limitID := u.Limit
		if u.Shadow {
			limitID += " (shadow)"
		}
		out.row(fmt.Sprint(u.Used), fmt.Sprint(u.Requests), u.Per, fmt.Sprint(u.Refused), limitID, limitsWho(u))
	}
	counted := "Each processor counts what came by itself; these are the sums.\n"
	if page.Shared {
		counted = "Counted in Redis for all processors.\n"
	}
	out.write(to)
	say(to, "%s", counted)
}

func limitsWho(u limit.PageUse) string {
	var parts []string
	for _, p := range [][2]string{
		{"caller", u.Principal}, {"session", u.Session}, {"server", u.Server}, {"tool", u.Tool}, {"arguments", u.Argument},
	} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	if len(parts) == 0 {
		return "all requests"
	}
	return strings.Join(parts, ", ")
}
