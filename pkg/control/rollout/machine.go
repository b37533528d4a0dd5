package rollout

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// DefaultLimit is how long a phase waits for a node that does not answer.
const DefaultLimit = 15 * time.Second

// Options of a Machine.
type Options struct {
	// Limit is how long a phase waits for a node; DefaultLimit when 0.
	Limit time.Duration
	// Policies names what the policies of a revision say: revisions with one name
	// have the same stamps. It is asked about revisions that Referenced has. When nil,
	// each revision has policies of its own.
	Policies func(revision string) string
}

// Machine is the state of all rollouts. It is not safe for concurrent use; its
// methods return what the caller must do, in order.
type Machine struct {
	limit    time.Duration
	policies func(revision string) string

	phase Phase
	since time.Time
	// target is what everybody is moved to, or has.
	target string
	// live are the revisions that a processor may apply: the one whose policies are
	// set, then those that some processor has not been seen to leave.
	live []string
	// mode is how the target goes out.
	mode Proposal
	// next is the newest revision that waits for the current rollout; no name is none.
	next Proposal
	// canaries are those that get the target first; nil when nobody is held back.
	canaries map[Node]bool
	// samePolicies: those of the target say what the processors have already.
	samePolicies bool
	// holding: the phase Switch is over but for Envoys that refuse the target.
	holding bool
	// returning: the target is what was served before a processor refused another.
	returning bool
	// announced: Applied was said of the target.
	announced bool
	// order of proposal, to tell the newest of a view.
	order map[string]uint64

	nodes        map[Key]*node
	away         map[Node]*away
	serial       uint64
	policySerial uint64
	rejection    *Rejection
	actions      []Action
}

// New makes a machine. live are the revisions that processors may still apply, as
// last saved, and known the nodes that were connected then: a control plane that
// starts again must expect both. Their limit runs from now.
func New(opts Options, live []string, known []Node, now time.Time) (*Machine, []Action) {
	if opts.Limit <= 0 {
		opts.Limit = DefaultLimit
	}
	if opts.Policies == nil {
		opts.Policies = func(revision string) string { return revision }
	}
	m := &Machine{
		limit: opts.Limit, policies: opts.Policies, phase: Waiting, since: now, order: map[string]uint64{},
		nodes: map[Key]*node{}, away: map[Node]*away{}, live: unique(live),
	}
	for _, r := range slices.Backward(m.live) {
		m.note(r)
	}
	for _, n := range known {
		m.away[n] = &away{Node: n, since: now, proven: true}
	}
	if len(m.live) > 0 {
		// What was served goes on being served until something newer is there. Who
		// has left the older revisions will show as processors come back.
		m.target, m.phase, m.announced = m.live[0], Done, true
		m.setPolicies()
	}
	return m, m.settle(now)
}

// Propose hands over a new revision. It waits for the next safe point of a rollout
// that is under way; of several that wait only the last one goes out. One that is going
// out already, or is there, goes on as it does.
func (m *Machine) Propose(p Proposal, now time.Time) []Action {
	m.next = Proposal{}
	if p.Revision != m.target {
		m.next = p
	}
	return m.settle(now)
}

// Connect adds a connection. It is shown what the phase has for it at once.
func (m *Machine) Connect(key Key, who Node, now time.Time) []Action {
	n := &node{Node: who, key: key, refused: map[string]bool{}}
	n.stage = m.reach(n)
	if a, ok := m.away[who]; ok {
		n.proven, n.holds = a.proven, a.holds
		delete(m.away, who)
	}
	m.nodes[key] = n
	return m.settle(now)
}

// Disconnect removes a connection. The node keeps working with what it has, so it
// still counts for a while, unless it has another connection.
func (m *Machine) Disconnect(key Key, now time.Time) []Action {
	n, ok := m.nodes[key]
	if !ok {
		return nil
	}
	delete(m.nodes, key)
	for _, other := range m.nodes {
		if other.Node == n.Node {
			return m.settle(now)
		}
	}
	if m.target != "" && !n.late {
		m.away[n.Node] = &away{Node: n.Node, since: now, proven: n.proven && len(n.refused) == 0, holds: n.holds}
	}
	return m.settle(now)
}

// Ack says that a node holds what it was shown: an Envoy the view of that serial,
// a processor the policies of that serial. Older serials are ignored.
func (m *Machine) Ack(key Key, serial uint64, now time.Time) []Action {
	n, ok := m.nodes[key]
	if !ok || serial != m.shown(n) || serial == 0 {
		return nil
	}
	n.acked, n.late, n.noVeto, n.proven = true, false, false, true
	if n.Kind == Processor || slices.Contains(n.view.Clusters, m.target) {
		n.holds = false
	}
	if r := n.suspicion; r != nil {
		n.suspicion = nil
		if r.Revision == m.target && m.rejectable(n.Kind) {
			m.judge(n, *r, now)
		}
	}
	return m.settle(now)
}

// Nack says that a node refused part of what it was shown. While the target is
// being added or switched to (Envoys), or its policies set (processors), the
// revision is rejected: everybody goes back where it is atomic or with its canaries,
// else the node alone stays with what it had. So does it at any other time.
func (m *Machine) Nack(key Key, serial uint64, typeURL, detail string, now time.Time) []Action {
	n, ok := m.nodes[key]
	if !ok || serial != m.shown(n) || serial == 0 {
		return nil
	}
	refused := m.live[0]
	if n.Kind == Envoy {
		refused = m.newest(n.view.Clusters)
	}
	n.refuse(refused, n.Kind == Processor || len(n.view.Clusters) == 1)
	r := Rejection{Revision: refused, NodeID: n.ID, TypeURL: typeURL, Detail: detail, At: now}
	stops := refused == m.target && m.rejectable(n.Kind) && !n.noVeto
	switch {
	case n.suspicion != nil:
		// It does not take what was served before either.
		n.suspicion, n.noVeto = nil, true
	case stops && (n.proven || n.Kind == Processor):
		m.judge(n, r, now)
	case stops:
		n.suspicion = &r
	case refused == m.target && n.maybeInnocent(refused) && m.reach(n) > stageSwitch:
		n.tryAlone(refused)
	}
	return m.settle(now)
}

// judge decides what a refusal of the target means for the others.
func (m *Machine) judge(n *node, r Rejection, now time.Time) {
	if m.mode.Atomic || m.canaries != nil {
		m.reject(r, now)
		return
	}
	// An Envoy that refuses what the processors have already gains nothing by waiting, and
	// what a processor applies that has accepted nothing yet is not known.
	n.holds = n.Kind == Envoy && !n.refuses(m.live[0]) || n.Kind == Processor && n.proven
	m.rejection = &r
	m.do(Rejected{Rejection: r})
}

// reject gives the target up everywhere.
func (m *Machine) reject(r Rejection, now time.Time) {
	r.Everywhere = true
	m.rejection = &r
	m.do(Rejected{Rejection: r, Back: m.back()})
	m.goBack(now)
}

// Forgive forgets a rejection of what everybody has gone back from.
func (m *Machine) Forgive() {
	if m.rejection != nil && m.rejection.Everywhere && m.rejection.Revision != m.target {
		m.rejection = nil
	}
}

// Tick lets time pass. Deadline says when it is next needed.
func (m *Machine) Tick(now time.Time) []Action {
	return m.settle(now)
}

// Deadline is when Tick must be called although nothing else happened; zero when
// there is nothing to wait for.
func (m *Machine) Deadline() time.Time {
	var at time.Time
	for _, a := range m.away {
		if t := a.since.Add(m.limit); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if !m.limited() {
		return at
	}
	due := m.since.Add(m.limit)
	waits := len(m.outstanding()) > 0 || m.waitsForAway()
	for _, n := range m.nodes {
		waits = waits || m.blocks(n)
	}
	if waits && (at.IsZero() || due.Before(at)) {
		at = due
	}
	return at
}

func (m *Machine) shown(n *node) uint64 {
	if n.Kind == Processor {
		return m.policySerial
	}
	return n.view.Serial
}

func (m *Machine) do(a Action) { m.actions = append(m.actions, a) }

func (m *Machine) note(revision string) {
	m.serial++
	m.order[revision] = m.serial
}

func (m *Machine) newest(revisions []string) string {
	out := ""
	for _, r := range revisions {
		if out == "" || m.order[r] > m.order[out] {
			out = r
		}
	}
	return out
}

// sorted gives the nodes of a kind in a stable order.
func (m *Machine) sorted(kind Kind) []*node {
	out := make([]*node, 0, len(m.nodes))
	for _, key := range slices.SortedFunc(maps.Keys(m.nodes), func(a, b Key) int { return strings.Compare(string(a), string(b)) }) {
		if n := m.nodes[key]; n.Kind == kind {
			out = append(out, n)
		}
	}
	return out
}

// settle moves on as far as possible and gives the actions collected so far.
func (m *Machine) settle(now time.Time) []Action {
	m.expire(now)
	for {
		for _, n := range m.sorted(Envoy) {
			m.advance(n)
		}
		m.hold(now)
		if m.canaryFailed(now) {
			continue
		}
		if !m.passed(now) || !m.forward(now) {
			break
		}
	}
	m.forget()
	out := m.actions
	m.actions = nil
	return out
}

// forget drops what is known about revisions that nothing refers to.
func (m *Machine) forget() {
	referenced := m.Referenced()
	gone := func(r string) bool { return !slices.Contains(referenced, r) }
	maps.DeleteFunc(m.order, func(r string, _ uint64) bool { return gone(r) })
	for _, n := range m.nodes {
		maps.DeleteFunc(n.refused, func(r string, _ bool) bool { return gone(r) })
	}
}

func (m *Machine) expire(now time.Time) {
	maps.DeleteFunc(m.away, func(_ Node, a *away) bool { return !now.Before(a.since.Add(m.limit)) })
}
