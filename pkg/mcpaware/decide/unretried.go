package decide

import "github.com/holdfast-mcp/holdfast/pkg/names"

// WithoutRetries takes the action's route that tries again only what provably never reached a
// server; nothing changes where there is none.
func (d *Decision) WithoutRetries() {
	twin := d.Action.GetUnretried()
	if twin == "" {
		return
	}
	for i := range d.SetHeaders {
		if d.SetHeaders[i].Name == names.HeaderRoute {
			d.SetHeaders[i].Value = twin
		}
	}
}
