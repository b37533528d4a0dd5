package control

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// Backend is a plane as the admin API sees it. It is safe for concurrent use.
type Backend struct{ plane *Plane }

var _ api.Backend = (*Backend)(nil)

// Backend gives what the admin API serves.
func (p *Plane) Backend() *Backend { return &Backend{p} }

// Apply makes a revision of the newest one and the given documents; see
// holdfast.admin.v1.Admin.Apply. It waits for other writers. Errors are those that
// api.CodeOf knows; after any of them nothing has changed.
func (b *Backend) Apply(ctx context.Context, request *adminv1.ApplyRequest, author string) (*adminv1.ApplyResponse, error) {
	if request.GetCanaryNodesPercent() > 99 {
		return nil, invalidError{fmt.Errorf("canary_nodes_percent: %d is not 0 to 99", request.GetCanaryNodesPercent())}
	}
	documents, err := revisions.Documents(request.GetDocuments())
	if err != nil {
		return nil, err
	}
	remove := make([]revisions.Ref, 0, len(request.GetRemove()))
	for _, ref := range request.GetRemove() {
		remove = append(remove, revisions.Ref{Kind: ref.GetKind(), Name: ref.GetName()})
	}
	return b.write(ctx, writing{
		origin: revisions.Origin{Author: author, Reason: request.GetReason(), Base: request.GetBaseRevision()},
		how:    rollout.Proposal{Atomic: request.GetAtomic(), CanaryPercent: int(request.GetCanaryNodesPercent())},
		dryRun: request.GetDryRun(),
		change: func(before revisions.Set) (revisions.Set, error) {
			after, err := revisions.Apply(before, documents, remove)
			if err != nil && !errors.Is(err, revisions.ErrOwner) && !errors.Is(err, revisions.ErrNotFound) {
				// A name that is given twice, or given and removed.
				err = invalidError{err}
			}
			return after, err
		},
	})
}

// Rollback makes a revision with the content of an older one; see
// holdfast.admin.v1.Admin.Rollback and, for its errors, Apply.
func (b *Backend) Rollback(ctx context.Context, request *adminv1.RollbackRequest, author string) (*adminv1.ApplyResponse, error) {
	return b.write(ctx, writing{
		origin: revisions.Origin{Author: author, Reason: request.GetReason(), RollbackOf: request.GetRevision()},
		dryRun: request.GetDryRun(),
		change: func(before revisions.Set) (revisions.Set, error) {
			old, err := b.plane.writer.store.Get(request.GetRevision())
			if err != nil {
				return revisions.Set{}, err
			}
			return revisions.Rollback(before, old.Set), nil
		},
	})
}

// writing is what a caller wants of the history.
type writing struct {
	origin revisions.Origin
	how    rollout.Proposal
	dryRun bool
	// own: the control plane itself makes it.
	own    bool
	change func(before revisions.Set) (revisions.Set, error)
}

func (b *Backend) write(ctx context.Context, w writing) (*adminv1.ApplyResponse, error) {
	p := b.plane
	if !w.own && (w.origin.Author == directoryAuthor || w.origin.Author == ownAuthor || w.origin.Author == canaryAuthor) {
		return nil, invalidError{fmt.Errorf("author: %q is not for callers of the API", w.origin.Author)}
	}
	if err := p.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer p.endTurn()
	head := p.newest()
	if err := b.checkBase(w.origin.Base, head); err != nil {
		return nil, err
	}
	before := content(head)
	after, err := w.change(before)
	if err != nil {
		return nil, err
	}
	if len(revisions.Changes(before, after)) == 0 {
		if head == nil {
			return nil, fmt.Errorf("%w: there is nothing yet, and nothing was given", config.ErrEmpty)
		}
		return &adminv1.ApplyResponse{Revision: revisionMessage(head.Header), Unchanged: true}, nil
	}
	d, err := p.prepare(ctx, after, w.origin)
	if err != nil {
		return nil, err
	}
	answer := &adminv1.ApplyResponse{Diff: revisions.Diff(before, after), Warnings: p.misfits(d.built)}
	if w.dryRun {
		d.Number = 0
		answer.Revision = revisionMessage(d.Header)
		return answer, nil
	}
	// The last moment at which a caller who has gone away changes something.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := p.keep(d, w.how); err != nil {
		return nil, err
	}
	if w.origin.RollbackOf != 0 {
		p.writer.barred = nil
	}
	if p.refusing() {
		tell(p.reread)
	}
	answer.Revision = revisionMessage(p.newest().Header)
	return answer, nil
}

// checkBase compares the number that changes were made against with the newest one.
func (b *Backend) checkBase(number uint64, head *revisions.Revision) error {
	if number == 0 {
		return nil
	}
	newest := revisions.Revision{}
	if head != nil {
		newest = *head
	}
	if number == newest.Number {
		return nil
	}
	base, err := b.plane.writer.store.Get(number)
	switch {
	case err == nil:
		return revisions.CheckBase(number, &base, newest)
	case errors.Is(err, store.ErrNotFound):
		return revisions.CheckBase(number, nil, newest)
	default:
		return err
	}
}

func revisionMessage(h revisions.Header) *adminv1.Revision {
	return &adminv1.Revision{
		Number: h.Number, Version: h.Version, Author: h.Author, Reason: h.Reason, Time: timestamppb.New(h.Time),
		RollbackOf: h.RollbackOf, Changes: h.Changes,
	}
}
