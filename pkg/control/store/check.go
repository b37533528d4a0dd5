package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// check reads everything once, so that damage shows when the store is opened and not when a
// revision is needed.
func (s *Store) check() error {
	return guarded(s.path, func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if err := s.checkSchema(tx); err != nil {
				return err
			}
			return (&txn{tx}).checkContents()
		})
	})
}

func (s *Store) checkSchema(tx *bbolt.Tx) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("opening the revision store: %w", err)
	}
	if info.Size() < tx.Size() {
		return damagedf(s.path, "it has %d bytes of at least %d", info.Size(), tx.Size())
	}
	for _, name := range buckets() {
		if tx.Bucket(name) == nil {
			return damagedf(s.path, "it is no revision store: there is no %s", name)
		}
	}
	if found := tx.Bucket(metaBucket).Get(schemaKey); string(found) != schema {
		return fmt.Errorf("the revision store %s has version %q of its format, and this program reads %s: start the program that wrote it", s.path, found[:min(len(found), 16)], schema)
	}
	return nil
}

func (tx *txn) checkContents() error {
	refers, err := tx.checkRevisions()
	if err != nil {
		return err
	}
	head, err := tx.head()
	if err != nil {
		return err
	}
	for _, e := range head {
		if !e.absent() {
			refers[e.text]++
		}
	}
	if err := tx.checkTexts(refers); err != nil {
		return err
	}
	newest, err := tx.newest()
	if err != nil {
		return err
	}
	if newest == 0 {
		if len(head) > 0 {
			return corruptf("it has content but no revision")
		}
		return nil
	}
	if _, err := tx.revision(newest); err != nil {
		return err
	}
	return tx.checkPages()
}

// checkRevisions makes sure that no number is missing and gives how often the undos refer
// to each text.
func (tx *txn) checkRevisions() (map[revisions.Digest]uint64, error) {
	refers := map[revisions.Digest]uint64{}
	var last uint64
	undos := 0
	err := tx.Bucket(revisionsBucket).ForEach(func(k, v []byte) error {
		header, _, err := decodeRevision(k, v)
		if err != nil {
			return err
		}
		if last != 0 && header.Number != last+1 {
			return corruptf("revision %d follows revision %d", header.Number, last)
		}
		last = header.Number
		return nil
	})
	if err != nil {
		return nil, err
	}
	oldest, err := tx.oldest()
	if err != nil {
		return nil, err
	}
	err = tx.Bucket(undoBucket).ForEach(func(k, v []byte) error {
		u, err := decodeUndo(k, v)
		if err != nil {
			return err
		}
		n, err := decodeNumber(k)
		if err != nil || n < oldest || n >= last {
			return errors.Join(err, corruptf("there is a way back to revision %d, which is not there", n))
		}
		undos++
		for _, e := range u.was {
			if !e.absent() {
				refers[e.text]++
			}
		}
		return nil
	})
	if err == nil && last > 0 && uint64(undos) != last-oldest {
		err = corruptf("there are %d ways back from %d revisions", undos, last-oldest+1)
	}
	return refers, err
}

// checkTexts makes sure that every text is what its digest says and has as many
// references as are counted.
func (tx *txn) checkTexts(refers map[revisions.Digest]uint64) error {
	var size uint64
	texts := 0
	err := tx.Bucket(textsBucket).ForEach(func(k, v []byte) error {
		digest := revisions.DigestOf(string(v))
		if !bytes.Equal(digest[:], k) {
			return corruptf("the text %x is another one", k)
		}
		count, err := counter(tx.Bucket(referencesBucket), k)
		if err != nil {
			return err
		}
		if count == 0 || count != refers[digest] {
			return corruptf("the text %s has %d references, and %d are counted", digest, refers[digest], count)
		}
		size += uint64(len(v))
		texts++
		return nil
	})
	if err != nil {
		return err
	}
	counted, err := tx.size()
	if err != nil {
		return err
	}
	if texts != len(refers) || size != counted || tx.Bucket(referencesBucket).Stats().KeyN != texts {
		return corruptf("%d texts of %d bytes are there, %d of %d bytes are known", texts, size, len(refers), counted)
	}
	return nil
}

// checkPages has bbolt look at its own pages. It does so in a goroutine that no fault must happen in, so
// everything that it touches was read before.
func (tx *txn) checkPages() error {
	var first error
	for err := range tx.Check() {
		if first == nil {
			first = corruptf("%w", err)
		}
	}
	return first
}
