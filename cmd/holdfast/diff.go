package main

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

const diffHelp = `Shows what differs. With files, the .yaml and .yml files of folders, or - for standard
input: from the newest revision to what applying them would make of it; they are
checked as apply does. Without: from one revision to another, by default from the
newest but one to the newest.

  holdfast diff orders.yaml
  holdfast diff --from 11 --to 14

Exit codes: 0 no difference, 1 a difference, 2 the command was not understood,
3 it failed.`

type diffFlags struct {
	connectionFlags
	from, to uint64
}

func newDiff(env *environment) *cobra.Command {
	var flags diffFlags
	cmd := &cobra.Command{
		Use: "diff [FILE | DIR | - …]", Short: "Show what files would change, or what revisions did", Long: diffHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) > 0 && (flags.from != 0 || flags.to != 0) {
				return errors.New("give files, or --from and --to: files are compared with the newest revision")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := diff(cmd.Context(), env, &flags, args)
			return diffResult(env, text, err)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&flags.from, "from", 0, "revision `N`, the older one (default: the newest but one)")
	f.Uint64Var(&flags.to, "to", 0, "revision `N`, the newer one (default: the newest)")
	flags.connectionFlags.add(cmd, env)
	for _, name := range []string{"from", "to"} {
		registerCompletion(cmd, name, flags.completeRevisions(env))
	}
	return cmd
}

// diffResult prints a difference and gives the exit codes of diff(1), but for 2.
func diffResult(env *environment, text string, err error) error {
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return err
	case err != nil:
		return &troubleError{err}
	case text == "":
		return nil
	}
	say(env.Stdout, "%s", env.painter(env.Stdout).diff(text))
	return errSilent
}

func diff(ctx context.Context, env *environment, flags *diffFlags, paths []string) (string, error) {
	var documents *apiclient.Documents
	if len(paths) > 0 {
		var err error
		if documents, err = readDocuments(env, paths); err != nil {
			return "", err
		}
	}
	client, err := flags.open(env)
	if err != nil {
		return "", err
	}
	defer client.Close()
	if documents == nil {
		answer, err := client.Diff(ctx, &adminv1.DiffRequest{From: flags.from, To: flags.to})
		return answer.GetDiff(), err //nolint:wrapcheck // in words already
	}
	answer, err := client.Apply(ctx, &adminv1.ApplyRequest{Documents: documents.Text, Author: env.whoami(), DryRun: true})
	var told *apiclient.Error
	switch {
	case errors.As(err, &told) && told.Answered && told.Code == connect.CodeFailedPrecondition:
		return diffHere(ctx, env, client, documents, told)
	case errors.As(err, &told) && told.Answered && told.Code == connect.CodeInvalidArgument:
		return "", errors.New("these would be refused:\n" + indent(documents.Relocate(told.Message), "  "))
	default:
		return answer.GetDiff(), err //nolint:wrapcheck // in words already
	}
}

// diffHere compares without the control plane's help: it would not apply these
// documents, whose resources others own, but what differs can be told.
func diffHere(ctx context.Context, env *environment, client *apiclient.Client, documents *apiclient.Documents, why error) (string, error) {
	list, err := client.List(ctx, &adminv1.ListRequest{})
	if err != nil {
		return "", err //nolint:wrapcheck // in words already
	}
	say(env.Stderr, "holdfast: applying these would be refused, since %s\n", printable(why.Error()))
	given := map[revisions.Ref]bool{}
	var before, after revisions.Set
	for _, p := range documents.Parts {
		ref := revisions.Ref{Kind: p.Ref.GetKind(), Name: p.Ref.GetName()}
		given[ref] = true
		after.Resources = append(after.Resources, revisions.Resource{Ref: ref, YAML: p.Text})
	}
	for _, r := range list.GetResources() {
		if ref := (revisions.Ref{Kind: r.GetKind(), Name: r.GetName()}); given[ref] {
			before.Resources = append(before.Resources, revisions.Resource{Ref: ref, YAML: r.GetYaml()})
		}
	}
	for _, set := range []*revisions.Set{&before, &after} {
		slices.SortFunc(set.Resources, func(a, b revisions.Resource) int { return a.Compare(b.Ref) })
	}
	return revisions.Diff(before, after), nil
}
