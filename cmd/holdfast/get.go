package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const getHelp = `Shows resources of the configuration: all of them, those of a kind, or one. Kinds are
gateway, server and route, in any case, singular or plural, or by their whole names.
-o yaml gives the documents as they were written, ready to be edited and applied.

  holdfast get
  holdfast get servers
  holdfast get server orders -o yaml
  holdfast get route/shopmax --revision 11 -o yaml

holdfast get envoy NODE asks that Envoy itself what it runs (its /config_dump) and
compares it with what the control plane means it to run. Each resource is same,
different, missing or extra. Of endpoints Envoy keeps no version: they are compared by
name, which changes with their cluster.

Exit codes: 0 shown (get envoy: no drift), 1 it failed or is not there (get envoy: or
drifted), 2 the command was not understood.`

// envoyWord is the argument that stands for running Envoys instead of a kind.
const envoyWord = "envoy"

type getFlags struct {
	connectionFlags
	format     format
	revision   uint64
	envoyAdmin string
}

func newGet(env *environment) *cobra.Command {
	var flags getFlags
	cmd := &cobra.Command{
		Use: "get [KIND | KIND/NAME | KIND NAME | envoy NODE]", Short: "Show resources, or what an Envoy really runs", Long: getHelp,
		Args: usageArgs(cobra.MaximumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && strings.EqualFold(args[0], envoyWord) {
				return getEnvoy(cmd.Context(), env, &flags, args[1:])
			}
			return get(cmd.Context(), env, &flags, args)
		},
	}
	f := cmd.Flags()
	flags.format.add(cmd, "; yaml gives the documents as written")
	f.Uint64Var(&flags.revision, "revision", 0, "look at revision `N` (default: the newest)")
	f.StringVar(&flags.envoyAdmin, "envoy-admin", "", "for get envoy: `host:port` of its admin interface (default: that of the\nrunning 'holdfast up')")
	flags.connectionFlags.add(cmd, env)
	cmd.ValidArgsFunction = flags.completeResources(env)
	registerCompletion(cmd, "revision", flags.completeRevisions(env))
	return cmd
}

func get(ctx context.Context, env *environment, flags *getFlags, args []string) error {
	if flags.envoyAdmin != "" {
		return usagef("--envoy-admin is for 'holdfast get envoy NODE'")
	}
	kind, name, err := parseResource(args)
	if err != nil {
		return err
	}
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	if name != "" {
		answer, err := client.Get(ctx, &adminv1.GetRequest{Ref: &adminv1.ResourceRef{Kind: kind, Name: name}, Revision: flags.revision})
		if err != nil {
			return err //nolint:wrapcheck // in words already
		}
		if flags.format == formatJSON {
			return writeMessage(env.Stdout, formatJSON, answer)
		}
		return writeResources(env, flags.format, []*adminv1.Resource{answer.GetResource()})
	}
	answer, err := client.List(ctx, &adminv1.ListRequest{Kind: kind, Revision: flags.revision})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	switch {
	case flags.format == formatJSON:
		return writeMessage(env.Stdout, formatJSON, answer)
	case len(answer.GetResources()) == 0:
		what := "resource"
		if kind != "" {
			what = kind
		}
		say(env.Stderr, "There is no %s in revision %d.\n", what, answer.GetRevision())
		return nil
	}
	return writeResources(env, flags.format, answer.GetResources())
}

func writeResources(env *environment, f format, resources []*adminv1.Resource) error {
	if f == formatYAML {
		text, err := documentsOf(resources)
		if err != nil {
			return err
		}
		// A file gets the bytes as they are, a terminal only what cannot steer it.
		if isTerminal(env.Stdout) {
			text = printable(text)
		}
		say(env.Stdout, "%s", text)
		return nil
	}
	t := newTable("KIND", "NAME", "OWNER", "FILE")
	for _, r := range resources {
		file := r.GetFile()
		if r.GetPinned() {
			file += " (pinned until it changes)"
		}
		t.row(r.GetKind(), r.GetName(), ownerWord(r.GetOwner()), file)
	}
	t.write(env.Stdout)
	return nil
}

// documentsOf joins the documents, with a separator wherever one is needed.
func documentsOf(resources []*adminv1.Resource) (string, error) {
	texts := make([]string, 0, len(resources))
	for _, r := range resources {
		if r.GetYaml() == "" {
			return "", errors.New("the control plane gives no document of " + r.GetKind() + "/" + r.GetName())
		}
		texts = append(texts, r.GetYaml())
	}
	return apiclient.JoinTexts(texts), nil
}

func ownerWord(owner adminv1.Owner) string {
	switch owner {
	case adminv1.Owner_OWNER_DIRECTORY:
		return "directory"
	case adminv1.Owner_OWNER_API:
		return "api"
	case adminv1.Owner_OWNER_UNSPECIFIED:
		return ""
	default:
		return owner.String()
	}
}
