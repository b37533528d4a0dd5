package thirdparty_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/thirdparty"
)

// TestParts: what was fetched runs, in the versions that the lock names.
func TestParts(t *testing.T) {
	parts := thirdparty.Get(t)
	out, err := exec.Command(parts.Node, "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "v22.") {
		t.Errorf("node says %q, %v", out, err)
	}
	out, err = exec.Command(parts.Node, parts.Module("@modelcontextprotocol/conformance/dist/index.js"), "--version").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "0.2.0-alpha.12" {
		t.Errorf("the conformance suite says %q, %v", out, err)
	}
	cmd := exec.Command(parts.Python, "-c", "import importlib.metadata as m, mcp; print(m.version('mcp'))")
	cmd.Env = parts.PythonEnv()
	if out, err = cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "2.3.0" {
		t.Errorf("the Python SDK says %q, %v", out, err)
	}
}
