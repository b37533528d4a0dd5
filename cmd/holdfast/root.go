package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

const rootHelp = `Holdfast keeps MCP traffic flowing when servers, tools or whole regions fail.

It stands around a stock Envoy: a control plane (xds), an MCP-aware external
processor (extproc), and this command line.

  holdfast up        run all of it on this machine, with demo servers
  holdfast demo      kill the demo servers under load and see what callers get
  holdfast status    how things are: revision, nodes, servers, what is wrong
  holdfast apply     change the configuration, and wait until everybody has it
  holdfast rollback  go back to an earlier revision
  holdfast breaker   which tools are broken where; open or close one by hand
  holdfast limits    who is near a rate limit or over it
  holdfast trace     the way of a call, try by try
  holdfast drill     break something on purpose, and see what callers get
  holdfast doctor    what is wrong with a set-up, and what to do about it

Exit codes: 0 all went well, 1 it failed, 2 the command was not understood; diff: 0 no
difference, 1 a difference, 2 not understood, 3 it failed.`

func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use: "holdfast", Short: "Keeps MCP traffic flowing when servers or regions fail", Long: rootHelp,
		SilenceErrors: true, SilenceUsage: true,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(
		newUp(env), newDemo(env), newStatus(env), newWatch(env), newValidate(env), newExplain(env),
		newApply(env), newDiff(env), newGet(env), newHistory(env), newRollback(env), newBreaker(env), newCache(env), newDrain(env), newUndrain(env), newCanary(env), newBluegreen(env), newFailback(env), newPromote(env), newReport(env), newLimits(env), newTrace(env),
		newDrill(env), newDoctor(env),
		newParts(env), newVersion(env), newDemoServer(env), newHealth(env),
	)
	return root
}

// usageArgs marks what a validator refuses as a command line not understood.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}

// noArguments refuses every argument of a command without subcommands.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%s takes no arguments, and got %q", cmd.Name(), args[0])}
	}
	return nil
}

func usagef(text string) error { return &usageError{errors.New(text)} }
