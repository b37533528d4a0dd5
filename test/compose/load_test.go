// Package compose tests deploy/compose and the Dockerfile without a container
// engine: the compose file is loaded by the compose specification's own library and
// held against rules, the programs are built by the Dockerfile's own lines, and every
// service's command, mounts, environment and health check run as native processes,
// each with a loopback address in place of its container's address.
//
// What only an engine could show is not shown here: that images can be fetched, and
// that limits, read-only file systems, users and dropped capabilities are enforced.
package compose

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// directory of the compose file.
func directory(t testing.TB) string { return filepath.Join(stacktest.Root(t), "deploy", "compose") }

func read(t testing.TB, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// load reads the compose file as 'docker compose' does, with no variable set and every
// profile on. Each override is one more compose file, as with a further -f.
func load(t testing.TB, overrides ...string) *types.Project {
	t.Helper()
	project, err := loadWith([]string{"*"}, directory(t), overrides...)
	if err != nil {
		t.Fatalf("the compose file: %v", err)
	}
	return project
}

func loadWith(profiles []string, dir string, overrides ...string) (*types.Project, error) {
	details := types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml")}},
		Environment: types.Mapping{},
	}
	for _, text := range overrides {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: "override.yaml", Content: []byte(text)})
	}
	return loader.LoadWithContext(context.Background(), details, loader.WithProfiles(profiles))
}
