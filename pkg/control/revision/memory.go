package revision

import (
	"fmt"
	"sync"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

// memory is what a compiler has built before. What it is built from decides what is used
// again (see snapshot.Builder), so it changes no result. It is safe for concurrent use.
type memory struct {
	builder snapshot.Builder
	hashes  resources.Hashes

	mu         sync.Mutex
	generation int
	sets       map[*snapshot.Resources]*remembered
}

type remembered struct {
	set      *resources.Set
	policies resources.Group
	used     int
}

// set puts versions to what was built. Regions with the same resources share one set.
func (m *memory) set(built *snapshot.Resources) (*resources.Set, resources.Group, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.sets[built]; ok {
		known.used = m.generation
		return known.set, known.policies, nil
	}
	set := &resources.Set{}
	for _, g := range []struct {
		to   *resources.Group
		from map[string]resources.Message
	}{
		{&set.Clusters, built.Clusters},
		{&set.Endpoints, built.Endpoints},
		{&set.Listeners, built.Listeners},
		{&set.Routes, built.Routes},
	} {
		var err error
		if *g.to, err = m.hashes.Group(g.from); err != nil {
			return nil, nil, err
		}
	}
	if err := set.Usable(); err != nil {
		return nil, nil, err
	}
	policies, err := resources.NewGroup(built.Policies)
	if err != nil {
		return nil, nil, fmt.Errorf("policies: %w", err)
	}
	if m.sets == nil {
		m.sets = map[*snapshot.Resources]*remembered{}
	}
	m.sets[built] = &remembered{set, policies, m.generation}
	return set, policies, nil
}

// forget lets go of what the last two revisions did not need.
func (m *memory) forget() {
	m.builder.Forget()
	m.hashes.Forget()
	m.mu.Lock()
	defer m.mu.Unlock()
	for built, known := range m.sets {
		if known.used+1 < m.generation {
			delete(m.sets, built)
		}
	}
	m.generation++
}
