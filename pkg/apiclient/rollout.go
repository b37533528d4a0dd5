package apiclient

import (
	"slices"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// Values of Node.sync and of Rollout.phase that the client goes by.
const (
	SyncSynced   = "synced"
	SyncPending  = "pending"
	SyncSilent   = "silent"
	SyncRejected = "rejected"
	PhaseDone    = "done"
	KindEnvoy    = "envoy"
)

// Target is a revision that somebody waits for.
type Target struct {
	Number  uint64
	Version string
}

// TargetOf is the revision that an apply or a rollback made.
func TargetOf(r *adminv1.Revision) Target {
	return Target{Number: r.GetNumber(), Version: r.GetVersion()}
}

// Stage is how far a revision has got.
type Stage int

// Stages. Waiting is the only one that may still change by waiting.
const (
	// Waiting: nodes have not answered yet, or the rollout is under way.
	Waiting Stage = iota
	// Done: every connected node acknowledged it, Envoys after warming, and the rollout ended.
	Done
	// Rejected: at least one node refused it.
	Rejected
	// Overtaken: a newer revision took its place before it was done.
	Overtaken
)

// Progress is what a status says about a revision.
type Progress struct {
	Stage Stage
	// Phase of its rollout; "" while it is not the one that goes out.
	Phase string
	// Canaries are the nodes that get it first, while others are held back.
	Canaries []string
	// Nodes in the order of the status.
	Nodes []NodeProgress
	// Refusals by nodes that are connected, or by one that is not any more.
	Refusals []Refusal
	// TakenBack: the nodes are moved back, or have been.
	TakenBack bool
	// Settled: waiting would add nothing. Always so when Done or Overtaken; after a
	// refusal, when every other node has answered.
	Settled bool
	// By is the newer revision, for Overtaken or where the refused one was taken back.
	By *adminv1.Revision
}

// NodeProgress is one node's part.
type NodeProgress struct {
	*adminv1.Node
	// Holds: it has acknowledged the revision and is shown nothing else.
	Holds bool
	// Refuses it.
	Refuses bool
}

// Refusal is a node's no in its own words.
type Refusal struct {
	Node, Type, Detail string
}

// ProgressOf reads a status; it is pure.
func ProgressOf(s *adminv1.StatusResponse, target Target) Progress {
	rollout, newest := s.GetRollout(), s.GetRevision()
	current := rollout.GetVersion() == target.Version
	var p Progress
	if current {
		p.Phase, p.Canaries = rollout.GetPhase(), rollout.GetCanaries()
	}
	for _, node := range s.GetNodes() {
		n := NodeProgress{Node: node, Holds: current && holds(node, rollout)}
		if nack := node.GetNack(); nack.GetStanding() && (nack.GetRevision() == target.Version || (nack.GetRevision() == "" && current)) {
			n.Refuses, n.Holds = true, false
			p.Refusals = append(p.Refusals, Refusal{node.GetId(), nack.GetType(), nack.GetDetail()})
		}
		p.Nodes = append(p.Nodes, n)
	}
	// The refusal outlives the node's connection, and its next acknowledgement.
	if r := s.GetRejected(); r != nil && r.GetVersion() == target.Version && !p.refusedBy(r.GetNode()) {
		p.Refusals = append(p.Refusals, Refusal{r.GetNode(), r.GetType(), r.GetDetail()})
	}
	if newest.GetNumber() > target.Number {
		p.By = newest
	}
	p.Stage = p.stage(current, rollout)
	p.TakenBack = p.Stage == Rejected && rollout != nil && !current && rollout.GetNext() != target.Version
	p.Settled = p.settled(rollout)
	return p
}

func (p *Progress) refusedBy(id string) bool {
	return slices.ContainsFunc(p.Refusals, func(r Refusal) bool { return r.Node == id })
}

func (p *Progress) stage(current bool, rollout *adminv1.Rollout) Stage {
	everybody := !slices.ContainsFunc(p.Nodes, func(n NodeProgress) bool { return !n.Holds })
	switch {
	case len(p.Refusals) > 0:
		return Rejected
	case current && everybody && rollout.GetPhase() == PhaseDone:
		return Done
	case p.By != nil && !current:
		return Overtaken
	default:
		return Waiting
	}
}

func (p *Progress) settled(rollout *adminv1.Rollout) bool {
	switch p.Stage {
	case Done, Overtaken:
		return true
	case Rejected:
		if p.TakenBack {
			return rollout.GetPhase() == PhaseDone
		}
		return !slices.ContainsFunc(p.Nodes, func(n NodeProgress) bool { return !n.Holds && !n.Refuses })
	case Waiting:
		return false
	default:
		return false
	}
}

// holds: a node acknowledged all that it was shown, and that is the revision going
// out alone. Processors are shown one set of policies, the active one.
func holds(node *adminv1.Node, rollout *adminv1.Rollout) bool {
	if node.GetSync() != SyncSynced {
		return false
	}
	if shown := node.GetRevisions(); len(shown) > 0 {
		return len(shown) == 1 && shown[0] == rollout.GetVersion()
	}
	return node.GetKind() != KindEnvoy && rollout.GetActive() == rollout.GetVersion()
}
