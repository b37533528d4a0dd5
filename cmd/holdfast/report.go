package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

const reportHelp = `Says what callers of each server, or of one, got in a month (in UTC): the share of calls that were
answered, what is left of the error budget where the server's slo promises an availability,
and the incidents: how many there were, how long it took until one was detected (MTTD, at
most 2m) and until its callers were served again (MTTR, at most 30m; at most 1m where nobody was
needed), and the time between two (MTBF). Then each incident, the newest first.

  holdfast report
  holdfast report orders --month 2026-10 -o json

Exit codes: 0 all targets were met, 1 one was not, or the control plane cannot be asked, 2 the command was not understood.`

type reportFlags struct {
	connectionFlags
	format format
	month  string
}

func newReport(env *environment) *cobra.Command {
	var flags reportFlags
	cmd := &cobra.Command{
		Use: "report [SERVER]", Short: "Say what callers got in a month, and what went wrong", Long: reportHelp,
		Args: atMostOneServer,
		RunE: func(cmd *cobra.Command, args []string) error {
			return report(cmd.Context(), env, &flags, strings.Join(args, ""))
		},
	}
	cmd.Flags().StringVar(&flags.month, "month", "", "`YYYY-MM` (default: this month)")
	flags.format.add(cmd, "")
	flags.connectionFlags.add(cmd, env)
	cmd.ValidArgsFunction = firstOnly(flags.completeServers(env))
	return cmd
}

func report(ctx context.Context, env *environment, flags *reportFlags, server string) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.GetReport(ctx, &adminv1.GetReportRequest{Server: server, Month: flags.month})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		if err := writeMessage(env.Stdout, flags.format, answer); err != nil {
			return err
		}
	} else {
		say(env.Stdout, "%s", reportText(answer, time.Now()))
	}
	for _, r := range answer.GetReports() {
		if len(r.GetMissed()) > 0 {
			return errSilent
		}
	}
	return nil
}

// reportText is a report as people read it.
func reportText(answer *adminv1.GetReportResponse, now time.Time) string {
	var out strings.Builder
	t := newTable("SERVER", "MONTH", "ANSWERED", "CALLS", "PROMISED", "BUDGET LEFT", "INCIDENTS", "MTTD", "MTTR", "BY ITSELF", "MTBF", "MISSED")
	for _, r := range answer.GetReports() {
		promised, budget := "", ""
		if r.GetPromised() > 0 {
			promised, budget = share(r.GetPromised()), fmt.Sprintf("%.0f%%", 100*r.GetBudget())
		}
		incidents := fmt.Sprint(r.GetIncidents())
		if n := r.GetOpen(); n > 0 {
			incidents += fmt.Sprintf(", %d open", n)
		}
		t.row(r.GetServer(), r.GetMonth(), share(r.GetAvailability()), fmt.Sprint(r.GetAnswered()+r.GetDegraded()+r.GetFailed()), promised, budget, incidents,
			meanText(r.GetMttdSeconds()), meanText(r.GetMttrSeconds()), meanText(r.GetMttrAutomaticSeconds()), meanText(r.GetMtbfSeconds()), strings.Join(r.GetMissed(), ", "))
	}
	if len(answer.GetReports()) == 0 {
		return "There is no server, and nothing is known of one.\n"
	}
	t.write(&out)
	for n, i := range answer.GetIncidents() {
		if n == 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "%s: incident %s\n", oneLine(i.GetServer()), incidentLine(i, now))
	}
	return out.String()
}

// meanText is a mean, empty where there is none.
func meanText(seconds float64) string {
	if seconds == 0 {
		return ""
	}
	d := time.Duration(seconds * float64(time.Second))
	if d >= time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
