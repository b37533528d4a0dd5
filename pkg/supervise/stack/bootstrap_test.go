package stack_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/envoy"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

var update = flag.Bool("update", false, "write the golden files")

// validate asks a real Envoy about a bootstrap.
func validate(t *testing.T, bootstrap []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap.yaml")
	if err := os.WriteFile(path, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, stacktest.Envoy(t), "--mode", "validate", "-c", path).CombinedOutput()
	if err != nil {
		t.Errorf("Envoy refuses the bootstrap: %v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "][warning]") || strings.Contains(line, "deprecated") {
			t.Errorf("Envoy warns: %s", line)
		}
	}
}

func TestBootstrapIsValid(t *testing.T) { validate(t, envoy.Bootstrap) }

func TestEditBootstrap(t *testing.T) {
	got, err := stack.EditBootstrap(envoy.Bootstrap, stack.Edits{
		Addresses: map[string]string{stack.DefaultXDS: "127.0.0.1:18010", stack.DefaultEnvoyAdmin: "[::1]:9911"},
		NodeID:    "envoy-delhi-1", Region: "asia-south2",
	})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "bootstrap-edited.golden.yaml")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the edited bootstrap differs from %s (rewrite it with -update):\n%s", golden, got)
	}
	validate(t, got)
}

func TestEditBootstrapRefuses(t *testing.T) {
	moved := stack.Edits{Addresses: map[string]string{"127.0.0.1:9901": "127.0.0.1:9911"}}
	tests := map[string]struct {
		bootstrap string
		edits     stack.Edits
		want      string
	}{
		"not YAML":           {"a: [", stack.Edits{}, "reading the bootstrap"},
		"a list":             {"- a", stack.Edits{}, "not a YAML mapping"},
		"nothing":            {"", stack.Edits{}, "not a YAML mapping"},
		"unknown address":    {"a: 1", moved, "it has no address 127.0.0.1:9901"},
		"no node":            {"a: 1", stack.Edits{NodeID: "x"}, "there is no [node id]"},
		"no locality":        {"node: {id: a}", stack.Edits{Region: "x"}, "there is no [node locality region]"},
		"a node of one word": {"node: a", stack.Edits{NodeID: "x"}, "there is no [node id]"},
		"a bad address":      {"{address: 127.0.0.1, port_value: 9901}", stack.Edits{Addresses: map[string]string{"127.0.0.1:9901": "x"}}, "replacing 127.0.0.1:9901"},
		"a bad port":         {"{address: 127.0.0.1, port_value: 9901}", stack.Edits{Addresses: map[string]string{"127.0.0.1:9901": "x:y"}}, "replacing 127.0.0.1:9901"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := stack.EditBootstrap([]byte(test.bootstrap), test.edits)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, %v; want an error that says %q", got, err, test.want)
			}
		})
	}
}
