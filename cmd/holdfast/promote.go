package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const failbackHelp = `Lets callers go back to the regions of SERVER that they are kept away from, or to REGION alone.
That is for servers with 'failover: {failback: manual}': what has left a region that was down or slow
stays away when it is well again, until somebody says this. Callers go back in steps. 'holdfast status
SERVER' shows who is kept away from where, since when and why.

  holdfast failback orders --reason 'the database is repaired'

Exit codes: 0 done, 1 it failed, nobody is kept away, or the region is not well yet, 2 the command was
not understood.`

const promoteHelp = `Makes REGION the first one of SERVER, as a new revision: calls go there while it is well, and the
region that was first is its standby. The others keep their order. A server that stands in the watched
directory is pinned: it stays so until its file changes, and 'holdfast status' says so. 'holdfast
rollback' takes it back.

  holdfast promote orders asia-south2 --reason 'Mumbai is being moved' --wait

Exit codes: 0 promoted (with --wait: everywhere), 1 it failed, the region is not well, was refused by a
node or took too long, 2 the command was not understood.`

type failbackFlags struct {
	connectionFlags
	format         format
	reason, author string
}

func newFailback(env *environment) *cobra.Command {
	var flags failbackFlags
	cmd := &cobra.Command{
		Use: "failback SERVER [REGION]", Short: "Let callers go back to a region that is well again", Long: failbackHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("give the SERVER, and a REGION where only one is meant")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return failback(cmd.Context(), env, &flags, args) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.reason, "reason", "", "why, a line of `text` that others are shown")
	f.StringVar(&flags.author, "author", env.whoami(), "`name` to give where no credentials say who it is (default: $USER)")
	f.Lookup("author").DefValue = ""
	flags.format.add(cmd, "")
	flags.connectionFlags.add(cmd, env)
	cmd.ValidArgsFunction = flags.asking(env, serversAndRegions)
	return cmd
}

func failback(ctx context.Context, env *environment, flags *failbackFlags, args []string) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	request := &adminv1.FailbackRequest{Server: args[0], Reason: flags.reason, Author: flags.author}
	if len(args) > 1 {
		request.Region = args[1]
	}
	answer, err := client.Failback(ctx, request)
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	say(env.Stdout, "%s callers of %s go back to %s, in steps.\n", env.painter(env.Stdout).paint(green, "✓"), oneLine(args[0]), oneLine(listed(answer.GetRegions())))
	return nil
}

// serversAndRegions proposes servers, and then the regions of the one that was chosen.
func serversAndRegions(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error) {
	answer, err := client.Status(ctx, &adminv1.StatusRequest{})
	var out []cobra.Completion
	for _, s := range answer.GetServers() {
		switch {
		case len(args) == 0:
			out = append(out, s.GetName())
		case len(args) == 1 && args[0] == s.GetName():
			for _, r := range s.GetRegions() {
				out = append(out, r.GetName())
			}
		}
	}
	return out, err //nolint:wrapcheck // nobody reads it
}

func newPromote(env *environment) *cobra.Command {
	var flags changeFlags
	force := false
	cmd := &cobra.Command{
		Use: "promote SERVER REGION", Short: "Make a region the first one of a server", Long: promoteHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("give the SERVER and the REGION that is to be its first")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return promote(cmd.Context(), env, &flags, args, force) },
	}
	flags.add(cmd, env)
	cmd.Flags().BoolVar(&force, "force", false, "also where the region is not well itself")
	cmd.ValidArgsFunction = flags.asking(env, serversAndRegions)
	return cmd
}

func promote(ctx context.Context, env *environment, flags *changeFlags, args []string, force bool) error {
	if err := flags.check(); err != nil {
		return err
	}
	return flags.change(ctx, env, &apiclient.Documents{}, func(ctx context.Context, client *apiclient.Client) (*adminv1.ApplyResponse, error) {
		return client.Promote(ctx, &adminv1.PromoteRequest{
			Server: args[0], Region: args[1], Force: force, Reason: flags.reason, Author: flags.author, DryRun: flags.dryRun,
		}) //nolint:wrapcheck // applyError says it in words
	})
}
