package rollout

import (
	"slices"
	"time"
)

// blocks says that the current phase waits for n.
func (m *Machine) blocks(n *node) bool {
	switch {
	case m.phase == Waiting, m.phase == Done, n.Kind != m.phase.concerns(), m.heldBack(n):
		return false
	case n.late, n.noVeto, n.refuses(m.target) && n.suspicion == nil:
		return false
	}
	return !n.acked || (n.Kind == Envoy && n.stage < m.reach(n))
}

// passed says whether nobody concerned is outstanding any longer, and marks those
// late who are past the limit.
func (m *Machine) passed(now time.Time) bool {
	if m.phase == Waiting || m.phase == Done {
		return true
	}
	if m.canaries != nil {
		return len(m.outstanding()) == 0
	}
	due := m.limited() && !now.Before(m.since.Add(m.limit))
	open := true
	for _, n := range m.sorted(m.phase.concerns()) {
		if !m.blocks(n) {
			continue
		}
		if due {
			n.late = true
			m.do(Late{ID: n.ID, Kind: n.Kind, Phase: m.phase})
			continue
		}
		open = false
	}
	return open && (due || !m.waitsForAway())
}

// waitsForAway says whether the current phase waits for nodes that are not
// connected. Once routes and clusters only go away, none of them is in danger:
// what they use, no processor names any more.
func (m *Machine) waitsForAway() bool {
	switch m.phase {
	case Waiting, Trim, Prune, Done:
		return false
	case Adding, Switch, Policies:
	}
	for _, a := range m.away {
		if a.Kind == m.phase.concerns() {
			return true
		}
	}
	return false
}

// forward goes to the next phase; false when there is none to go to.
func (m *Machine) forward(now time.Time) bool {
	switch m.phase {
	case Waiting:
		return m.startNext(now)
	case Adding:
		if m.next.Revision != "" {
			m.leave()
			return m.startNext(now)
		}
		m.enter(Switch, now)
	case Switch:
		switch {
		case m.next.Revision != "" && m.live[0] != m.target:
			m.leave()
			return m.startNext(now)
		case m.canaries != nil:
			m.canaries = nil
			m.enter(Adding, now)
			return true
		case m.held():
			return false
		}
		m.enter(Policies, now)
		if m.live[0] != m.target {
			m.activate(m.target)
		}
	case Policies:
		if m.behind() {
			m.finish(now)
		} else {
			m.release(now)
		}
	case Trim:
		m.enter(Prune, now)
	case Prune:
		m.finish(now)
	case Done:
		if m.next.Revision != "" {
			return m.startNext(now)
		}
		if len(m.live) < 2 || m.behind() {
			return false
		}
		m.release(now)
	}
	return true
}

func (m *Machine) enter(p Phase, now time.Time) { m.phase, m.since = p, now }

// startNext begins the rollout of the revision that waits.
func (m *Machine) startNext(now time.Time) bool {
	if m.next.Revision == "" {
		return false
	}
	m.target, m.mode, m.next = m.next.Revision, m.next, Proposal{}
	m.returning, m.announced, m.canaries = false, false, nil
	m.samePolicies = len(m.live) > 0 && m.policies(m.target) == m.policies(m.live[0])
	if m.rejection != nil && m.rejection.Revision == m.target {
		m.rejection = nil
	}
	m.note(m.target)
	m.forgetHolds()
	for _, n := range m.nodes {
		n.noVeto = len(n.refused) > 0 && !n.acked
		n.proven = n.proven && n.acked
		n.suspicion = nil
		delete(n.refused, m.target)
		n.stage = stageAdd
	}
	switch {
	case len(m.live) == 0:
		// Nothing is served yet: no routes to protect, and no policies to keep.
		m.activate(m.target)
		m.enter(Switch, now)
	case m.live[0] == m.target:
		// Back to what the processors have, before they heard of anything else.
		m.withdraw(now)
	default:
		m.canaries = m.chooseCanaries()
		m.enter(Adding, now)
	}
	return true
}

// activate gives the processors the policies of a revision. All Envoys that are
// not late have its routes.
func (m *Machine) activate(revision string) {
	m.live = unique(append([]string{revision}, m.live...))
	if len(m.live) > maxOlder+1 {
		m.live = m.live[:maxOlder+1]
	}
	m.do(Save{Live: slices.Clone(m.live)})
	m.setPolicies()
}

func (m *Machine) setPolicies() {
	m.policySerial++
	for _, n := range m.nodes {
		if n.Kind == Processor {
			n.acked = false
		}
	}
	m.do(SetPolicies{Revision: m.live[0], Serial: m.policySerial})
}

// behind says whether a processor may still apply older policies: one that has not
// acknowledged the current ones, or that is away. One that refused them counts when
// what it applies is known; otherwise it is not waited for, since the refusal was told.
func (m *Machine) behind() bool {
	for _, n := range m.nodes {
		if n.Kind == Processor && !n.acked && (n.holds || !n.refuses(m.live[0])) {
			return true
		}
	}
	for _, a := range m.away {
		if a.Kind == Processor {
			return true
		}
	}
	return false
}

// release begins the removal of everything but the target: no processor names it.
func (m *Machine) release(now time.Time) {
	for _, n := range m.sorted(Envoy) {
		if n.maybeInnocent(m.target) && !n.holds {
			n.tryAlone(m.target)
			continue
		}
		n.keep(m.live[1:]...)
	}
	if len(m.live) > 1 {
		m.live = m.live[:1]
		m.do(Save{Live: slices.Clone(m.live)})
	}
	m.enter(Trim, now)
}

func (m *Machine) finish(now time.Time) {
	m.enter(Done, now)
	if !m.announced {
		m.announced = true
		if m.rejection != nil && m.rejection.Revision != m.target {
			m.rejection = nil
		}
		m.do(Applied{Revision: m.target})
	}
}

// leave gives the target up before any processor has heard of it. Envoys that are
// known to have accepted its routes keep its clusters until those routes are gone.
func (m *Machine) leave() {
	for _, n := range m.sorted(Envoy) {
		if n.stage >= stageSwitch && n.acked {
			n.keep(m.target)
		}
	}
}

// withdraw returns to what is served, while no processor knows anything newer.
func (m *Machine) withdraw(now time.Time) {
	m.target, m.mode, m.announced, m.canaries = m.live[0], Proposal{}, true, nil
	m.forgetHolds()
	at, phase := stageTrim, Trim
	if len(m.live) > 1 {
		at, phase = stageSwitch, Done
	}
	for _, n := range m.sorted(Envoy) {
		n.stage = at
	}
	m.enter(phase, now)
}

// rejectable says whether a refusal by a node of that kind stops the rollout.
func (m *Machine) rejectable(kind Kind) bool {
	switch m.phase {
	case Adding, Switch:
		return kind == Envoy && m.live[0] != m.target
	case Policies:
		return kind == Processor && len(m.live) > 1 && !m.returning
	default:
		return false
	}
}

// back is what goBack leads to; empty when something newer goes out instead.
func (m *Machine) back() string {
	switch {
	case m.phase == Policies:
		return m.live[1]
	case m.next.Revision != "":
		return ""
	default:
		return m.live[0]
	}
}

// goBack gives a refused target up.
func (m *Machine) goBack(now time.Time) {
	if m.phase != Policies {
		m.leave()
		if m.next.Revision != "" {
			m.startNext(now)
			return
		}
		m.withdraw(now)
		return
	}
	// Other processors may apply the refused policies already, so its routes stay
	// until all have the former ones again.
	refused := m.live[0]
	m.live = append([]string{m.live[1], refused}, m.live[2:]...)
	m.target, m.mode, m.returning, m.announced = m.live[0], Proposal{}, true, true
	m.do(Save{Live: slices.Clone(m.live)})
	m.setPolicies()
	for _, n := range m.sorted(Envoy) {
		n.stage = stageSwitch
	}
	m.enter(Policies, now)
}
