package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/control/state"
)

// perform carries out what the machine wants, in order, and feeds back at once what
// that settles: a node that is shown what it has already needs no message.
func (p *Plane) perform(ctx context.Context, actions []rollout.Action) {
	for len(actions) > 0 {
		next := actions[0]
		actions = actions[1:]
		switch a := next.(type) {
		case rollout.Show:
			p.show(ctx, a)
			actions = append(actions, p.acknowledged(a.Node)...)
		case rollout.SetPolicies:
			p.setPolicies(ctx, a)
			for _, key := range slices.Sorted(maps.Keys(p.peers)) {
				if p.peers[key].Kind == rollout.Processor {
					actions = append(actions, p.acknowledged(key)...)
				}
			}
		case rollout.Save:
			p.live = a.Live
			p.save(ctx)
		case rollout.Applied:
			p.log.InfoContext(ctx, "revision applied", "revision", a.Revision, "nodes", len(p.peers))
		case rollout.Rejected:
			p.log.WarnContext(ctx, "revision rejected", "revision", a.Rejection.Revision, "node", a.Rejection.NodeID,
				"type", server.TypeName(a.Rejection.TypeURL), "detail", a.Rejection.Detail, "takenBack", a.Rejection.Everywhere)
			if a.Back != "" {
				p.takenBack = &a
				tell(p.rejected)
			}
		case rollout.Late:
			p.log.WarnContext(ctx, "node is late", "node", a.ID, "kind", a.Kind.String(), "phase", string(a.Phase))
		}
	}
	p.forget()
	p.keepHealth()
	p.touch()
}

// show composes a view for an Envoy's region and hands it over. What cannot be
// composed is not shown: the node keeps what it has.
func (p *Plane) show(ctx context.Context, a rollout.Show) {
	peer, ok := p.peers[a.Node]
	if !ok {
		return
	}
	base, memo, err := p.compose(peer.Region, a.View)
	if err == nil {
		set := p.withHealth(ctx, base)
		p.shown[a.Node] = shown{view: a.View, memo: memo, base: base, set: set, at: p.now()}
		err = p.server.Show(a.Node, set)
	}
	if err != nil {
		p.log.ErrorContext(ctx, "node is not served", "node", peer.ID, "region", peer.Region, "error", err)
	}
}

// compose joins the revisions of a view for one region. Envoys of a region with one
// view share one set.
func (p *Plane) compose(region string, view rollout.View) (*resources.Set, string, error) {
	memo := fmt.Sprintf("%q %s %s", region, strings.Join(view.Routes, "+"), strings.Join(view.Clusters, "+"))
	for _, s := range p.shown {
		if s.memo == memo {
			return s.base, memo, nil
		}
	}
	routes, err := p.sets(region, view.Routes)
	if err != nil {
		return nil, "", err
	}
	clusters, err := p.sets(region, view.Clusters)
	if err != nil {
		return nil, "", err
	}
	set, err := resources.Union(routes, clusters)
	return set, memo, err
}

// sets gives the sets of revisions for a region. A restored revision has the
// regions only where Envoys were; no Envoy of another one can be using it, so it is
// left out.
func (p *Plane) sets(region string, versions []string) ([]*resources.Set, error) {
	out := make([]*resources.Set, 0, len(versions))
	var missing error
	for _, version := range versions {
		r, ok := p.revisions[version]
		if !ok {
			missing = fmt.Errorf("revision %s is not known", version)
			continue
		}
		set, err := r.Set(region)
		if err != nil {
			missing = err
			continue
		}
		out = append(out, set)
	}
	if len(out) == 0 {
		return nil, missing
	}
	return out, nil
}

func (p *Plane) setPolicies(ctx context.Context, a rollout.SetPolicies) {
	r, ok := p.revisions[a.Revision]
	if !ok {
		p.log.ErrorContext(ctx, "policies are not known", "revision", a.Revision)
		return
	}
	p.policies, p.policySerial = r.Policies, a.Serial
	if err := p.server.SetPolicies(r.Policies); err != nil {
		p.log.ErrorContext(ctx, "policies were not passed on", "revision", a.Revision, "error", err)
	}
}

// unsaved says that who is connected has changed since the state was written.
func (p *Plane) unsaved() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dirty && len(p.live) > 0
}

// saveNodes writes the state again when who is connected has changed.
func (p *Plane) saveNodes(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dirty && len(p.live) > 0 {
		p.save(ctx)
	}
}

// save writes down what the next run must know. Without it a rollout goes on: that
// a restart may then take something away too early is the smaller harm, and told.
func (p *Plane) save(ctx context.Context) {
	p.dirty = false
	contents := state.Contents{Nodes: p.machine.Known()}
	for _, version := range p.live {
		if r, ok := p.revisions[version]; ok {
			contents.Revisions = append(contents.Revisions, r)
		}
	}
	err := p.state.Save(contents)
	defer p.touch()
	switch {
	case err != nil && p.stateProblem != err.Error():
		p.stateProblem = err.Error()
		p.log.ErrorContext(ctx, "rollout is not saved; a restart now may remove too early what nodes still use", "error", err)
	case err == nil:
		p.stateProblem = ""
	}
}
