package rollout

import "time"

// Kind is what a node is.
type Kind int

// Kinds of nodes.
const (
	// Envoy takes clusters, endpoints, listeners and routes.
	Envoy Kind = iota + 1
	// Processor takes policies.
	Processor
)

func (k Kind) String() string {
	switch k {
	case Envoy:
		return "envoy"
	case Processor:
		return "extproc"
	default:
		return "unknown"
	}
}

// Key names one connection of a node. A node that reconnects has a new one; two
// connections with one ID (an Envoy that restarts hot) are two nodes here.
type Key string

// Node is who is at the other end of a connection.
type Node struct {
	ID   string
	Kind Kind
}

// View says which revisions an Envoy is shown, the preferred one first in each list.
type View struct {
	// Serial tells views of one machine apart; an acknowledgement names it.
	Serial uint64
	// Routes are the revisions whose routes are shown; the listeners are those of
	// the first. Never empty.
	Routes []string
	// Clusters are the revisions whose clusters and endpoints are shown; all of
	// Routes are among them.
	Clusters []string
}

// Action is something that the caller must do, in the order given.
type Action interface{ action() }

type (
	// Show gives an Envoy a view.
	Show struct {
		Node Key
		View View
	}
	// SetPolicies gives all processors the policies of a revision. Serial is what
	// their acknowledgements name.
	SetPolicies struct {
		Revision string
		Serial   uint64
	}
	// Save writes down, durably and before the next action, the revisions that
	// processors may apply from now on, the one whose policies are set first.
	Save struct{ Live []string }
	// Applied tells that everybody who is not late has the revision.
	Applied struct{ Revision string }
	// Rejected tells that a node refused a revision.
	Rejected struct {
		Rejection Rejection
		// Back is what everybody goes back to; empty where the node alone stays with
		// what it had, and where a newer revision goes out instead.
		Back string
	}
	// Late tells that nobody waits for a node any longer.
	Late struct {
		ID    string
		Kind  Kind
		Phase Phase
	}
)

func (Show) action()        {}
func (SetPolicies) action() {}
func (Save) action()        {}
func (Applied) action()     {}
func (Rejected) action()    {}
func (Late) action()        {}

// Rejection is a revision that a node refused.
type Rejection struct {
	Revision string
	// NodeID is who refused it, TypeURL which type of resource, Detail its own words.
	NodeID, TypeURL, Detail string
	At                      time.Time
	// Everywhere: the revision was taken back from all nodes. Otherwise the node alone
	// stays with what it had.
	Everywhere bool
}

// Proposal is a revision that is to go out, and how.
type Proposal struct {
	Revision string
	// Atomic: a refusal by one node takes it back everywhere.
	Atomic bool
	// CanaryPercent of the Envoys, 1 to 99, get it first, at least one and, where there are
	// two or more, not all. 0: all at once.
	CanaryPercent int
}

// Phase is how far the rollout of the target is.
type Phase string

// Phases in their order.
const (
	// Waiting: there is no revision yet.
	Waiting  Phase = "waiting"
	Adding   Phase = "add"
	Switch   Phase = "switch"
	Policies Phase = "policies"
	Trim     Phase = "trim"
	Prune    Phase = "prune"
	// Done: everybody has the target, except for those who are late.
	Done Phase = "done"
)
