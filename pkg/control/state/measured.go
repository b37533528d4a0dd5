package state

import "fmt"

// Files of what was measured, within their directory, JSON.
const (
	// IncidentsFileName has incidents and how calls ended; see package incident.
	IncidentsFileName = "incidents.json"
	// TiersFileName has where endpoints stand that are not well; see package outlier.
	TiersFileName = "tiers.json"
	// CanariesFileName has the servers that others take over from step by step.
	CanariesFileName = "canaries.json"
)

// SaveMeasured writes one of the files durably, in place of what was in it.
func (d *Dir) SaveMeasured(name string, data []byte) error {
	if err := d.replace(name, data); err != nil {
		return fmt.Errorf("saving %s: %w", name, err)
	}
	return nil
}

// LoadMeasured reads one of the files; nil where there is none.
func (d *Dir) LoadMeasured(name string) ([]byte, error) {
	data, err := d.read(name)
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("more than %d bytes", maxFileBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}
