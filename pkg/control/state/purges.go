package state

import (
	"fmt"
	"path/filepath"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// PurgesFileName of what is not to be given any more of what processors remember, within its
// directory.
const PurgesFileName = "purges.state"

// SavePurges writes the purges in force durably, in place of those before.
func (d *Dir) SavePurges(purges []*outcomev1.Purge) error {
	if err := d.write(PurgesFileName, &SavedPurges{Purges: purges}); err != nil {
		return fmt.Errorf("saving purges: %w", err)
	}
	return nil
}

// LoadPurges reads what was saved; nothing when nothing was. An error means that the file is
// not usable; it is left where it is until the next SavePurges.
func (d *Dir) LoadPurges() ([]*outcomev1.Purge, error) {
	data, err := d.read(PurgesFileName)
	if err != nil || data == nil {
		return nil, err
	}
	saved := &SavedPurges{}
	if err := unseal(data, saved); err != nil {
		return nil, fmt.Errorf("reading saved purges %s: %w", filepath.Join(d.path, PurgesFileName), err)
	}
	return saved.GetPurges(), nil
}
