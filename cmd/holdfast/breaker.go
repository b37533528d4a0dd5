package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const breakerHelp = `A breaker keeps the calls of one tool away from one region while that tool is broken
there: they go to another region, and the tools beside it stay. Breakers open and close
by what tools answer; an operator can hold one open or closed, which counts for more.

  holdfast breaker list
  holdfast breaker open orders get_order asia-south1 --for 30m --reason 'bad release'
  holdfast breaker close orders get_order --reason 'failures are expected today'
  holdfast breaker auto orders get_order asia-south1

Exit codes: 0 done, 1 it failed, or there is no such server, tool or region, 2 the
command was not understood.`

const breakerListHelp = `Lists the breakers that are not closed or that an operator holds: since when, when a
call is tried again, and by whom; below them the tools that failed in the last minute,
over all processors. With SERVER, TOOL and REGION, only those.

Exit codes: 0 listed, 1 the control plane cannot be asked, or there is no such server,
tool or region, 2 the command was not understood.`

const breakerSetHelp = `

All processors know within about two seconds, and go on knowing while the control plane
is away. It lasts until --for is over, or until 'holdfast breaker auto'.

Exit codes: 0 done, 1 it failed, or there is no such server, tool or region, 2 the
command was not understood.`

func newBreaker(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "breaker", Short: "Show which tools are broken where, and open or close a breaker by hand", Long: breakerHelp,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBreakerList(env),
		newBreakerSet(env, breakerWord{
			word: "open", short: "Keep a tool's calls away from a region, or from all of them", hold: adminv1.BreakerHold_BREAKER_HOLD_OPEN,
			long: "Keeps the calls of a tool away from a region, whatever it answers. Without REGION the\nbreaker is open in every region, and calls of the tool are refused.",
			done: "no call of %s goes to %s",
		}),
		newBreakerSet(env, breakerWord{
			word: "close", short: "Let a tool's calls go to a region whatever they come to", hold: adminv1.BreakerHold_BREAKER_HOLD_CLOSED,
			long: "Lets the calls of a tool go to a region whatever it answers. Without REGION the breaker\nis closed in every region.",
			done: "calls of %s go to %s, whatever they come to",
		}),
		newBreakerSet(env, breakerWord{
			word: "auto", short: "Take back what was opened or closed by hand", hold: adminv1.BreakerHold_BREAKER_HOLD_AUTO,
			long: "Takes back what 'holdfast breaker open' or 'close' said of the same SERVER, TOOL and\nREGION: what the tool answers decides again.",
			done: "what %s answers in %s decides again",
		}))
	return cmd
}

type breakerListFlags struct {
	connectionFlags
	format format
	all    bool
}

func newBreakerList(env *environment) *cobra.Command {
	var flags breakerListFlags
	cmd := &cobra.Command{
		Use: "list [SERVER] [TOOL] [REGION]", Short: "List breakers that are not closed, and tools that fail", Long: breakerListHelp,
		Args: usageArgs(cobra.MaximumNArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error { return listBreakers(cmd.Context(), env, &flags, args) },
	}
	cmd.Flags().BoolVar(&flags.all, "all", false, "tools that did not fail, too")
	flags.format.add(cmd, "")
	flags.connectionFlags.add(cmd, env)
	cmd.ValidArgsFunction = flags.completeBreakers(env)
	return cmd
}

// named gives the names of a breaker that are there.
func named(args []string) (server, tool, region string) {
	all := append(slices.Clone(args), "", "", "")
	return all[0], all[1], all[2]
}

func listBreakers(ctx context.Context, env *environment, flags *breakerListFlags, args []string) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	server, tool, region := named(args)
	answer, err := client.ListBreakers(ctx, &adminv1.ListBreakersRequest{Server: server, Tool: tool, Region: region})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	if len(answer.GetBreakers()) == 0 {
		say(env.Stdout, "No breaker is open or held.\n")
	} else {
		say(env.Stdout, "%s", breakersTable(answer.GetBreakers(), time.Now()))
	}
	if text := verdictsTable(answer.GetVerdicts(), flags.all); text != "" {
		say(env.Stdout, "\n%s", text)
	}
	if len(answer.GetProcessors()) == 0 {
		say(env.Stdout, "\nNo processor tells what it sees: each of them decides alone, and is not shown here.\n")
	}
	return nil
}

// breakerWord is one of open, close and auto.
type breakerWord struct {
	word, short, long, done string
	hold                    adminv1.BreakerHold
}

type breakerSetFlags struct {
	connectionFlags
	format         format
	reason, author string
	lasts          time.Duration
	unlisted       bool
}

func newBreakerSet(env *environment, w breakerWord) *cobra.Command {
	var flags breakerSetFlags
	cmd := &cobra.Command{
		Use: w.word + " SERVER TOOL [REGION]", Short: w.short, Long: w.long + breakerSetHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return errors.New("give SERVER and TOOL, and perhaps REGION; 'holdfast status' shows servers and regions")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return setBreaker(cmd, env, &flags, w, args) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.reason, "reason", "", "why, a line of `text` that others are shown")
	f.StringVar(&flags.author, "author", env.whoami(), "`name` to give where no credentials say who it is (default: $USER)")
	f.Lookup("author").DefValue = ""
	if w.hold != adminv1.BreakerHold_BREAKER_HOLD_AUTO {
		f.DurationVar(&flags.lasts, "for", 0, "how long, such as 30m (default: until it is taken back)")
		f.Lookup("for").DefValue = ""
		f.BoolVar(&flags.unlisted, "unlisted", false, "take a tool that no list of the server names")
	}
	flags.format.add(cmd, "")
	flags.connectionFlags.add(cmd, env)
	cmd.ValidArgsFunction = flags.completeBreakers(env)
	return cmd
}

func setBreaker(cmd *cobra.Command, env *environment, flags *breakerSetFlags, w breakerWord, args []string) error {
	server, tool, region := named(args)
	request := &adminv1.SetBreakerRequest{
		Server: server, Tool: tool, Region: region, Hold: w.hold, Reason: flags.reason, Author: flags.author, UnlistedTool: flags.unlisted,
	}
	lasts := ""
	if f := cmd.Flags().Lookup("for"); f != nil && f.Changed {
		if flags.lasts < time.Second {
			return usagef(fmt.Sprintf("--for %s is too short: at least 1s", flags.lasts))
		}
		request.Until = timestamppb.New(time.Now().Add(flags.lasts))
		lasts = ", for " + flags.lasts.String()
	}
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.SetBreaker(cmd.Context(), request)
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	if region == "" {
		region = everyRegion
	}
	say(env.Stdout, "%s %s.\n", env.painter(env.Stdout).paint(green, "✓"), oneLine(fmt.Sprintf(w.done, server+"/"+tool, region)+lasts))
	return nil
}

// completeBreakers proposes servers, then the tools of one that answered or are broken, then
// its regions.
func (c *connectionFlags) completeBreakers(env *environment) cobra.CompletionFunc {
	return c.asking(env, func(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error) {
		switch len(args) {
		case 0:
			return resourceNames(ctx, client, "MCPServer")
		case 1:
			return toolNames(ctx, client, args[0])
		case 2:
			return regionNames(ctx, client, args[0])
		default:
			return nil, nil
		}
	})
}

func toolNames(ctx context.Context, client *apiclient.Client, server string) ([]cobra.Completion, error) {
	answer, err := client.ListBreakers(ctx, &adminv1.ListBreakersRequest{Server: server})
	var out []cobra.Completion
	for _, b := range answer.GetBreakers() {
		out = append(out, b.GetTool())
	}
	for _, v := range answer.GetVerdicts() {
		if v.GetTool() != "" {
			out = append(out, v.GetTool())
		}
	}
	slices.Sort(out)
	return slices.Compact(out), err //nolint:wrapcheck // nobody reads it
}

func regionNames(ctx context.Context, client *apiclient.Client, server string) ([]cobra.Completion, error) {
	answer, err := client.Status(ctx, &adminv1.StatusRequest{})
	var out []cobra.Completion
	for _, s := range answer.GetServers() {
		for _, r := range s.GetRegions() {
			if s.GetName() == server {
				out = append(out, r.GetName())
			}
		}
	}
	return out, err //nolint:wrapcheck // nobody reads it
}
