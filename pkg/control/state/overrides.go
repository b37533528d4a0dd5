package state

import (
	"fmt"
	"path/filepath"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// OverridesFileName of what operators say about breakers, within its directory.
const OverridesFileName = "overrides.state"

// SaveOverrides writes durably what operators say about breakers, in place of all that was
// said before.
func (d *Dir) SaveOverrides(overrides []*outcomev1.Override) error {
	if err := d.write(OverridesFileName, &SavedOverrides{Overrides: overrides}); err != nil {
		return fmt.Errorf("saving breaker overrides: %w", err)
	}
	return nil
}

// LoadOverrides reads what was saved; nothing when nothing was. An error means that the
// file is not usable; it is left where it is until the next SaveOverrides.
func (d *Dir) LoadOverrides() ([]*outcomev1.Override, error) {
	data, err := d.read(OverridesFileName)
	if err != nil || data == nil {
		return nil, err
	}
	saved := &SavedOverrides{}
	if err := unseal(data, saved); err != nil {
		return nil, fmt.Errorf("reading saved breaker overrides %s: %w", filepath.Join(d.path, OverridesFileName), err)
	}
	return saved.GetOverrides(), nil
}
