package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// txn is a transaction that knows what is in the buckets.
type txn struct{ *bbolt.Tx }

func (tx *txn) put(bucket, k []byte, m proto.Message) error {
	v, err := seal(k, m)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(k, v)
}

// newest gives the number of the newest revision, 0 where there is none.
func (tx *txn) newest() (uint64, error) {
	k, _ := tx.Bucket(revisionsBucket).Cursor().Last()
	if k == nil {
		return 0, nil
	}
	return decodeNumber(k)
}

// oldest gives the number of the oldest revision, 0 where there is none.
func (tx *txn) oldest() (uint64, error) {
	k, _ := tx.Bucket(revisionsBucket).Cursor().First()
	if k == nil {
		return 0, nil
	}
	return decodeNumber(k)
}

// head gives the content of the newest revision.
func (tx *txn) head() (content, error) {
	c := content{}
	err := tx.Bucket(headBucket).ForEach(func(k, v []byte) error {
		e, err := decodeEntry(k, v)
		c[e.ref] = e
		return err
	})
	return c, err
}

// replaceHead makes after the content of the newest revision. What before refers to is kept: it is
// the undo of before that refers to it from now on.
func (tx *txn) replaceHead(before, after content, texts map[revisions.Digest]string) error {
	bucket := tx.Bucket(headBucket)
	for _, ref := range slices.SortedFunc(maps.Keys(before), revisions.Ref.Compare) {
		if _, ok := after[ref]; ok {
			continue
		}
		if err := bucket.Delete(key(ref)); err != nil {
			return err
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(after), revisions.Ref.Compare) {
		e := after[ref]
		old, ok := before[ref]
		if ok && old == e {
			continue
		}
		if err := tx.put(headBucket, key(ref), e.record()); err != nil {
			return err
		}
		if ok && old.equal(e) || e.absent() {
			continue
		}
		if err := tx.retain(e.text, texts[e.text]); err != nil {
			return err
		}
	}
	return nil
}

// forget takes the oldest revision away, and the texts that only it had.
func (tx *txn) forget(oldest uint64) error {
	k := number(oldest)
	u, err := decodeUndo(k, tx.Bucket(undoBucket).Get(k))
	if err != nil {
		return err
	}
	for _, e := range u.was {
		if e.absent() {
			continue
		}
		if err := tx.release(e.text); err != nil {
			return err
		}
	}
	return errors.Join(tx.Bucket(undoBucket).Delete(k), tx.Bucket(revisionsBucket).Delete(k))
}

// retain counts one more reference to a text, which is stored when it is new.
func (tx *txn) retain(digest revisions.Digest, text string) error {
	count, err := counter(tx.Bucket(referencesBucket), digest[:])
	if err != nil {
		return err
	}
	if count == 0 {
		if err := tx.Bucket(textsBucket).Put(digest[:], []byte(text)); err != nil {
			return err
		}
		if err := tx.resize(len(text)); err != nil {
			return err
		}
	}
	return tx.Bucket(referencesBucket).Put(digest[:], number(count+1))
}

// release counts one reference less. A text without any goes.
func (tx *txn) release(digest revisions.Digest) error {
	count, err := counter(tx.Bucket(referencesBucket), digest[:])
	if err != nil {
		return err
	}
	switch count {
	case 0:
		return corruptf("the text %s has fewer references than are released", digest)
	case 1:
		size := len(tx.Bucket(textsBucket).Get(digest[:]))
		if err := tx.resize(-size); err != nil {
			return err
		}
		return errors.Join(tx.Bucket(textsBucket).Delete(digest[:]), tx.Bucket(referencesBucket).Delete(digest[:]))
	default:
		return tx.Bucket(referencesBucket).Put(digest[:], number(count-1))
	}
}

// size gives the size of all texts in bytes.
func (tx *txn) size() (uint64, error) { return counter(tx.Bucket(metaBucket), bytesKey) }

func (tx *txn) resize(by int) error {
	size, err := tx.size()
	if err != nil {
		return err
	}
	// Two's complement makes a subtraction of it where by is negative.
	return tx.Bucket(metaBucket).Put(bytesKey, number(size+uint64(by))) //nolint:gosec // see above
}

// counter reads a number, 0 where there is none.
func counter(bucket *bbolt.Bucket, k []byte) (uint64, error) {
	v := bucket.Get(k)
	if v == nil {
		return 0, nil
	}
	if len(v) != 8 {
		return 0, corruptf("the counter %x is not a number", k)
	}
	return binary.BigEndian.Uint64(v), nil
}

// text reads a text and makes sure that it is the one.
func (tx *txn) text(digest revisions.Digest) (string, error) {
	text := string(tx.Bucket(textsBucket).Get(digest[:]))
	if revisions.DigestOf(text) != digest {
		return "", corruptf("the text %s is not there, or is another one", digest)
	}
	return text, nil
}
