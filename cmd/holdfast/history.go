package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

const historyHelp = `Lists the revisions, newest first: who made each, when, why, and what it changed.
'holdfast diff --from N --to M' shows the changes themselves, 'holdfast get
--revision N' a revision's content, and 'holdfast rollback N' goes back to one.

Exit codes: 0 listed, 1 the control plane cannot be asked, 2 the command was not
understood.`

const (
	defaultHistory = 20
	// maxReason is where the last column is cut, in characters; -o json has it whole.
	maxReason = 80
)

type historyFlags struct {
	connectionFlags
	limit  uint32
	before uint64
	format format
}

func newHistory(env *environment) *cobra.Command {
	var flags historyFlags
	cmd := &cobra.Command{
		Use: "history", Short: "List the revisions of the configuration", Long: historyHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return history(cmd.Context(), env, &flags) },
	}
	f := cmd.Flags()
	f.Uint32Var(&flags.limit, "limit", defaultHistory, "at most `N`, at least 1")
	f.Uint64Var(&flags.before, "before", 0, "only revisions older than revision `N` (default: from the newest)")
	flags.format.add(cmd, "")
	flags.connectionFlags.add(cmd, env)
	registerCompletion(cmd, "before", flags.completeRevisions(env))
	return cmd
}

func history(ctx context.Context, env *environment, flags *historyFlags) error {
	if flags.limit == 0 {
		return usagef("--limit 0 lists nothing; it is at least 1")
	}
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.History(ctx, &adminv1.HistoryRequest{Limit: flags.limit, Before: flags.before})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if flags.format != formatTable {
		return writeMessage(env.Stdout, flags.format, answer)
	}
	if len(answer.GetRevisions()) == 0 {
		say(env.Stdout, "There is no revision%s yet.\n", map[bool]string{true: " older than that"}[flags.before > 0])
		return nil
	}
	say(env.Stdout, "%s", historyTable(answer.GetRevisions(), time.Now()))
	return nil
}

// historyTable has a row for each revision.
func historyTable(revisions []*adminv1.Revision, now time.Time) string {
	var out strings.Builder
	t := newTable("REVISION", "AGE", "AUTHOR", "CHANGES", "REASON")
	for _, r := range revisions {
		reason := r.GetReason()
		if n := r.GetRollbackOf(); n > 0 {
			reason = strings.TrimRight("back to "+strconv.FormatUint(n, 10)+": "+reason, ": ")
		}
		if n := r.GetTakenBackBy(); n > 0 {
			reason = strings.TrimRight("taken back by "+strconv.FormatUint(n, 10)+": "+reason, ": ")
		}
		t.row(strconv.FormatUint(r.GetNumber(), 10), ago(now, r.GetTime().AsTime()), r.GetAuthor(), changesShort(r.GetChanges()), cut(reason, maxReason))
	}
	t.write(&out)
	return out.String()
}

// changesShort is the changes on one line, the first ones by name.
func changesShort(changes []string) string {
	const shown = 3
	text := strings.Join(changes[:min(shown, len(changes))], ", ")
	if more := len(changes) - shown; more > 0 {
		text += ", and " + strconv.Itoa(more) + " more"
	}
	return text
}
