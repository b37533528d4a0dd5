package rollout

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// heldBack says that an Envoy does not get the target yet, since others try it first.
func (m *Machine) heldBack(n *node) bool {
	return m.canaries != nil && n.Kind == Envoy && !m.canaries[n.Node]
}

// chooseCanaries picks the nodes that get the target first; nil when it goes to all at
// once. Those who are in no good standing prove nothing, and are passed over. After a
// restart nobody may be back yet: then they are picked among those who were there.
func (m *Machine) chooseCanaries() map[Node]bool {
	if m.mode.CanaryPercent <= 0 {
		return nil
	}
	present, sound := map[Node]bool{}, map[Node]bool{}
	for _, n := range m.nodes {
		if n.Kind == Envoy {
			present[n.Node] = true
			sound[n.Node] = n.proven && !n.late && !n.noVeto
		}
	}
	if len(present) == 0 {
		for who, a := range m.away {
			if who.Kind == Envoy {
				present[who], sound[who] = true, a.proven
			}
		}
	}
	maps.DeleteFunc(sound, func(_ Node, ok bool) bool { return !ok })
	return pickCanaries(m.target, maps.Keys(sound), canaryCount(len(present), m.mode.CanaryPercent))
}

// canaryCount is percent of total, rounded up: at least one, and not all of two or more.
func canaryCount(total, percent int) int {
	return max(1, min((total*percent+99)/100, total-1))
}

// pickCanaries takes count of the nodes, nil of none. Which ones is a matter of the
// revision and their ids alone, so that it is the same after a restart and not always
// the same nodes that take the risk.
func pickCanaries(revision string, from iter.Seq[Node], count int) map[Node]bool {
	rank := func(n Node) []byte {
		h := sha256.Sum256([]byte(revision + "\x00" + n.ID))
		return h[:]
	}
	ranked := slices.SortedFunc(from, func(a, b Node) int {
		return cmp.Or(bytes.Compare(rank(a), rank(b)), cmp.Compare(a.ID, b.ID))
	})
	if len(ranked) == 0 {
		return nil
	}
	out := make(map[Node]bool, count)
	for _, n := range ranked[:min(count, len(ranked))] {
		out[n] = true
	}
	return out
}

// outstanding are the canaries that do not hold what the phase has for them, sorted.
func (m *Machine) outstanding() []Node {
	holding := map[Node]bool{}
	for _, n := range m.nodes {
		if !m.canaries[n.Node] {
			continue
		}
		holds := n.acked && n.stage >= m.reach(n) && !n.refuses(m.target)
		before, seen := holding[n.Node]
		holding[n.Node] = holds && (before || !seen)
	}
	var out []Node
	for who := range m.canaries {
		if !holding[who] {
			out = append(out, who)
		}
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// canaryFailed takes the target back when a canary has not acknowledged it in time. A
// cluster that never gets ready is refused by nobody, and an Envoy that dies of what it
// was given does not say so: silence is what the canaries are there to hear.
func (m *Machine) canaryFailed(now time.Time) bool {
	if m.canaries == nil || now.Before(m.since.Add(m.limit)) {
		return false
	}
	missing := m.outstanding()
	if len(missing) == 0 {
		return false
	}
	if m.next.Revision != "" {
		m.leave()
		return m.startNext(now)
	}
	m.reject(Rejection{
		Revision: m.target, NodeID: missing[0].ID, At: now,
		Detail: fmt.Sprintf("a canary, it has not acknowledged the revision within %s", m.limit),
	}, now)
	return true
}
