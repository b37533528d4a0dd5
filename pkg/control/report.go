package control

import (
	"strings"

	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// Status reports on the whole control plane.
func (p *Plane) Status() status.Status {
	states := p.server.States()
	p.mu.Lock()
	defer p.mu.Unlock()
	progress := p.machine.Progress()
	out := status.Status{
		Ready: progress.Target != "", Version: p.opts.Version, Started: p.started,
		Nodes: make([]status.Node, 0, len(states)), Servers: []status.Server{},
	}
	if !out.Ready {
		out.Reason = p.notReady()
	} else {
		out.Revision = &status.Revision{
			Version: progress.Target, Phase: string(progress.Phase), Since: progress.Since,
			Active: progress.Active, Next: progress.Next,
		}
	}
	if r, ok := p.revisions[progress.Target]; ok && r.Servers != nil {
		out.Servers = r.Servers
	}
	if p.refused != nil {
		out.Refused = &status.Refused{Error: p.refused.words, At: p.refused.at, Standing: p.refused.standing}
	}
	if r := progress.Rejection; r != nil {
		out.Rejected = &status.Rejected{Version: r.Revision, Node: r.NodeID, Type: server.TypeName(r.TypeURL), Detail: r.Detail, At: r.At}
	}
	if p.stateProblem != "" {
		out.Problems = append(out.Problems, p.stateProblem)
	}
	for _, s := range states {
		out.Nodes = append(out.Nodes, p.node(s))
	}
	return out
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

func (p *Plane) node(s server.State) status.Node {
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
	if r := s.Refusal; r != nil {
		out.Nack = &status.Nack{
			Revision: p.refusedRevision[s.Peer.Key], Type: server.TypeName(r.TypeURL),
			Detail: r.Detail, At: r.At, Standing: r.Standing,
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
	case s.Refusal != nil && s.Refusal.Standing:
		return status.Rejecting
	case !s.Waiting.IsZero() && p.now().Sub(s.Waiting) >= p.opts.SilentAfter:
		return status.Silent
	case standing.InSync:
		return status.Synced
	default:
		return status.Pending
	}
}
