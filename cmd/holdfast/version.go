package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
)

// release is what whoever linked the program calls it (-X main.release=1.2.3); empty:
// nothing. A build away from the repository, such as an image's, knows nothing else.
var release string

// version is what the build knows about itself: its release, a module version, or
// the commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return "devel"
	}
	v := "devel+" + revision[:min(12, len(revision))]
	if settings["vcs.modified"] == "true" {
		v += "+changed"
	}
	return v
}

func newVersion(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the versions of Holdfast, of Go and of the Envoy it is made for",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			say(env.Stdout, "holdfast %s\ngo       %s %s/%s\nenvoy    %s\n",
				version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, parts.EnvoyVersion)
			return nil
		},
	}
}
