package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestEnvoyAcceptsEverySnapshot: what the builder makes of each golden input and
// of each example is valid for the real Envoy, not only for its protos.
func TestEnvoyAcceptsEverySnapshot(t *testing.T) {
	t.Parallel()
	parts, root := testbed.Parts(t), stacktest.Root(t)
	load := map[string]func() (*config.Config, error){}
	inputs, err := filepath.Glob(filepath.Join(root, "pkg/snapshot/testdata/*.in.yaml"))
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no golden inputs: %v", err)
	}
	for _, file := range inputs {
		load[filepath.Base(file)] = func() (*config.Config, error) {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			return config.Parse([]config.File{{Name: file, Data: data}})
		}
	}
	examples, err := filepath.Glob(filepath.Join(root, "examples/*"))
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, dir := range examples {
		load["examples/"+filepath.Base(dir)] = func() (*config.Config, error) { return config.Load(dir) }
	}
	for name, read := range load {
		t.Run(name, func(t *testing.T) {
			cfg, err := read()
			if err != nil {
				t.Fatal(err)
			}
			m, err := model.Build(cfg, model.Options{Region: testbed.Mumbai, Processors: []string{"unix:///run/extproc.sock"}})
			if err != nil {
				t.Fatal(err)
			}
			resources, err := snapshot.Build(m)
			if err != nil {
				t.Fatal(err)
			}
			text, err := snapshot.Static(resources)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "static.json")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if out, err := exec.CommandContext(ctx, parts.Envoy, "--mode", "validate", "-c", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
