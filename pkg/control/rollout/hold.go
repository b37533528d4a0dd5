package rollout

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// holders are the Envoys that refuse the target and work with what was there before.
// One that is away for a moment goes on doing so.
func (m *Machine) holders() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		for _, n := range m.nodes {
			if n.Kind == Envoy && n.holds && !yield(n.Node) {
				return
			}
		}
		for who, a := range m.away {
			if who.Kind == Envoy && a.holds && !yield(who) {
				return
			}
		}
	}
}

// held says that the processors must not get the target's policies: an Envoy lacks
// routes that those name.
func (m *Machine) held() bool {
	if m.samePolicies || m.live[0] == m.target {
		return false
	}
	for range m.holders() {
		return true
	}
	return false
}

// hold notes when a rollout is held and when it no longer is. It may be held for days,
// so the others' limit starts again at its end.
func (m *Machine) hold(now time.Time) {
	holding := m.phase == Switch && m.canaries == nil && len(m.live) > 0 && m.held()
	if m.holding && !holding && m.phase == Switch {
		m.since = now
	}
	m.holding = holding
}

// limited says that the phase does not wait for ever. One that is held does, until
// something newer wants to go out.
func (m *Machine) limited() bool { return !m.holding || m.next.Revision != "" }

// forgetHolds ends what Envoys hold; another target is another question. What a
// processor applies stays what it is.
func (m *Machine) forgetHolds() {
	for _, n := range m.nodes {
		n.holds = n.holds && n.Kind == Processor
	}
	for who, a := range m.away {
		a.holds = a.holds && who.Kind == Processor
	}
}

// ids gives the ids of nodes, sorted, each once; nil for none.
func ids(nodes iter.Seq[Node]) []string {
	seen := map[string]bool{}
	for n := range nodes {
		seen[n.ID] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
