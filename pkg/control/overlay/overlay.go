// Package overlay lays what is measured and ordered of endpoints over the load assignments that
// revisions were compiled to. It is no revision and goes through no phases: an assignment that
// differs is all that an Envoy is sent.
package overlay

import (
	"fmt"
	"iter"
	"maps"
	"reflect"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

// Layer is the health of all servers, and what came of it. A change of one server costs what its own
// assignments cost and a copy of the names, however many servers there are. The zero Layer is
// ready. It is not safe for concurrent use.
type Layer struct {
	health map[string]model.Health
	// changes counts the calls of Set that changed something; changed has the last one by server.
	changes uint64
	changed map[string]uint64
	// laid is what came of the endpoints of a set, by their group.
	laid map[uintptr]*laid
	// refused are versions that an Envoy did not take.
	refused map[string]bool
}

// laid is a group of endpoints with health laid over it.
type laid struct {
	base, over resources.Group
	// at is Layer.changes when over was made.
	at uint64
	// sets by the one that they were made from.
	sets map[*resources.Set]*resources.Set
}

// maxRefused bounds what is remembered of refusals; beyond it all are forgotten.
const maxRefused = 256

// Set says how a server's endpoints are from now on.
func (l *Layer) Set(server string, h model.Health) {
	if l.health == nil {
		l.health, l.changed = map[string]model.Health{}, map[string]uint64{}
	}
	l.changes++
	l.changed[server] = l.changes
	if l.health[server] = h; len(h.Endpoints)+len(h.Regions) == 0 {
		delete(l.health, server)
	}
}

// Over gives a set with everything that was Set laid over its endpoints; the set itself where
// that changes nothing. The same set gives the same one again until something changes.
func (l *Layer) Over(base *resources.Set) (*resources.Set, error) {
	id := identity(base)
	on, ok := l.laid[id]
	if !ok {
		on = &laid{base: base.Endpoints, over: base.Endpoints, sets: map[*resources.Set]*resources.Set{}}
		if l.laid == nil {
			l.laid = map[uintptr]*laid{}
		}
		l.laid[id] = on
	}
	if err := l.bring(on); err != nil {
		return nil, err
	}
	if on.over.Is(on.base) {
		return base, nil
	}
	over, ok := on.sets[base]
	if !ok {
		over = base.WithEndpoints(on.over)
		on.sets[base] = over
	}
	return over, nil
}

// bring lays over a group what has changed since it was last looked at.
func (l *Layer) bring(on *laid) error {
	if on.at == l.changes {
		return nil
	}
	next, copied := on.over, false
	for name, base := range on.base {
		server := snapshot.ServerOf(name)
		if l.changed[server] <= on.at {
			continue
		}
		over, err := l.lay(name, base, l.health[server])
		if err != nil {
			return err
		}
		if over.Version == next[name].Version {
			continue
		}
		if !copied {
			next, copied = maps.Clone(next), true
		}
		next[name] = over
	}
	if on.at = l.changes; copied {
		on.over = next
		if same(next, on.base) {
			on.over = on.base
		}
		clear(on.sets)
	}
	return nil
}

func (l *Layer) lay(name string, base resources.Versioned, h model.Health) (resources.Versioned, error) {
	assignment, ok := base.Message.(*endpointv3.ClusterLoadAssignment)
	if !ok {
		return base, fmt.Errorf("endpoints %q are a %T", name, base.Message)
	}
	over := snapshot.Overlay(assignment, h)
	if over == assignment {
		return base, nil
	}
	if err := over.ValidateAll(); err != nil {
		return base, fmt.Errorf("endpoints %q with their health: %w", name, err)
	}
	group, err := resources.NewGroup(map[string]*endpointv3.ClusterLoadAssignment{name: over})
	if err != nil {
		return base, err
	}
	if l.refused[group[name].Version] {
		return base, nil
	}
	return group[name], nil
}

func same(a, b resources.Group) bool {
	return maps.EqualFunc(a, b, func(a, b resources.Versioned) bool { return a.Version == b.Version })
}

// Refused takes the word of an Envoy that it does not want some of what Over gave for a set: from
// then on that is left as the revision has it. names are what was refused; nil: any of it. It
// says whether there was such.
func (l *Layer) Refused(base, over *resources.Set, names []string) bool {
	found := false
	if names == nil {
		for name := range over.Endpoints {
			names = append(names, name)
		}
	}
	for _, name := range names {
		has, ok := over.Endpoints[name]
		if !ok || has.Version == base.Endpoints[name].Version {
			continue
		}
		if len(l.refused) >= maxRefused {
			clear(l.refused)
		}
		if l.refused == nil {
			l.refused = map[string]bool{}
		}
		l.refused[has.Version] = true
		server := snapshot.ServerOf(name)
		l.changes++
		l.changed[server] = l.changes
		found = true
	}
	return found
}

// Keep lets go of what was made of other sets than these.
func (l *Layer) Keep(bases iter.Seq[*resources.Set]) {
	kept := make(map[uintptr]bool, len(l.laid))
	for base := range bases {
		kept[identity(base)] = true
	}
	maps.DeleteFunc(l.laid, func(id uintptr, _ *laid) bool { return !kept[id] })
}

// identity of a set's endpoints, which the sets of several regions may share.
func identity(s *resources.Set) uintptr { return reflect.ValueOf(s.Endpoints).Pointer() }
