package store

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// Append makes a revision the newest one, durably, and forgets what is beyond the bounds of the
// history. It gives the number, which is one more than the newest; where the revision
// has a number already and it is another one, the error is ErrNumber. After an error (ErrNoSpace
// among others) the store is as it was.
func (s *Store) Append(rev revisions.Revision) (uint64, error) {
	var n uint64
	err := rev.Set.Validate()
	if err == nil {
		err = guarded(s.path, func() error {
			return s.db.Update(func(tx *bbolt.Tx) (err error) {
				n, err = s.append(&txn{tx}, rev)
				return err
			})
		})
	}
	if err != nil {
		return 0, fmt.Errorf("appending a revision: %w", err)
	}
	return n, nil
}

func (s *Store) append(tx *txn, rev revisions.Revision) (uint64, error) {
	last, err := tx.newest()
	if err != nil {
		return 0, err
	}
	if rev.Number != 0 && rev.Number != last+1 {
		return 0, fmt.Errorf("%w: it is %d, the newest is %d", ErrNumber, rev.Number, last)
	}
	rev.Number = last + 1
	if err := rev.Header.Validate(); err != nil {
		return 0, err
	}
	before, err := tx.head()
	if err != nil {
		return 0, err
	}
	after, texts := contentOf(rev.Set)
	if err := tx.replaceHead(before, after, texts); err != nil {
		return 0, err
	}
	if last > 0 {
		if err := tx.put(undoBucket, number(last), undoing(before, after).record()); err != nil {
			return 0, err
		}
	}
	if err := tx.put(revisionsBucket, number(rev.Number), revisionRecord(rev.Header, after.digest())); err != nil {
		return 0, err
	}
	return rev.Number, s.prune(tx, rev.Number)
}

// prune forgets the oldest revisions until the history is within its bounds.
func (s *Store) prune(tx *txn, newest uint64) error {
	for {
		oldest, err := tx.oldest()
		if err != nil {
			return err
		}
		size, err := tx.size()
		if err != nil {
			return err
		}
		within := newest-oldest < uint64(s.opts.Keep) && size <= uint64(s.opts.KeepBytes) //nolint:gosec // neither is negative
		if within || oldest == newest {
			return nil
		}
		if err := tx.forget(oldest); err != nil {
			return err
		}
	}
}
