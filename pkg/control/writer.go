package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// maxRegionsAhead bounds the regions of connected Envoys for which a revision is
// built before it goes out. The configuration's own regions are built in any case.
const maxRegionsAhead = 64

// Authors of revisions that nobody made by the API.
const (
	directoryAuthor = "directory"
	ownAuthor       = "control-plane"
	// canaryAuthor makes those by which canaries get on and are taken back.
	canaryAuthor = "holdfast"
)

var errStopped = errors.New("the control plane is stopping")

// writer is what the makers of revisions share: the directory, the API and the rollout
// when it takes one back. Whoever has the turn may use its fields.
type writer struct {
	turn  chan struct{}
	store *store.Store
	// index remembers the documents of the last revision.
	index *config.Index
	// proposed is the version that the rollout was given last.
	proposed string
	// saved is how the last revision that went out in its own way was to go out.
	saved rollout.Proposal
	// checked is the version that Envoy was asked about last, with its answer.
	checked    string
	checkError error
	// barred is what a node rejected of what the files said last; nil where none did.
	barred *barred
}

func newWriter() writer { return writer{turn: make(chan struct{}, 1), index: &config.Index{}} }

// openHistory finds the newest revision.
func (p *Plane) openHistory() error {
	s, err := store.Open(context.Background(), p.opts.StateDir, store.Options{Keep: p.opts.History})
	if err != nil {
		return err
	}
	head, err := s.Head()
	switch {
	case err == nil:
		p.head = &head
		p.numbers[head.Version] = head.Number
	case !errors.Is(err, store.ErrNotFound):
		return errors.Join(err, s.Close())
	}
	p.writer.store = s
	if p.writer.barred, err = findBarred(s); err != nil {
		return errors.Join(err, s.Close())
	}
	if p.writer.saved, err = p.state.LoadProposal(); err != nil {
		p.historyProblem = err.Error()
		p.log.Warn("how the newest revision was to go out is not known", "error", err)
	}
	return nil
}

// takeTurn waits until nobody else makes a revision, and until the history knows what was
// taken back. The turn ends with endTurn.
func (p *Plane) takeTurn(ctx context.Context) error {
	select {
	case <-p.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	default:
	}
	select {
	case p.writer.turn <- struct{}{}:
		p.recordRejection(ctx)
		return nil
	case <-p.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Plane) endTurn() { <-p.writer.turn }

// newest gives the head of the history, nil before the first revision.
func (p *Plane) newest() *revisions.Revision {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.head
}

// content is what the newest revision holds.
func content(newest *revisions.Revision) revisions.Set {
	if newest == nil {
		return revisions.Set{}
	}
	return newest.Set
}

// draft is a revision that would be good to keep.
type draft struct {
	revisions.Revision
	built *revision.Revision
}

// prepare validates content as a whole and makes the revision of it that would come
// next. Nothing is changed by it.
func (p *Plane) prepare(ctx context.Context, set revisions.Set, origin revisions.Origin) (*draft, error) {
	built, err := p.build(ctx, set)
	if err != nil {
		return nil, err
	}
	origin.Version, origin.Time = built.Version, p.now()
	next, err := revisions.Next(p.newest(), set, origin)
	if err != nil {
		return nil, invalidError{err}
	}
	return &draft{next, built}, nil
}

// build compiles content for all regions and asks an Envoy about it.
func (p *Plane) build(ctx context.Context, set revisions.Set) (*revision.Revision, error) {
	cfg, err := p.writer.index.Parse(revisions.Files(set.Resources))
	if err != nil {
		return nil, err
	}
	regions := p.server.Regions()
	regions = regions[:min(len(regions), maxRegionsAhead)]
	r, err := p.opts.Compiler.Compile(cfg, regions)
	if err != nil {
		return nil, invalidError{err}
	}
	w := &p.writer
	if p.opts.Check == nil || r.Version == w.proposed {
		return r, nil
	}
	if r.Version != w.checked {
		err := p.check(ctx, r, regions)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		w.checked, w.checkError = r.Version, err
	}
	return r, w.checkError
}

func (p *Plane) check(ctx context.Context, r *revision.Revision, regions []string) error {
	bootstraps, err := r.Static(regions)
	if err != nil {
		return err
	}
	for _, b := range bootstraps {
		if err := p.opts.Check.Run(ctx, b); err != nil {
			err = fmt.Errorf("revision %s: %w", r.Version, err)
			if local := (*fs.PathError)(nil); errors.As(err, &local) {
				// It could not be asked.
				return err
			}
			return invalidError{err}
		}
	}
	return nil
}

// keep makes a draft the newest revision, durably, and lets it go out. After an error
// nothing has changed. It does not follow a context: what is kept goes out.
func (p *Plane) keep(d *draft, how rollout.Proposal) error {
	how.Revision = d.Version
	if err := p.saveProposal(d.Author, how); err != nil {
		return err
	}
	if err := p.append(d.Revision); err != nil {
		return err
	}
	p.writer.proposed = d.Version
	p.propose(context.Background(), d.built, how)
	return nil
}

// append adds a revision to the history.
func (p *Plane) append(next revisions.Revision) error {
	number, err := p.writer.store.Append(next)
	if err != nil {
		return err
	}
	next.Number = number
	p.mu.Lock()
	defer p.mu.Unlock()
	p.head, p.numbers[next.Version], p.historyProblem = &next, number, ""
	p.touch()
	return nil
}

// saveProposal writes down how a revision goes out where a restart would not guess it.
func (p *Plane) saveProposal(author string, how rollout.Proposal) error {
	w := &p.writer
	if how == usual(author, how.Revision) && w.saved.Revision != how.Revision || how == w.saved {
		return nil
	}
	if err := p.state.SaveProposal(how); err != nil {
		for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
			if errors.Is(err, full) {
				return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
			}
		}
		return err
	}
	w.saved = how
	return nil
}

// usual is how revisions of an author go out unless somebody said otherwise. Files are
// changed by people who do not wait for an answer, so what one node refuses is taken
// back from all.
func usual(author, version string) rollout.Proposal {
	return rollout.Proposal{Revision: version, Atomic: author == directoryAuthor || author == ownAuthor}
}

// resume lets the newest revision go out again after a start. Its content was valid when
// it was kept, but perhaps for another version of this program.
func (p *Plane) resume(ctx context.Context) {
	if p.takeTurn(ctx) != nil {
		return
	}
	defer p.endTurn()
	head := p.newest()
	if head == nil || head.Version == p.writer.proposed {
		return
	}
	if err := p.goOut(ctx, head); err != nil && ctx.Err() == nil {
		p.refuse(ctx, fmt.Errorf("revision %d: %w", head.Number, err))
	}
}

// goOut proposes a revision that is kept already.
func (p *Plane) goOut(ctx context.Context, head *revisions.Revision) error {
	w := &p.writer
	// An Envoy was asked about it before it was kept.
	w.checked, w.checkError = head.Version, nil
	built, err := p.build(ctx, head.Set)
	if err != nil {
		return err
	}
	p.alsoKnownAs(built.Version, head.Number)
	how := usual(head.Author, head.Version)
	if w.saved.Revision == head.Version {
		how = w.saved
	}
	w.proposed = built.Version
	p.log.InfoContext(ctx, "newest revision read", "number", head.Number, "revision", built.Version)
	p.propose(ctx, built, how)
	return nil
}

// invalidError is what is wrong with a configuration, in other words than
// config.Problems. It is api.ErrInvalid.
type invalidError struct{ error }

func (e invalidError) Unwrap() error { return e.error }

func (invalidError) Is(target error) bool { return target == api.ErrInvalid }
