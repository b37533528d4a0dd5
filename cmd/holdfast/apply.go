package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const applyHelp = `Makes a new revision of the configuration out of the newest one and the given
documents: files, the .yaml and .yml files of folders, - for standard input. What is
not given stays as it is; --remove takes resources away. The whole result is checked
before anything changes: a mistake is told with file, line and column, and changes
nothing. Resources that stand in the directory that the control plane watches are
changed there, not here.

  holdfast apply orders.yaml --reason 'Delhi first' --wait
  holdfast apply - --dry-run < orders.yaml
  holdfast apply --remove route/old --canary-nodes 10% --wait

--wait returns when every connected Envoy and external processor has acknowledged
the revision, Envoys after warming what is new in it; or it says who refuses it and
why.

Exit codes: 0 applied (with --wait: everywhere), 1 it failed, was refused by a node or
took too long, 2 the command was not understood.`

// changeFlags are those of both apply and rollback.
type changeFlags struct {
	connectionFlags
	reason, author string
	dryRun, wait   bool
	timeout        time.Duration
}

// defaultWait is enough for the rollout of a large configuration.
const defaultWait = time.Minute

func (c *changeFlags) add(cmd *cobra.Command, env *environment) {
	f := cmd.Flags()
	f.StringVar(&c.reason, "reason", "", "why, a line of `text` for the history")
	f.StringVar(&c.author, "author", env.whoami(), "`name` to give where no credentials say who it is (default: $USER)")
	f.Lookup("author").DefValue = ""
	f.BoolVar(&c.dryRun, "dry-run", false, "check it and show the difference; change nothing")
	f.BoolVar(&c.wait, "wait", false, "wait until every connected node has it")
	f.DurationVar(&c.timeout, "timeout", defaultWait, "how long to wait with --wait")
	c.connectionFlags.add(cmd, env)
}

func (c *changeFlags) check() error {
	if c.dryRun && c.wait {
		return usagef("--dry-run changes nothing, so there is nothing for --wait to wait for")
	}
	if c.timeout <= 0 {
		return usagef(fmt.Sprintf("--timeout %v is not a positive duration", c.timeout))
	}
	return nil
}

type applyFlags struct {
	changeFlags
	remove []string
	base   uint64
	atomic bool
	canary string
}

func newApply(env *environment) *cobra.Command {
	var flags applyFlags
	cmd := &cobra.Command{
		Use: "apply FILE | DIR | - …", Short: "Change the configuration", Long: applyHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && len(flags.remove) == 0 {
				return errors.New("give files, folders or -, or what to --remove")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return apply(cmd.Context(), env, &flags, args) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.remove, "remove", nil, "resource to remove, `KIND/NAME`; may be repeated")
	f.Uint64Var(&flags.base, "base", 0, "the documents were made against revision `N`: if there is a newer one\nnothing is changed, and what has changed since is shown")
	f.BoolVar(&flags.atomic, "atomic", false, "take it back everywhere when one node refuses it")
	f.StringVar(&flags.canary, "canary-nodes", "", "`share` of the Envoys that get it first, 1% to 99%; the others follow when\nall of those have it")
	flags.add(cmd, env)
	registerCompletion(cmd, "remove", flags.completeRefs(env))
	registerCompletion(cmd, "base", flags.completeRevisions(env))
	return cmd
}

func apply(ctx context.Context, env *environment, flags *applyFlags, paths []string) error {
	req, documents, err := flags.request(env, paths)
	if err != nil {
		return err
	}
	return flags.change(ctx, env, documents, func(ctx context.Context, client *apiclient.Client) (*adminv1.ApplyResponse, error) {
		return client.Apply(ctx, req) //nolint:wrapcheck // applyError says it in words
	})
}

// change makes one change, says what it came to, and waits where that is wanted. documents are those that the
// caller gave, to tell mistakes by their places.
func (c *changeFlags) change(ctx context.Context, env *environment, documents *apiclient.Documents, send func(context.Context, *apiclient.Client) (*adminv1.ApplyResponse, error)) error {
	client, err := c.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	began := time.Now()
	answer, err := send(ctx, client)
	if err != nil {
		return applyError(env, documents, err)
	}
	return c.applied(ctx, env, client, answer, began)
}

// deadline bounds the whole of a change that is waited for.
func (c *changeFlags) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if !c.wait {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.timeout)
}

func (flags *applyFlags) request(env *environment, paths []string) (*adminv1.ApplyRequest, *apiclient.Documents, error) {
	if err := flags.check(); err != nil {
		return nil, nil, err
	}
	percent, err := parsePercent(flags.canary)
	if err != nil {
		return nil, nil, err
	}
	req := &adminv1.ApplyRequest{
		BaseRevision: flags.base, Reason: flags.reason, Author: flags.author, DryRun: flags.dryRun,
		Atomic: flags.atomic, CanaryNodesPercent: percent,
	}
	for _, text := range flags.remove {
		ref, err := parseRef(text)
		if err != nil {
			return nil, nil, fmt.Errorf("--remove: %w", err)
		}
		req.Remove = append(req.Remove, ref)
	}
	documents := &apiclient.Documents{}
	if len(paths) > 0 {
		if documents, err = readDocuments(env, paths); err != nil {
			return nil, nil, err
		}
	}
	req.Documents = documents.Text
	return req, documents, nil
}

// parsePercent reads a share of the nodes, such as 10%; nothing is 0, all at once.
func parsePercent(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(text, "%"), 10, 32)
	if err != nil || n < 1 || n > 99 {
		return 0, usagef(fmt.Sprintf("--canary-nodes %q is not between 1%% and 99%%", text))
	}
	return uint32(n), nil
}

// applyError puts the files' own places and the colours of a diff into what the
// control plane says.
func applyError(env *environment, documents *apiclient.Documents, err error) error {
	var told *apiclient.Error
	switch {
	case !errors.As(err, &told), !told.Answered && !told.Sent:
		return err
	case !told.Answered:
		return fmt.Errorf("%w; whether anything was changed is not known: 'holdfast history' says", err)
	}
	message := strings.TrimRight(documents.Relocate(told.Message), "\n")
	if told.Code == connect.CodeInvalidArgument {
		say(env.Stderr, "holdfast: nothing was changed; this is wrong:\n%s\n", indent(printable(message), "  "))
		return errSilent
	}
	first, rest, more := strings.Cut(message, "\n")
	switch {
	case !more:
		say(env.Stderr, "holdfast: nothing was changed: %s\n", printable(first))
	case strings.Contains(rest, "\n@@ "):
		say(env.Stderr, "holdfast: nothing was changed: %s\n%s", printable(first), env.painter(env.Stderr).diff(rest))
	default:
		say(env.Stderr, "holdfast: nothing was changed:\n%s\n", indent(printable(message), "  "))
	}
	return errSilent
}

// applied says what a change came to, and waits where that is wanted.
func (c *changeFlags) applied(ctx context.Context, env *environment, client *apiclient.Client, answer *adminv1.ApplyResponse, began time.Time) error {
	revision, color := answer.GetRevision(), env.painter(env.Stdout)
	for _, warning := range answer.GetWarnings() {
		say(env.Stderr, "holdfast: warning: %s\n", printable(warning))
	}
	switch {
	case c.dryRun && answer.GetUnchanged():
		say(env.Stdout, "Nothing would change: revision %d has it already.\n", revision.GetNumber())
		return nil
	case c.dryRun:
		say(env.Stdout, "Nothing was changed. It would be:\n%s\n%s", changes(revision, color), color.diff(answer.GetDiff()))
		return nil
	case answer.GetUnchanged():
		say(env.Stdout, "Nothing to change: revision %d has it already.\n", revision.GetNumber())
	default:
		say(env.Stdout, "%s\n%s", headline(revision), changes(revision, color))
	}
	if !c.wait {
		return nil
	}
	return waitFor(ctx, env, client, revision, began)
}

// headline is a revision on one line.
func headline(r *adminv1.Revision) string {
	return describe(fmt.Sprintf("Revision %d", r.GetNumber()), r)
}

// headlineAged is headline with the age of the revision.
func headlineAged(r *adminv1.Revision, now time.Time) string {
	return describe(fmt.Sprintf("Revision %d, %s ago", r.GetNumber(), ago(now, r.GetTime().AsTime())), r)
}

// describe adds to text who made a revision, and why.
func describe(text string, r *adminv1.Revision) string {
	if author := r.GetAuthor(); author != "" {
		text += " by " + oneLine(author)
	}
	if n := r.GetRollbackOf(); n > 0 {
		text += fmt.Sprintf(", back to the content of revision %d", n)
	}
	if reason := r.GetReason(); reason != "" {
		text += ": " + oneLine(reason)
	}
	return text
}

// changes lists what a revision changes, a line each.
func changes(r *adminv1.Revision, color painter) string {
	var out strings.Builder
	for _, line := range r.GetChanges() {
		out.WriteString("  " + color.change(line) + "\n")
	}
	return out.String()
}
