package control

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// searchPage is how many revisions of the history are looked at together.
const searchPage = 50

// follow does what revisions lead to. What everybody goes back from becomes a revision, so
// that the head of the history is what runs and a restart does not try again. And files
// that were refused are read again when the API has changed what they stand beside.
func (p *Plane) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.reread:
			p.read(ctx)
		case <-p.rejected:
			// Whoever has the turn sees to it.
			if p.takeTurn(ctx) != nil {
				return
			}
			p.endTurn()
		}
	}
}

func (p *Plane) recordRejection(ctx context.Context) {
	p.mu.Lock()
	r := p.takenBack
	p.takenBack = nil
	p.mu.Unlock()
	if r == nil {
		return
	}
	if err := p.takeBack(ctx, *r); err != nil {
		p.unrecorded(ctx, *r, err)
	}
}

// takeBack adds the rollback of a rejected revision to the history, unless something
// newer is its head.
func (p *Plane) takeBack(ctx context.Context, r rollout.Rejected) error {
	head := p.newest()
	if head == nil || !p.isOf(r.Rejection.Revision, head) {
		return nil
	}
	old, err := p.lastWith(r.Back)
	if err != nil {
		return err
	}
	set := revisions.Rollback(head.Set, old.Set)
	if head.Author == directoryAuthor {
		// Pins would keep parts of the change from those who mend the rest of it.
		set = old.Set
	}
	next, err := revisions.Next(head, set, revisions.Origin{
		Version: r.Back, Author: ownAuthor, Time: p.now(), RollbackOf: old.Number, Reason: rejectionReason(head.Number, r.Rejection),
	})
	if err != nil {
		return err
	}
	if err := p.append(next); err != nil {
		return err
	}
	p.writer.proposed = r.Back
	if head.Author == directoryAuthor {
		p.writer.barred = &barred{directoryOf(head.Set), head.Number, next.Reason}
		p.refuse(ctx, p.writer.barred.says(head.Set))
	}
	p.log.InfoContext(ctx, "revision taken back", "rejected", head.Number, "number", next.Number, "contentOf", old.Number, "revision", r.Back)
	return nil
}

// forgive: the files say what is in force again, so nobody has to look at what was wrong with them.
func (p *Plane) forgive() {
	if p.writer.barred == nil {
		return
	}
	p.writer.barred = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Forgive()
	p.touch()
}

// barred is a state of the directory that a node rejected. It is not tried again until
// the files say something else.
type barred struct {
	set    revisions.Set
	number uint64
	reason string
}

// findBarred looks whether the last revision of the directory was taken back, and nobody
// has rolled anything back since.
func findBarred(s *store.Store) (*barred, error) {
	var after revisions.Header
	for before := uint64(0); ; {
		page, err := s.List(before, searchPage)
		if err != nil {
			return nil, err
		}
		for _, h := range page {
			if h.RollbackOf != 0 && h.Author != ownAuthor {
				return nil, nil
			}
			if h.Author == directoryAuthor {
				if after.Author != ownAuthor {
					return nil, nil
				}
				rev, err := s.Get(h.Number)
				return &barred{directoryOf(rev.Set), h.Number, after.Reason}, err
			}
			after, before = h, h.Number
		}
		if len(page) < searchPage {
			return nil, nil
		}
	}
}

// says gives an error when a set has of the directory what is barred.
func (b *barred) says(s revisions.Set) error {
	if b == nil || len(revisions.Changes(b.set, directoryOf(s))) > 0 {
		return nil
	}
	return fmt.Errorf("the files are as in revision %d, which was taken back (%s); change them, or roll back to it to try again", b.number, b.reason)
}

// directoryOf is the part of a set that belongs to the directory.
func directoryOf(s revisions.Set) revisions.Set {
	out := revisions.Set{Absent: s.Absent}
	for _, r := range s.Resources {
		if r.Owner == revisions.Directory {
			out.Resources = append(out.Resources, r)
		}
	}
	return out
}

// isOf says that a version is what a revision compiled to, when it was kept or since.
func (p *Plane) isOf(version string, r *revisions.Revision) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return version == r.Version || p.numbers[version] == r.Number
}

// lastWith finds the newest revision with some content.
func (p *Plane) lastWith(version string) (revisions.Revision, error) {
	p.mu.Lock()
	number := p.numbers[version]
	p.mu.Unlock()
	if number > 0 {
		return p.writer.store.Get(number)
	}
	for before := uint64(0); ; {
		page, err := p.writer.store.List(before, searchPage)
		if err != nil {
			return revisions.Revision{}, err
		}
		for _, h := range page {
			if h.Version == version {
				return p.writer.store.Get(h.Number)
			}
			before = h.Number
		}
		if len(page) < searchPage {
			return revisions.Revision{}, fmt.Errorf("revision %s, which runs, is not in the history", version)
		}
	}
}

// unrecorded tells that the history ends with a revision that does not run.
func (p *Plane) unrecorded(ctx context.Context, r rollout.Rejected, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.historyProblem = fmt.Sprintf("%s was taken back, but that could not be kept, and a restart tries it again: %v", p.named(r.Rejection.Revision), err)
	p.touch()
	p.log.ErrorContext(ctx, "a revision was taken back, but that could not be kept", "revision", r.Rejection.Revision, "error", err)
}

// rejectionReason is a line about a rejection.
func rejectionReason(number uint64, r rollout.Rejection) string {
	words := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, r.Detail)
	return bounded(fmt.Sprintf("rollback of %d: rejected by %s: %s", number, r.NodeID, strings.Join(strings.Fields(words), " ")), revisions.MaxReasonBytes)
}

// bounded shortens a text to limit bytes, at the end of a character.
func bounded(text string, limit int) string {
	const more = "…"
	if len(text) <= limit {
		return text
	}
	cut := limit - len(more)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + more
}
