package state

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

// ProposalFileName of the last proposal within its directory.
const ProposalFileName = "proposal.state"

// SaveProposal writes down durably how a revision is to go out, in place of what was
// said about the one before. A restart in the middle must not give to all Envoys what
// was meant for a few.
func (d *Dir) SaveProposal(p rollout.Proposal) error {
	if p.CanaryPercent < 0 || p.CanaryPercent > 99 {
		return fmt.Errorf("saving the proposal: %d %% of the Envoys", p.CanaryPercent)
	}
	message := &SavedProposal{Version: p.Revision, Atomic: p.Atomic, CanaryPercent: uint32(p.CanaryPercent)}
	if err := d.write(ProposalFileName, message); err != nil {
		return fmt.Errorf("saving the proposal: %w", err)
	}
	return nil
}

// LoadProposal reads what was saved; the zero Proposal when nothing was. An error means
// that the file is not usable.
func (d *Dir) LoadProposal() (rollout.Proposal, error) {
	data, err := d.read(ProposalFileName)
	if err != nil || data == nil {
		return rollout.Proposal{}, err
	}
	saved := &SavedProposal{}
	err = unseal(data, saved)
	if err == nil && saved.GetCanaryPercent() > 99 {
		err = errors.New("there are no such canaries")
	}
	if err != nil {
		return rollout.Proposal{}, fmt.Errorf("reading the saved proposal %s: %w", filepath.Join(d.path, ProposalFileName), err)
	}
	return rollout.Proposal{Revision: saved.GetVersion(), Atomic: saved.GetAtomic(), CanaryPercent: int(saved.GetCanaryPercent())}, nil
}
