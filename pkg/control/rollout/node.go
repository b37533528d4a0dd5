package rollout

import (
	"slices"
	"time"
)

// stage is how far one Envoy is; the phase limits it.
type stage int

const (
	stageAdd stage = iota
	stageSwitch
	stageTrim
	stagePrune
)

// node is one connection.
type node struct {
	Node
	key Key
	// acked: it holds what it was last shown (an Envoy its view, a processor the
	// policies that are set).
	acked bool
	// late: it took longer than the limit; cleared by an acknowledgement.
	late bool
	// refused are the revisions that it refused; they are not shown to it again,
	// unless one is proposed anew. True: it was shown alone. False: it was the newest
	// of several and got the blame without proof.
	refused map[string]bool
	// proven: it has accepted something, so what it refuses next is the newest to blame.
	proven bool
	// suspicion is a refusal by a node that has proven nothing yet. It is shown what
	// was served before; if it takes that, the refused revision is to blame.
	suspicion *Rejection
	// noVeto: it was refusing what is served before the target came. Nobody waits
	// for it, and its next refusal says nothing about the target. Cleared by an
	// acknowledgement.
	noVeto bool
	// holds: it refused what the others go on with, and works with what it had before.
	// An Envoy lacks the target's stamps; a processor writes those of older policies.
	holds bool

	// For Envoys only.
	stage stage
	view  View
	// kept are older revisions, besides the machine's live ones, that it may still use.
	kept []string
}

// maxOlder bounds the revisions kept for a node that never catches up, and those
// that a processor which never catches up may apply. The oldest are given up.
const maxOlder = 3

// keep notes revisions, the newest first, that the node may still use.
func (n *node) keep(revisions ...string) {
	n.kept = slices.DeleteFunc(unique(append(slices.Clone(revisions), n.kept...)), n.refuses)
	if len(n.kept) > maxOlder {
		n.kept = n.kept[:maxOlder]
	}
}

// refuses says whether it refused a revision.
func (n *node) refuses(revision string) bool {
	_, ok := n.refused[revision]
	return ok
}

// refuse notes a refusal.
func (n *node) refuse(revision string, alone bool) {
	n.acked = false
	n.refused[revision] = n.refused[revision] || alone
	n.kept = slices.DeleteFunc(n.kept, func(r string) bool { return r == revision })
}

// maybeInnocent says that it refused a revision in the company of older ones.
func (n *node) maybeInnocent(revision string) bool {
	alone, ok := n.refused[revision]
	return ok && !alone
}

// tryAlone lets the node have revision and nothing else.
func (n *node) tryAlone(revision string) {
	delete(n.refused, revision)
	n.suspicion, n.kept, n.stage = nil, nil, stagePrune
}

// away is a node that was connected a moment ago: an Envoy or a processor goes on
// working without the control plane, so it counts until it is back or forgotten.
type away struct {
	Node
	since time.Time
	// proven: it was in good standing when it left.
	proven bool
	// holds: as a node has it; it will refuse the same again.
	holds bool
}

// concerns says whose acknowledgement ends a phase.
func (p Phase) concerns() Kind {
	if p == Policies {
		return Processor
	}
	return Envoy
}

// reach is the furthest stage that the phase allows an Envoy.
func (m *Machine) reach(n *node) stage {
	if m.heldBack(n) {
		return stageAdd
	}
	switch m.phase {
	case Adding:
		return stageAdd
	case Switch, Policies:
		return stageSwitch
	case Trim:
		return stageTrim
	case Waiting, Prune:
		return stagePrune
	case Done:
		if len(m.live) > 1 {
			return stageSwitch
		}
		return stagePrune
	default:
		return stageAdd
	}
}

// wanted gives the revisions that n is to be shown now; nil when there are none
// that it has not refused.
func (m *Machine) wanted(n *node) (routes, clusters []string) {
	old := slices.DeleteFunc(unique(append(slices.Clone(m.live), n.kept...)), n.refuses)
	var target []string
	if m.target != "" && !n.refuses(m.target) && !m.heldBack(n) {
		target = []string{m.target}
	}
	all := unique(append(slices.Clone(target), old...))
	switch {
	case len(all) == 0:
		return nil, nil
	case len(target) == 0:
		// It refused the target, or its turn has not come: it stays with what it had.
		return old, old
	case n.stage == stageAdd && len(old) > 0:
		return old, all
	case n.stage <= stageSwitch:
		return all, all
	case n.stage == stageTrim:
		return target, all
	default:
		return target, target
	}
}

// advance brings an Envoy as far as the phase allows and its acknowledgements
// permit, and shows it what it is to have.
func (m *Machine) advance(n *node) {
	for {
		if n.stage == stagePrune {
			n.kept = nil
		}
		routes, clusters := m.wanted(n)
		if len(routes) > 0 && !(slices.Equal(routes, n.view.Routes) && slices.Equal(clusters, n.view.Clusters)) {
			m.serial++
			n.view = View{Serial: m.serial, Routes: routes, Clusters: clusters}
			n.acked = false
			m.do(Show{Node: n.key, View: n.view})
		}
		if n.stage >= m.reach(n) || n.refuses(m.target) {
			return
		}
		// Routes may be shown to a late node, for they break nothing that works. It
		// is removals that need to know what it uses.
		if !n.acked && !(n.stage == stageAdd && n.late) {
			return
		}
		n.stage++
	}
}

func unique(in []string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
