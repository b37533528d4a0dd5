package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const cacheHelp = `Where a rule says degrade.cachedResult, the processors remember good results of the tool and
give them, marked, when nobody can give a new one.

  holdfast cache purge orders get_order --reason 'prices were wrong'
  holdfast cache purge orders
  holdfast cache purge --all

Exit codes: 0 done, 1 it failed, or there is no such server or tool, 2 the command was
not understood.`

const cachePurgeHelp = `Has all processors forget the results that they remember of a tool, of all tools of a
server, or of everything, in memory and in Redis. Calls that are under way are
not remembered either.

All processors know within about two seconds; one that is not connected does when it is
back, before it shares anything.

Exit codes: 0 done, 1 it failed, or there is no such server or tool, 2 the command was
not understood.`

func newCache(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cache", Short: "Forget remembered results of tools", Long: cacheHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCachePurge(env))
	return cmd
}

type cachePurgeFlags struct {
	connectionFlags
	format         format
	reason, author string
	all            bool
}

func newCachePurge(env *environment) *cobra.Command {
	var flags cachePurgeFlags
	cmd := &cobra.Command{
		Use: "purge SERVER [TOOL] | --all", Short: "Have all processors forget remembered results", Long: cachePurgeHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) > 2 || flags.all == (len(args) > 0) {
				return fmt.Errorf("give SERVER and perhaps TOOL, or --all alone; 'holdfast status' shows servers")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return purgeCache(cmd.Context(), env, &flags, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&flags.all, "all", false, "of all servers")
	f.StringVar(&flags.reason, "reason", "", "why, a line of `text` that others are shown")
	f.StringVar(&flags.author, "author", env.whoami(), "`name` to give where no credentials say who it is (default: $USER)")
	f.Lookup("author").DefValue = ""
	flags.format.add(cmd, "")
	flags.connectionFlags.add(cmd, env)
	cmd.ValidArgsFunction = flags.asking(env, func(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error) {
		switch len(args) {
		case 0:
			return resourceNames(ctx, client, "MCPServer")
		case 1:
			return toolNames(ctx, client, args[0])
		default:
			return nil, nil
		}
	})
	return cmd
}

func purgeCache(ctx context.Context, env *environment, flags *cachePurgeFlags, args []string) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	server, tool, _ := named(args)
	answer, err := client.PurgeCache(ctx, &adminv1.PurgeCacheRequest{Server: server, Tool: tool, Reason: flags.reason, Author: flags.author})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	what := "all servers"
	if server != "" {
		what = strings.Join(args, "/")
	}
	say(env.Stdout, "%s %s.\n", env.painter(env.Stdout).paint(green, "✓"), oneLine(fmt.Sprintf("nothing that was remembered of %s until now is given any more; %s told", what, counted(len(answer.GetProcessors()), "processor"))))
	return nil
}
