package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const canaryHelp = `Gives another MCPServer, such as the next version of one, a share of its callers, and compares the
two. It is taken back by itself as soon as it is certain that more calls fail (0.5 points), that a
tool fails which did not before, or that the 95th percentile of the time to an answer is a fifth longer.
Where that is not so it gets 25, 50 and 100 % of the callers, one after the other.

  holdfast canary start orders --to orders-v2 --share 10% --for 30m --reason 'release 2.4'
  holdfast canary promote orders
  holdfast canary abort orders --reason 'wrong build'
  holdfast canary

Each step is a revision ('holdfast history'). A caller is on one side; sessions stay where they were opened.
Without a command it lists the canaries.

Exit codes: 0 done, 1 it failed or cannot be done now, 2 the command was not understood.`

const bluegreenHelp = `Switches everything from one MCPServer to another in one revision, and back.

  holdfast bluegreen switch orders --to orders-v2 --reason 'release 2.4'
  holdfast bluegreen back orders

Before a switch each endpoint of the new one has to greet, list its tools and, where the server has probes.query, answer
that. Sessions stay where they were opened until they end; after 'back' those of the new one are gone.

Exit codes: 0 done, 1 it failed, or an endpoint did not answer, 2 the command was not understood.`

type successionFlags struct {
	connectionFlags
	format         format
	to, share      string
	reason, author string
	each           time.Duration
}

func (f *successionFlags) add(cmd *cobra.Command, env *environment) {
	flags := cmd.Flags()
	flags.StringVar(&f.reason, "reason", "", "why, a line of `text` that others are shown")
	flags.StringVar(&f.author, "author", env.whoami(), "`name` to give where no credentials say who it is (default: $USER)")
	flags.Lookup("author").DefValue = ""
	f.format.add(cmd, "")
	f.connectionFlags.add(cmd, env)
	cmd.ValidArgsFunction = f.asking(env, func(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error) {
		if len(args) > 0 {
			return nil, nil
		}
		return resourceNames(ctx, client, "MCPServer")
	})
}

// newStep is one command that takes a step with one server.
func newStep(env *environment, use, short string, step adminv1.SuccessionStep) *cobra.Command {
	var flags successionFlags
	long := canaryHelp
	if step == adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH || step == adminv1.SuccessionStep_SUCCESSION_STEP_BACK {
		long = bluegreenHelp
	}
	cmd := &cobra.Command{Use: use + " SERVER", Short: short, Long: long, Args: usageArgs(cobra.ExactArgs(1))}
	begins := step == adminv1.SuccessionStep_SUCCESSION_STEP_START || step == adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH
	if begins {
		cmd.Flags().StringVar(&flags.to, "to", "", "the MCPServer that takes over, by `name`")
	}
	if step == adminv1.SuccessionStep_SUCCESSION_STEP_START {
		cmd.Flags().StringVar(&flags.share, "share", "10%", "`share` of the callers that it begins with, 1% to 50%")
		cmd.Flags().DurationVar(&flags.each, "for", 30*time.Minute, "how long each share lasts, at least 10s")
	}
	flags.add(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		request := &adminv1.SucceedRequest{Server: args[0], Step: step, To: flags.to, Reason: flags.reason, Author: flags.author}
		if begins && flags.to == "" {
			return usagef("--to is missing: the MCPServer that takes over from " + args[0])
		}
		if step == adminv1.SuccessionStep_SUCCESSION_STEP_START {
			if n, err := fmt.Sscanf(flags.share, "%d%%", &request.Share); n != 1 || err != nil || request.GetShare() < 1 || request.GetShare() > 50 {
				return usagef(fmt.Sprintf("--share %s is not 1%% to 50%%", flags.share))
			}
			request.Each = durationpb.New(flags.each)
		}
		return succeed(cmd.Context(), env, &flags, request)
	}
	return cmd
}

func newCanary(env *environment) *cobra.Command {
	var flags successionFlags
	cmd := &cobra.Command{
		Use: "canary", Short: "Give a new version a share of the callers, and take it back when it is worse", Long: canaryHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return listCanaries(cmd.Context(), env, &flags) },
	}
	flags.format.add(cmd, "")
	flags.connectionFlags.add(cmd, env)
	cmd.AddCommand(
		newStep(env, "start", "Give a successor some of the callers of a server", adminv1.SuccessionStep_SUCCESSION_STEP_START),
		newStep(env, "promote", "Give a canary the next share of callers now", adminv1.SuccessionStep_SUCCESSION_STEP_PROMOTE),
		newStep(env, "abort", "End a canary", adminv1.SuccessionStep_SUCCESSION_STEP_ABORT),
	)
	return cmd
}

func newBluegreen(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bluegreen", Short: "Switch everything to a new version at once, and back", Long: bluegreenHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newStep(env, "switch", "Give a successor everything, where its endpoints answer", adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH),
		newStep(env, "back", "Take everything back from the successor", adminv1.SuccessionStep_SUCCESSION_STEP_BACK),
	)
	return cmd
}

func succeed(ctx context.Context, env *environment, flags *successionFlags, request *adminv1.SucceedRequest) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.Succeed(ctx, request)
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	server, to := request.GetServer(), request.GetTo()
	var done string
	switch request.GetStep() {
	case adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH:
		done = to + " has all callers of " + server
	case adminv1.SuccessionStep_SUCCESSION_STEP_ABORT, adminv1.SuccessionStep_SUCCESSION_STEP_BACK:
		done = server + " has all of its callers again"
	default:
		done = fmt.Sprintf("%s has %d%% of the callers of %s", answer.GetCanary().GetTo(), answer.GetCanary().GetShare(), server)
	}
	say(env.Stdout, "%s %s (revision %d).\n", env.painter(env.Stdout).paint(green, "✓"), oneLine(done), answer.GetRevision().GetNumber())
	return nil
}

func listCanaries(ctx context.Context, env *environment, flags *successionFlags) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.ListCanaries(ctx, &adminv1.ListCanariesRequest{})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	if len(answer.GetCanaries()) == 0 {
		say(env.Stdout, "There is no canary.\n")
		return nil
	}
	var b strings.Builder
	canariesTable(answer.GetCanaries(), time.Now()).write(&b)
	say(env.Stdout, "%s", b.String())
	return nil
}

func canariesTable(all []*adminv1.Canary, now time.Time) *table {
	t := newTable("SERVER", "SUCCESSOR", "STATE", "CALLERS", "SINCE", "FAILED BEFORE", "FAILED NOW", "BY", "WHY")
	for _, c := range all {
		state := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(c.GetState().String(), "CANARY_STATE_"), "_", " "))
		t.row(c.GetServer(), c.GetTo(), state, fmt.Sprintf("%d%%", c.GetShare()), ago(now, c.GetShareSince().AsTime()),
			fmt.Sprintf("%d of %d", c.GetFailed(), c.GetCalls()), fmt.Sprintf("%d of %d", c.GetSuccessorFailed(), c.GetSuccessorCalls()), c.GetBy(), oneLine(c.GetWhy()))
	}
	return t
}
