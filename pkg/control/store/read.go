package store

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// Bounds of List.
const (
	DefaultListed = 20
	MaxListed     = 1000
)

// Head gives the newest revision; ErrNotFound where there is none yet.
func (s *Store) Head() (revisions.Revision, error) {
	return s.revision("the newest revision", func(tx *txn) (uint64, error) {
		n, err := tx.newest()
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: there is none yet", ErrNotFound)
		}
		return n, err
	})
}

// Get gives a revision by its number; ErrNotFound where there is none, or none any more.
func (s *Store) Get(n uint64) (revisions.Revision, error) {
	return s.revision(fmt.Sprintf("revision %d", n), func(tx *txn) (uint64, error) {
		oldest, err := tx.oldest()
		if err != nil {
			return 0, err
		}
		newest, err := tx.newest()
		switch {
		case err != nil:
			return 0, err
		case newest == 0:
			return 0, fmt.Errorf("%w: there is none yet", ErrNotFound)
		case n > newest || n == 0:
			return 0, fmt.Errorf("%w: the newest is %d", ErrNotFound, newest)
		case n < oldest:
			return 0, fmt.Errorf("%w: the oldest that is kept is %d", ErrNotFound, oldest)
		}
		return n, nil
	})
}

func (s *Store) revision(what string, which func(*txn) (uint64, error)) (revisions.Revision, error) {
	var rev revisions.Revision
	err := s.view(func(tx *txn) error {
		n, err := which(tx)
		if err != nil {
			return err
		}
		rev, err = tx.revision(n)
		return err
	})
	if err != nil {
		return revisions.Revision{}, fmt.Errorf("reading %s: %w", what, err)
	}
	return rev, nil
}

// revision gives a revision that exists.
func (tx *txn) revision(n uint64) (revisions.Revision, error) {
	k := number(n)
	header, digest, err := decodeRevision(k, tx.Bucket(revisionsBucket).Get(k))
	if err != nil {
		return revisions.Revision{}, err
	}
	c, err := tx.content(n)
	if err != nil {
		return revisions.Revision{}, err
	}
	if !bytes.Equal(c.digest(), digest) {
		return revisions.Revision{}, corruptf("the content of revision %d is not what it was", n)
	}
	set, err := c.set(tx.text)
	return revisions.Revision{Header: header, Set: set}, err
}

// content goes back from the newest revision to that of a number.
func (tx *txn) content(n uint64) (content, error) {
	c, err := tx.head()
	if err != nil {
		return nil, err
	}
	newest, err := tx.newest()
	if err != nil {
		return nil, err
	}
	for at := newest - 1; at >= n; at-- {
		u, err := decodeUndo(number(at), tx.Bucket(undoBucket).Get(number(at)))
		if err != nil {
			return nil, err
		}
		u.apply(c)
	}
	return c, nil
}

// List gives the headers of at most limit revisions (0: DefaultListed; no more than MaxListed),
// newest first, from the one before a number on (0: from the newest).
func (s *Store) List(before uint64, limit int) ([]revisions.Header, error) {
	if limit <= 0 {
		limit = DefaultListed
	}
	limit = min(limit, MaxListed)
	var out []revisions.Header
	err := s.view(func(tx *txn) error {
		cursor := tx.Bucket(revisionsBucket).Cursor()
		k, v := cursor.Last()
		if before > 0 {
			if found, _ := cursor.Seek(number(before)); found != nil {
				k, v = cursor.Prev()
			}
		}
		for ; k != nil && len(out) < limit; k, v = cursor.Prev() {
			header, _, err := decodeRevision(k, v)
			if err != nil {
				return err
			}
			out = append(out, header)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing revisions: %w", err)
	}
	return out, nil
}

func (s *Store) view(f func(*txn) error) error {
	return guarded(s.path, func() error {
		return s.db.View(func(tx *bbolt.Tx) error { return f(&txn{tx}) })
	})
}
