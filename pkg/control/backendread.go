package control

import (
	"context"
	"fmt"
	"maps"
	"slices"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Diff gives the unified diff between two revisions; see holdfast.admin.v1.Admin.Diff.
// Without a revision before the newest one, that is nothing at all.
func (b *Backend) Diff(_ context.Context, request *adminv1.DiffRequest) (*adminv1.DiffResponse, error) {
	to, err := b.revision(request.GetTo())
	if err != nil {
		return nil, err
	}
	var from revisions.Set
	number := request.GetFrom()
	if number == 0 {
		newest, err := b.revision(0)
		if err != nil {
			return nil, err
		}
		number = newest.Number - 1
	}
	if number > 0 {
		rev, err := b.revision(number)
		if err != nil {
			return nil, err
		}
		from = rev.Set
	}
	return &adminv1.DiffResponse{Diff: revisions.Diff(from, to.Set)}, nil
}

// Get gives one resource of a revision; see holdfast.admin.v1.Admin.Get.
func (b *Backend) Get(_ context.Context, request *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	rev, err := b.revision(request.GetRevision())
	if err != nil {
		return nil, err
	}
	ref := revisions.Ref{Kind: request.GetRef().GetKind(), Name: request.GetRef().GetName()}
	r, ok := rev.Get(ref)
	if !ok {
		return nil, fmt.Errorf("%w: %s in revision %d", revisions.ErrNotFound, ref, rev.Number)
	}
	return &adminv1.GetResponse{Resource: resourceMessage(r), Revision: rev.Number}, nil
}

// List gives the resources of a revision; see holdfast.admin.v1.Admin.List.
func (b *Backend) List(_ context.Context, request *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	rev, err := b.revision(request.GetRevision())
	if err != nil {
		return nil, err
	}
	out := &adminv1.ListResponse{Revision: rev.Number}
	for _, r := range rev.Resources {
		if kind := request.GetKind(); kind == "" || kind == r.Kind {
			out.Resources = append(out.Resources, resourceMessage(r))
		}
	}
	return out, nil
}

// History gives revisions, newest first; see holdfast.admin.v1.Admin.History.
func (b *Backend) History(_ context.Context, request *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	limit := int(min(request.GetLimit(), api.MaxHistory))
	if limit == 0 {
		limit = api.DefaultHistory
	}
	headers, err := b.plane.writer.store.List(request.GetBefore(), limit)
	if err != nil || len(headers) == 0 {
		return &adminv1.HistoryResponse{}, err
	}
	// What became of a revision is what the next one says.
	out := &adminv1.HistoryResponse{}
	for i, h := range headers {
		message := revisionMessage(h)
		switch {
		case i > 0:
			message.TakenBackBy = takesBack(headers[i-1])
		case request.GetBefore() > 0:
			if message.TakenBackBy, err = b.takenBackBy(h.Number + 1); err != nil {
				return nil, err
			}
		}
		out.Revisions = append(out.Revisions, message)
	}
	return out, nil
}

// takenBackBy gives the number if that revision takes the one before it back.
func (b *Backend) takenBackBy(number uint64) (uint64, error) {
	next, err := b.plane.writer.store.List(number+1, 1)
	if err != nil || len(next) == 0 || next[0].Number != number {
		return 0, err
	}
	return takesBack(next[0]), nil
}

// takesBack gives the number of a revision that undoes the one before it, which a node
// rejected; 0 for any other. The author's name is nobody else's.
func takesBack(h revisions.Header) uint64 {
	if h.Author == ownAuthor && h.RollbackOf > 0 {
		return h.Number
	}
	return 0
}

// GetNode gives what a connected node is shown; see holdfast.admin.v1.Admin.GetNode. Of
// several connections of one node it is the youngest, as an Envoy that restarts hot has
// it. For a processor these are its policies.
func (b *Backend) GetNode(_ context.Context, request *adminv1.GetNodeRequest) (*adminv1.GetNodeResponse, error) {
	p := b.plane
	states := p.server.States()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range slices.Backward(states) {
		if s.Peer.ID == request.GetId() {
			return &adminv1.GetNodeResponse{Node: nodeMessage(p.node(s, p.machine.Progress().Active)), Resources: p.resourcesOf(s.Peer)}, nil
		}
	}
	return nil, fmt.Errorf("%w: no node %q is connected", api.ErrUnknown, request.GetId())
}

// resourcesOf lists what a peer is shown, with the version_info that it is sent.
func (p *Plane) resourcesOf(peer server.Peer) []*adminv1.NodeResource {
	var out []*adminv1.NodeResource
	add := func(typeURL string, g resources.Group) {
		whole := g.Version()
		for _, name := range slices.Sorted(maps.Keys(g)) {
			version := g[name].Version
			if !peer.Delta {
				version = whole
			}
			out = append(out, &adminv1.NodeResource{Type: server.TypeName(typeURL), Name: name, Version: version})
		}
	}
	if peer.Kind == rollout.Processor {
		add(names.TypeURLRoutePolicy, p.policies)
		return out
	}
	if shown, ok := p.shown[peer.Key]; ok && shown.set != nil {
		set := shown.set.Referenced()
		for _, typeURL := range resources.Types() {
			add(typeURL, set.Group(typeURL))
		}
	}
	return out
}

// revision gives one by its number, the newest for 0.
func (b *Backend) revision(number uint64) (revisions.Revision, error) {
	if head := b.plane.newest(); number == 0 || head != nil && head.Number == number {
		if head == nil {
			return revisions.Revision{}, api.ErrNoRevision
		}
		return *head, nil
	}
	return b.plane.writer.store.Get(number)
}

func resourceMessage(r revisions.Resource) *adminv1.Resource {
	owner := adminv1.Owner_OWNER_API
	if r.Owner == revisions.Directory {
		owner = adminv1.Owner_OWNER_DIRECTORY
	}
	return &adminv1.Resource{Kind: r.Kind, Name: r.Name, Owner: owner, File: r.File, Yaml: r.YAML, Pinned: r.Pinned}
}
