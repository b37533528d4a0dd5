package fleet

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// TestOperatorsWordsSurviveARestart of the processor, while the control plane is away.
func TestOperatorsWordsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	begin := func() (*Client, *local) {
		t.Helper()
		l := &local{}
		c, err := New(Options{Conn: &network{}, Processor: "extproc-1", Windows: l, Breakers: l, StateDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return c, l
	}
	c, l := begin()
	if len(l.overrides) != 1 || len(l.overrides[0]) != 0 {
		t.Fatalf("at first: %v", l.overrides)
	}
	word := &outcomev1.Override{Server: "orders", Tool: "report", State: outcomev1.BreakerState_BREAKER_STATE_OPEN, Reason: "bad release"}
	(&run{Client: c}).take(&outcomev1.Fleet{Overrides: []*outcomev1.Override{word}})
	again, l := begin()
	if len(l.overrides) != 1 || len(l.overrides[0]) != 1 || !proto.Equal(l.overrides[0][0], word) {
		t.Fatalf("after a restart: %v", l.overrides)
	}
	(&run{Client: again}).take(&outcomev1.Fleet{})
	if _, l = begin(); len(l.overrides[0]) != 0 {
		t.Fatalf("taken back, and there after a restart: %v", l.overrides)
	}
	path := filepath.Join(dir, overridesFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][]byte{"short": data[:3], "changed": append([]byte("x"), data[1:]...)} {
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, l := begin(); len(l.overrides[0]) != 0 {
			t.Errorf("%s: %v", name, l.overrides)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
