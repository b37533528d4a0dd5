package rollout

import (
	"maps"
	"slices"
	"time"
)

// Progress is what the machine is doing.
type Progress struct {
	Phase Phase
	// Since is when the phase began.
	Since time.Time
	// Target is what everybody is moved to, or has; "" before the first revision.
	Target string
	// Active is the revision whose policies the processors are given.
	Active string
	// Next waits for the current rollout to reach a safe point.
	Next string
	// Canaries are the ids of the nodes that get the target first, sorted; empty when nobody is
	// held back.
	Canaries []string
	// HeldBy are the ids of the Envoys, sorted, whose refusal keeps the target's policies
	// from the processors; some may be away for the moment.
	HeldBy []string
	// Rejection is the last refusal, nil once a newer revision went out.
	Rejection *Rejection
}

// Progress reports on the rollout.
func (m *Machine) Progress() Progress {
	p := Progress{Phase: m.phase, Since: m.since, Target: m.target, Next: m.next.Revision, Canaries: ids(maps.Keys(m.canaries))}
	if m.holding {
		p.HeldBy = ids(m.holders())
	}
	if len(m.live) > 0 {
		p.Active = m.live[0]
	}
	if m.rejection != nil {
		r := *m.rejection
		p.Rejection = &r
	}
	return p
}

// Standing is how one connection stands.
type Standing struct {
	// InSync: it holds what it was shown.
	InSync bool
	// Late: nobody waits for it.
	Late bool
	// Refused are the revisions in use that it refused.
	Refused []string
	// Refuses: the target, or for a processor the policies that are set, is among them.
	Refuses bool
	// View is what an Envoy is shown; zero for processors.
	View View
}

// Standing reports on a connection; false for one that is not known.
func (m *Machine) Standing(key Key) (Standing, bool) {
	n, ok := m.nodes[key]
	if !ok {
		return Standing{}, false
	}
	s := Standing{InSync: n.acked, Late: n.late, Refused: slices.Sorted(maps.Keys(n.refused))}
	if n.Kind == Envoy {
		s.View, s.Refuses = n.view, n.refuses(m.target)
	} else if len(m.live) > 0 {
		s.Refuses = n.refuses(m.live[0])
	}
	return s, true
}

// Known are the nodes that are connected, or were a moment ago.
func (m *Machine) Known() []Node {
	seen := make(map[Node]bool)
	for _, n := range m.nodes {
		seen[n.Node] = true
	}
	for n := range m.away {
		seen[n] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Node) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
}

// Referenced are all revisions that may still be shown; others may be forgotten.
func (m *Machine) Referenced() []string {
	out := slices.Clone(m.live)
	out = append(out, m.target, m.next.Revision)
	for _, n := range m.nodes {
		out = append(out, n.kept...)
		out = append(out, n.view.Clusters...)
		out = append(out, n.view.Routes...)
	}
	return slices.DeleteFunc(unique(out), func(r string) bool { return r == "" })
}
