package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const drainHelp = `Takes a region, or one endpoint, out of service: nothing new begins there, what is under
way ends, and sessions go on for --sessions; then it gets nothing at all, for as long as
--for says or until 'holdfast undrain'. A region is drained for every server that has it, or for
the one that --of names. The last healthy region of a server is only drained with --force.
Restarts of the control plane change nothing about it.

  holdfast drain asia-south1 --for 2h --reason 'database upgrade'
  holdfast drain primary-mumbai --of orders --sessions 30m
  holdfast drain

Without a name it lists what is drained.

Exit codes: 0 done, 1 it failed, or there is no such region or endpoint, 2 the command was not
understood.`

const undrainHelp = `Takes 'holdfast drain' back: calls go there again as health and shares allow.

  holdfast undrain asia-south1

Exit codes: 0 done, 1 it failed, or nothing of that name is drained, 2 the command was not
understood.`

type drainFlags struct {
	connectionFlags
	format                 format
	server, reason, author string
	lasts, sessions        time.Duration
	force                  bool
}

func (f *drainFlags) addCommon(cmd *cobra.Command, env *environment) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "of", "", "of this `server` alone (default: every server that has the region)")
	flags.StringVar(&f.reason, "reason", "", "why, a line of `text` that others are shown")
	flags.StringVar(&f.author, "author", env.whoami(), "`name` to give where no credentials say who it is (default: $USER)")
	flags.Lookup("author").DefValue = ""
	f.format.add(cmd, "")
	f.connectionFlags.add(cmd, env)
}

func newDrain(env *environment) *cobra.Command {
	var flags drainFlags
	cmd := &cobra.Command{
		Use: "drain [REGION|ENDPOINT]", Short: "Take a region or an endpoint out of service, gently", Long: drainHelp,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listDrains(cmd.Context(), env, &flags)
			}
			return drain(cmd, env, &flags, args[0])
		},
	}
	f := cmd.Flags()
	f.DurationVar(&flags.lasts, "for", 0, "how long, such as 2h (default: until it is taken back)")
	f.Lookup("for").DefValue = ""
	f.DurationVar(&flags.sessions, "sessions", 5*time.Minute, "how long sessions that are there go on")
	f.BoolVar(&flags.force, "force", false, "also where no healthy region is left")
	flags.addCommon(cmd, env)
	cmd.ValidArgsFunction = flags.completePlaces(env)
	return cmd
}

func newUndrain(env *environment) *cobra.Command {
	var flags drainFlags
	cmd := &cobra.Command{
		Use: "undrain REGION|ENDPOINT", Short: "Take a region or an endpoint into service again", Long: undrainHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give the REGION or ENDPOINT; 'holdfast drain' lists what is drained")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &adminv1.SetDrainRequest{Server: flags.server, Target: args[0], Undrain: true, Reason: flags.reason, Author: flags.author}
			return setDrain(cmd.Context(), env, &flags, request, "%s is in service again")
		},
	}
	flags.addCommon(cmd, env)
	cmd.ValidArgsFunction = flags.asking(env, func(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error) {
		if len(args) > 0 {
			return nil, nil
		}
		answer, err := client.ListDrains(ctx, &adminv1.ListDrainsRequest{})
		var out []cobra.Completion
		for _, d := range answer.GetDrains() {
			out = append(out, d.GetRegion()+d.GetEndpoint())
		}
		return out, err //nolint:wrapcheck // nobody reads it
	})
	return cmd
}

func drain(cmd *cobra.Command, env *environment, flags *drainFlags, target string) error {
	request := &adminv1.SetDrainRequest{
		Server: flags.server, Target: target, Force: flags.force, Reason: flags.reason, Author: flags.author, Sessions: durationpb.New(flags.sessions),
	}
	done := "nothing new begins in %s; its sessions end within " + flags.sessions.String()
	if cmd.Flags().Changed("for") {
		if flags.lasts < time.Second {
			return usagef(fmt.Sprintf("--for %s is too short: at least 1s", flags.lasts))
		}
		request.Until = timestamppb.New(time.Now().Add(flags.lasts))
		done += ", and it is back in " + flags.lasts.String()
	}
	if flags.sessions < 0 {
		return usagef(fmt.Sprintf("--sessions %s is less than nothing", flags.sessions))
	}
	return setDrain(cmd.Context(), env, flags, request, done)
}

func setDrain(ctx context.Context, env *environment, flags *drainFlags, request *adminv1.SetDrainRequest, done string) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.SetDrain(ctx, request)
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	place := request.GetTarget()
	if request.GetServer() != "" {
		place += " of " + request.GetServer()
	}
	say(env.Stdout, "%s %s.\n", env.painter(env.Stdout).paint(green, "✓"), oneLine(fmt.Sprintf(done, place)))
	return nil
}

func listDrains(ctx context.Context, env *environment, flags *drainFlags) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.ListDrains(ctx, &adminv1.ListDrainsRequest{})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	if len(answer.GetDrains()) == 0 {
		say(env.Stdout, "Nothing is drained.\n")
		return nil
	}
	var b strings.Builder
	drainsTable(answer.GetDrains(), time.Now()).write(&b)
	say(env.Stdout, "%s", b.String())
	return nil
}

// drainPlace is what is drained.
func drainPlace(d *adminv1.Drain) string { return d.GetRegion() + d.GetEndpoint() }

func drainServer(d *adminv1.Drain) string {
	if d.GetServer() == "" {
		return "every server"
	}
	return d.GetServer()
}

func drainsTable(all []*adminv1.Drain, now time.Time) *table {
	t := newTable("DRAINED", "OF", "SINCE", "SESSIONS", "ENDS", "BY", "REASON")
	for _, d := range all {
		sessions, ends := "ended", "when it is taken back"
		if until := d.GetSessionsUntil().AsTime(); until.After(now) {
			sessions = "end in " + ago(until, now)
		}
		if d.GetUntil() != nil {
			ends = "in " + ago(d.GetUntil().AsTime(), now)
		}
		t.row(drainPlace(d), drainServer(d), ago(now, d.GetSince().AsTime()), sessions, ends,
			strings.TrimPrefix(d.GetBy(), "operator "), cut(oneLine(d.GetReason()), maxReason))
	}
	return t
}

// drains tells what operators have taken out of service: not wrong, but not to be forgotten.
func (v *statusView) drains() {
	if all := v.status.GetDrains(); len(all) > 0 {
		v.write(drainsTable(all, v.now), 0, "place", "drained")
	}
}

// drainFacts are the drains for who watches.
func drainFacts(s *adminv1.StatusResponse) []fact {
	out := make([]fact, 0, len(s.GetDrains()))
	for _, d := range s.GetDrains() {
		about := oneLine(drainPlace(d) + " of " + drainServer(d))
		text := about + ": drained, by " + d.GetBy()
		if d.GetReason() != "" {
			text += ": " + d.GetReason()
		}
		out = append(out, fact{aboutDrain + about, oneLine(text)})
	}
	return out
}

// completePlaces proposes regions and endpoints.
func (f *drainFlags) completePlaces(env *environment) cobra.CompletionFunc {
	return f.asking(env, func(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error) {
		if len(args) > 0 {
			return nil, nil
		}
		answer, err := client.Status(ctx, &adminv1.StatusRequest{})
		var out []cobra.Completion
		for _, s := range answer.GetServers() {
			for _, r := range s.GetRegions() {
				if f.server != "" && s.GetName() != f.server {
					continue
				}
				out = append(out, r.GetName())
				for _, e := range r.GetEndpoints() {
					out = append(out, e.GetName())
				}
			}
		}
		slices.Sort(out)
		return slices.Compact(out), err //nolint:wrapcheck // nobody reads it
	})
}
