package control

import "github.com/holdfast-mcp/holdfast/pkg/model"

// SetHealth lays what was measured of a server's endpoints over every revision, in place of
// what was before. Names that the configuration does not have change nothing. It never waits
// for an Envoy.
func (p *Plane) SetHealth(server string, h model.Health) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.measured[server] = h
}
