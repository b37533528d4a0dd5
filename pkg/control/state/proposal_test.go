package state

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

func TestProposal(t *testing.T) {
	d := open(t)
	if p, err := d.LoadProposal(); err != nil || p != (rollout.Proposal{}) {
		t.Fatalf("nothing was saved: %+v, %v", p, err)
	}
	for _, want := range []rollout.Proposal{
		{Revision: "a", CanaryPercent: 99}, {Revision: "b", Atomic: true}, {Revision: "c"},
	} {
		if err := d.SaveProposal(want); err != nil {
			t.Fatal(err)
		}
		if got, err := d.LoadProposal(); err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for _, percent := range []int{-1, 100} {
		if err := d.SaveProposal(rollout.Proposal{CanaryPercent: percent}); err == nil {
			t.Errorf("%d %% of the Envoys", percent)
		}
	}
	path := filepath.Join(d.path, ProposalFileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := append([]byte{}, whole...)
		damaged[i] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := d.LoadProposal(); err == nil || p != (rollout.Proposal{}) {
			t.Fatalf("byte %d is another one: %+v", i, p)
		}
	}
}
