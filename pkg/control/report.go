package control

import (
	"fmt"
	"strings"

	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// Status reports on the whole control plane.
func (p *Plane) Status() status.Status {
	out, newest := p.report()
	out.Warnings = p.misfits(newest)
	return out
}

// report is Status without what has to be found out about the newest revision, and that revision.
func (p *Plane) report() (status.Status, *revision.Revision) {
	states := p.server.States()
	breakers, drained := p.breakers(), p.drainStatus()
	p.mu.Lock()
	defer p.mu.Unlock()
	progress := p.machine.Progress()
	out := status.Status{
		Ready: progress.Target != "", Version: p.opts.Version, Started: p.started,
		Nodes: make([]status.Node, 0, len(states)), Servers: []status.Server{}, Breakers: breakers, Drains: drained,
	}
	if !out.Ready {
		out.Reason = p.notReady()
	} else {
		out.Revision = &status.Revision{
			Version: progress.Target, Phase: string(progress.Phase), Since: progress.Since,
			Active: progress.Active, Next: progress.Next, Number: p.numbers[progress.Target],
			Canaries: progress.Canaries, HeldBy: progress.HeldBy,
		}
	}
	p.reportHead(&out)
	if r, ok := p.revisions[progress.Target]; ok && r.Servers != nil {
		out.Servers, out.Routes = r.Servers, r.Routes
	}
	if p.refused != nil {
		out.Refused = &status.Refused{Error: p.refused.words, At: p.refused.at, Standing: p.refused.standing}
	}
	if r := progress.Rejection; r != nil {
		out.Rejected = &status.Rejected{Version: r.Revision, Node: r.NodeID, Type: server.TypeName(r.TypeURL), Detail: r.Detail, At: r.At, TakenBack: r.Everywhere}
	}
	for _, problem := range []string{p.stateProblem, p.historyProblem, p.overridesProblem, p.drainsProblem, p.heldProblem(progress)} {
		if problem != "" {
			out.Problems = append(out.Problems, problem)
		}
	}
	for _, s := range states {
		out.Nodes = append(out.Nodes, p.node(s, progress.Active))
	}
	return out, p.revisions[progress.Target]
}

func (p *Plane) reportHead(out *status.Status) {
	if p.head == nil {
		return
	}
	h := p.head.Header
	out.Head = &status.Head{
		Number: h.Number, Version: h.Version, Author: h.Author, Reason: h.Reason, Time: h.Time,
		RollbackOf: h.RollbackOf, Changes: h.Changes,
	}
	for _, ref := range p.head.Pinned() {
		out.Pinned = append(out.Pinned, ref.String())
	}
}

// maxNamedNodes bounds the nodes that a problem names.
const maxNamedNodes = 3

// heldProblem says why processors wait; empty when they do not.
func (p *Plane) heldProblem(progress rollout.Progress) string {
	by := progress.HeldBy
	if len(by) == 0 {
		return ""
	}
	names := strings.Join(by[:min(len(by), maxNamedNodes)], ", ")
	if more := len(by) - maxNamedNodes; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("the processors stay with %s: %s refused %s and would not have its routes", p.named(progress.Active), names, p.named(progress.Target))
}

// named gives a revision's number, or where it is not known the beginning of its version.
func (p *Plane) named(version string) string {
	if n, ok := p.numbers[version]; ok {
		return fmt.Sprintf("revision %d", n)
	}
	const enough = 12
	return "revision " + version[:min(len(version), enough)]
}

// notReady says why nothing is served.
func (p *Plane) notReady() string {
	if p.refused != nil {
		first, _, more := strings.Cut(p.refused.words, "\n")
		if more {
			first += " (and more)"
		}
		return "no valid configuration yet: " + first
	}
	return "the configuration has not been read yet"
}

// node reports on one connection; active is the version whose policies are set.
func (p *Plane) node(s server.State, active string) status.Node {
	protocol := "sotw"
	if s.Peer.Delta {
		protocol = "delta"
	}
	out := status.Node{
		ID: s.Peer.ID, Kind: s.Peer.Kind.String(), Region: s.Peer.Region, UserAgent: s.Peer.UserAgent,
		Protocol: protocol, ConnectedSince: s.Peer.Since, Types: make(map[string]status.Type, len(s.Types)),
	}
	for typeURL, t := range s.Types {
		out.Types[server.TypeName(typeURL)] = status.Type{Acked: t.Acked, Resources: t.Resources, Pending: t.Pending}
	}
	standing, _ := p.machine.Standing(s.Peer.Key)
	out.Late, out.Revisions = standing.Late, standing.View.Clusters
	if s.Peer.Kind == rollout.Processor && active != "" {
		out.Revisions = []string{active}
	}
	if r := s.Refusal; r != nil {
		out.Nack = &status.Nack{
			Revision: p.refusedRevision[s.Peer.Key], Type: server.TypeName(r.TypeURL),
			Detail: r.Detail, At: r.At, Standing: r.Standing || standing.Refuses,
		}
	}
	out.Sync = p.sync(s, standing)
	if out.Sync == status.Silent {
		at := s.Waiting
		out.SilentSince = &at
	}
	return out
}

func (p *Plane) sync(s server.State, standing rollout.Standing) status.Sync {
	switch {
	case s.Refusal != nil && s.Refusal.Standing, standing.Refuses:
		return status.Rejecting
	case !s.Waiting.IsZero() && p.now().Sub(s.Waiting) >= p.opts.SilentAfter:
		return status.Silent
	case standing.InSync:
		return status.Synced
	default:
		return status.Pending
	}
}
