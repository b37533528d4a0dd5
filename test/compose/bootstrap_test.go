package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// differences are all that deploy/compose/envoy.yaml may say otherwise than
// envoy/bootstrap.yaml, each of them once.
var differences = []struct{ bootstrap, compose string }{
	{"{address: 127.0.0.1, port_value: 18000}", "{address: 10.123.77.10, port_value: 18000}"},
}

// TestBootstrap: the file is the repository's bootstrap with the differences made,
// comments included, so that neither gets better without the other.
func TestBootstrap(t *testing.T) {
	want := body(t, filepath.Join(stacktest.Root(t), "envoy", "bootstrap.yaml"))
	for _, d := range differences {
		if n := strings.Count(want, d.bootstrap); n != 1 {
			t.Fatalf("envoy/bootstrap.yaml says %q %d times", d.bootstrap, n)
		}
		want = strings.Replace(want, d.bootstrap, d.compose, 1)
	}
	path := filepath.Join(directory(t), "envoy.yaml")
	if got := body(t, path); got != want {
		fresh := filepath.Join(t.TempDir(), "envoy.yaml")
		if err := os.WriteFile(fresh, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		diff, _ := exec.CommandContext(t.Context(), "diff", "-u", path, fresh).Output() // 1: they differ
		t.Errorf("%s has drifted from envoy/bootstrap.yaml; from its line \"node:\" on it should change so:\n%s", path, diff)
	}
}

// body is a bootstrap without the comment at its head.
func body(t *testing.T, path string) string {
	t.Helper()
	_, after, found := strings.Cut(read(t, path), "\nnode:\n")
	if !found {
		t.Fatalf("%s has no line \"node:\"", path)
	}
	return after
}

// TestEnvoyVersion: the image has the Envoy that everything else is tested with.
func TestEnvoyVersion(t *testing.T) {
	if got, want := load(t).AllServices()["envoy"].Image, "envoyproxy/envoy:v"+parts.EnvoyVersion; got != want {
		t.Errorf("image %s, want %s", got, want)
	}
}
