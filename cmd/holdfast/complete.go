package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

const (
	// completeWithin bounds what a person who pressed the tab key waits.
	completeWithin = 2 * time.Second
	// maxCompletions is more than anybody reads.
	maxCompletions = 200
)

// asking makes a completion out of a question to the control plane. When it cannot be
// asked nothing is proposed: a shell is no place for its errors.
func (c *connectionFlags) asking(env *environment, propose func(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		client, err := c.open(env)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		all, err := propose(ctx, client, args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, proposal := range all {
			if word, _, _ := strings.Cut(proposal, "\t"); strings.HasPrefix(word, typed) && len(out) < maxCompletions {
				out = append(out, oneLineCompletion(proposal))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// oneLineCompletion keeps the tab between word and description.
func oneLineCompletion(proposal string) string {
	word, about, described := strings.Cut(proposal, "\t")
	if !described {
		return oneLine(word)
	}
	return cobra.CompletionWithDesc(oneLine(word), oneLine(about))
}

// firstOnly completes the first argument alone.
func firstOnly(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, typed)
	}
}

// completeRevisions proposes numbers of revisions with what they are, newest first.
func (c *connectionFlags) completeRevisions(env *environment) cobra.CompletionFunc {
	ask := c.asking(env, func(ctx context.Context, client *apiclient.Client, _ []string) ([]cobra.Completion, error) {
		answer, err := client.History(ctx, &adminv1.HistoryRequest{Limit: maxCompletions})
		out := make([]cobra.Completion, 0, len(answer.GetRevisions()))
		now := time.Now()
		for _, r := range answer.GetRevisions() {
			about := describe(ago(now, r.GetTime().AsTime())+" ago", r)
			out = append(out, cobra.CompletionWithDesc(fmt.Sprint(r.GetNumber()), cut(about, maxLine)))
		}
		return out, err //nolint:wrapcheck // nobody reads it
	})
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		out, directive := ask(cmd, args, typed)
		return out, directive | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeRefs proposes KIND/NAME of every resource.
func (c *connectionFlags) completeRefs(env *environment) cobra.CompletionFunc {
	return c.asking(env, func(ctx context.Context, client *apiclient.Client, _ []string) ([]cobra.Completion, error) {
		answer, err := client.List(ctx, &adminv1.ListRequest{})
		out := make([]cobra.Completion, 0, len(answer.GetResources()))
		for _, r := range answer.GetResources() {
			out = append(out, cobra.CompletionWithDesc(kindWord(r.GetKind())+"/"+r.GetName(), ownerWord(r.GetOwner())))
		}
		return out, err //nolint:wrapcheck // nobody reads it
	})
}

// completeServers proposes the names of servers.
func (c *connectionFlags) completeServers(env *environment) cobra.CompletionFunc {
	return c.asking(env, func(ctx context.Context, client *apiclient.Client, _ []string) ([]cobra.Completion, error) {
		return resourceNames(ctx, client, "MCPServer")
	})
}

// completeResources proposes kinds, then names of that kind, or node ids after envoy.
func (c *connectionFlags) completeResources(env *environment) cobra.CompletionFunc {
	names := c.asking(env, func(ctx context.Context, client *apiclient.Client, args []string) ([]cobra.Completion, error) {
		if strings.EqualFold(args[0], envoyWord) {
			return envoyIDs(ctx, client)
		}
		kind, ok := kindOf(args[0])
		if !ok {
			return nil, nil
		}
		return resourceNames(ctx, client, kind)
	})
	refs := c.completeRefs(env)
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0 && strings.Contains(typed, "/"):
			return refs(cmd, args, typed)
		case len(args) == 0:
			out := []cobra.Completion{cobra.CompletionWithDesc(envoyWord, "what an Envoy really runs")}
			for _, k := range kindWords {
				out = append(out, cobra.CompletionWithDesc(k.words[0], k.kind))
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1:
			return names(cmd, args, typed)
		default:
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

func resourceNames(ctx context.Context, client *apiclient.Client, kind string) ([]cobra.Completion, error) {
	answer, err := client.List(ctx, &adminv1.ListRequest{Kind: kind})
	out := make([]cobra.Completion, 0, len(answer.GetResources()))
	for _, r := range answer.GetResources() {
		out = append(out, r.GetName())
	}
	return out, err //nolint:wrapcheck // nobody reads it
}

func envoyIDs(ctx context.Context, client *apiclient.Client) ([]cobra.Completion, error) {
	answer, err := client.Status(ctx, &adminv1.StatusRequest{})
	var out []cobra.Completion
	for _, n := range answer.GetNodes() {
		if n.GetKind() == apiclient.KindEnvoy {
			out = append(out, cobra.CompletionWithDesc(n.GetId(), n.GetRegion()))
		}
	}
	return out, err //nolint:wrapcheck // nobody reads it
}

// kindWord is the short word for a kind.
func kindWord(kind string) string {
	for _, k := range kindWords {
		if k.kind == kind {
			return k.words[0]
		}
	}
	return kind
}
