package state

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/control/drains"
)

// DrainsFileName of what operators have taken out of service, within its directory.
const DrainsFileName = "drains.state"

// SaveDrains writes durably what operators have taken out of service, in place of all before.
func (d *Dir) SaveDrains(all []drains.Drain) error {
	saved := &SavedDrains{}
	for _, one := range all {
		saved.Drains = append(saved.Drains, &SavedDrain{
			Server: one.Server, Region: one.Region, Endpoint: one.Endpoint, By: one.By, Reason: one.Reason,
			Since: nanos(one.Since), Until: nanos(one.Until), SessionsUntil: nanos(one.SessionsUntil),
		})
	}
	if err := d.write(DrainsFileName, saved); err != nil {
		return fmt.Errorf("saving drains: %w", err)
	}
	return nil
}

// LoadDrains reads what was saved; nothing when nothing was. An error means that the file is
// not usable; it is left where it is until the next SaveDrains.
func (d *Dir) LoadDrains() ([]drains.Drain, error) {
	data, err := d.read(DrainsFileName)
	if err != nil || data == nil {
		return nil, err
	}
	saved := &SavedDrains{}
	if err := unseal(data, saved); err != nil {
		return nil, fmt.Errorf("reading saved drains %s: %w", filepath.Join(d.path, DrainsFileName), err)
	}
	out := make([]drains.Drain, 0, len(saved.GetDrains()))
	for _, one := range saved.GetDrains() {
		out = append(out, drains.Drain{
			Target: drains.Target{Server: one.GetServer(), Region: one.GetRegion(), Endpoint: one.GetEndpoint()},
			By:     one.GetBy(), Reason: one.GetReason(),
			Since: moment(one.GetSince()), Until: moment(one.GetUntil()), SessionsUntil: moment(one.GetSessionsUntil()),
		})
	}
	return out, nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
