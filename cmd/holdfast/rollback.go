package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const rollbackHelp = `Makes a new revision with the content of revision N, which 'holdfast history' lists.
A resource that stands in the watched directory with other content is pinned: it
stays as revision N had it until its file changes again, and 'holdfast status' says so.

  holdfast rollback 11 --reason 'calls of get_order fail' --wait

Exit codes: 0 rolled back (with --wait: everywhere), 1 it failed, was refused by a
node or took too long, 2 the command was not understood.`

func newRollback(env *environment) *cobra.Command {
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "rollback N", Short: "Go back to an earlier revision", Long: rollbackHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give the number of one revision; 'holdfast history' lists them")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return rollback(cmd.Context(), env, &flags, args[0]) },
	}
	flags.add(cmd, env)
	cmd.ValidArgsFunction = firstOnly(flags.completeRevisions(env))
	return cmd
}

func rollback(ctx context.Context, env *environment, flags *changeFlags, argument string) error {
	number, err := parseRevision(argument)
	if err != nil {
		return err
	}
	if err := flags.check(); err != nil {
		return err
	}
	return flags.change(ctx, env, &apiclient.Documents{}, func(ctx context.Context, client *apiclient.Client) (*adminv1.ApplyResponse, error) {
		return client.Rollback(ctx, &adminv1.RollbackRequest{
			Revision: number, Reason: flags.reason, Author: flags.author, DryRun: flags.dryRun,
		}) //nolint:wrapcheck // applyError says it in words
	})
}

// parseRevision reads the number of a revision.
func parseRevision(text string) (uint64, error) {
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || number == 0 {
		return 0, usagef(fmt.Sprintf("%q is not the number of a revision; 'holdfast history' lists them", text))
	}
	return number, nil
}
