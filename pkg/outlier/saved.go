package outlier

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/holdfast-mcp/holdfast/pkg/outlier/shift"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/tier"
)

// savedTiers are where endpoints and regions stood when the control plane stopped: what was out
// stays out until it is found well.
type savedTiers struct {
	Endpoints map[string]savedEndpoint `json:"endpoints,omitzero"`
	Regions   map[string]shift.State   `json:"regions,omitzero"`
	// Held are the regions that callers are kept away from until an operator says otherwise.
	Held map[string]held `json:"held,omitzero"`

	// last is what was saved last.
	last []byte
}

// savedEndpoint is one by "server/name". One at another address is another one.
type savedEndpoint struct {
	Address string     `json:"address"`
	State   tier.State `json:"state"`
}

func readTiers(data []byte) (savedTiers, error) {
	var s savedTiers
	if len(data) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(data, &s, jsonv1.FormatDurationAsNano(true)); err != nil {
		return savedTiers{}, fmt.Errorf("reading tiers: %w", err)
	}
	for name, e := range s.Endpoints {
		if e.State.Tier < tier.Steady || e.State.Tier > tier.Abandoned || e.State.Relapses < 0 {
			delete(s.Endpoints, name)
		}
	}
	for name, r := range s.Regions {
		if r.Away < 0 || r.Away > 100 || r.Relapses < 0 {
			delete(s.Regions, name)
		}
	}
	s.last = data
	return s, nil
}

func savedName(server, name string) string { return server + "/" + name }

func (s *savedTiers) endpoint(server, name, address string) *endpoint {
	out := &endpoint{}
	if was, ok := s.Endpoints[savedName(server, name)]; ok && was.Address == address {
		out.state = was.State
	}
	return out
}

func (s *savedTiers) region(server, name string) *region {
	return &region{shift: s.Regions[savedName(server, name)], held: s.Held[savedName(server, name)]}
}

// tiers gives what is to be kept, and whether it is something else than before. m.mu is held.
func (m *Monitor) tiers() (data []byte, changed bool, err error) {
	now := savedTiers{Endpoints: map[string]savedEndpoint{}, Regions: map[string]shift.State{}, Held: map[string]held{}}
	for name, s := range m.servers {
		for _, e := range s.endpoints {
			if e.state.Tier != tier.Steady || e.state.Relapses > 0 {
				now.Endpoints[savedName(name, e.target.Name)] = savedEndpoint{Address: e.target.Address, State: e.state}
			}
		}
		for region, r := range s.regions {
			if !r.shift.Began.IsZero() || r.shift.Relapses > 0 {
				now.Regions[savedName(name, region)] = r.shift
			}
			if r.held.is() {
				now.Held[savedName(name, region)] = r.held
			}
		}
	}
	data, err = json.Marshal(now, json.Deterministic(true), jsonv1.FormatDurationAsNano(true))
	if err != nil {
		return nil, false, fmt.Errorf("writing tiers: %w", err)
	}
	if m.saved.last == nil && len(now.Endpoints)+len(now.Regions)+len(now.Held) == 0 || bytes.Equal(data, m.saved.last) {
		return nil, false, nil
	}
	return data, true, nil
}
