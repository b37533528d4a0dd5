package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// filled gives the directory of a store with a history, its file, and the history.
func filled(t *testing.T) (dir string, data []byte, history []revisions.Revision) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, store.Unsynced(store.Options{Keep: 20}))
	r := rand.New(rand.NewPCG(3, 4))
	history = []revisions.Revision{{}}
	for range 30 {
		newest := history[len(history)-1]
		rev := next(t, &newest, randomSet(r, newest.Set))
		mustAppend(t, s, rev)
		history = append(history, rev)
	}
	shut(t, s)
	data, err := os.ReadFile(filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return dir, data, history
}

// refuse opens what must not open, and leaves it as it is.
func refuse(t *testing.T, dir string) error {
	t.Helper()
	path := filepath.Join(dir, store.FileName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err == nil {
		shut(t, s)
		t.Error("it was opened")
		return errors.New("none")
	}
	if after, readErr := os.ReadFile(path); readErr != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, or taken away: %v", readErr)
	}
	return err
}

func TestDamageIsToldAndLeftAlone(t *testing.T) {
	dir, data, _ := filled(t)
	path := filepath.Join(dir, store.FileName)
	overwritten := bytes.Clone(data)
	for i := range overwritten {
		overwritten[i] = 'x'
	}
	for name, damaged := range map[string][]byte{
		"nothing left":         {},
		"one page left":        data[:4096],
		"half of it left":      data[:len(data)/2],
		"all but a page left":  data[:len(data)-len(data)%4096-4096],
		"something else":       []byte(strings.Repeat("not a store\n", 1000)),
		"something short":      []byte("x"),
		"overwritten":          overwritten,
		"an empty bbolt file":  emptyBolt(t),
		"zeros after the head": append(bytes.Clone(data[:8192]), make([]byte, len(data)-8192)...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			err := refuse(t, dir)
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "Put a backup in its place; or move it away") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func emptyBolt(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// edit changes the file behind the store's back, as a bug or another program would.
func edit(t *testing.T, dir string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, store.FileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// firstOf changes the first value of a bucket.
func firstOf(bucket string, change func(v []byte) []byte) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		k, v := b.Cursor().First()
		return b.Put(bytes.Clone(k), change(bytes.Clone(v)))
	}
}

func flipped(v []byte) []byte { return append(v[:len(v)-1], v[len(v)-1]^1) }

func without(bucket string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		k, _ := b.Cursor().First()
		return b.Delete(bytes.Clone(k))
	}
}

func TestWhatDoesNotFitTogetherIsDamage(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*bbolt.Tx) error
		want   string
	}{
		"a revision":               {firstOf("revisions", flipped), "the checksum of"},
		"a short revision":         {firstOf("revisions", func([]byte) []byte { return []byte("x") }), "is cut short"},
		"an undo":                  {firstOf("undo", flipped), "the checksum of"},
		"an entry":                 {firstOf("head", flipped), "the checksum of"},
		"a text":                   {firstOf("texts", flipped), "is another one"},
		"a count":                  {firstOf("references", flipped), "references, and"},
		"a long count":             {firstOf("references", func(v []byte) []byte { return append(v, 0) }), "is not a number"},
		"the size":                 {firstOf("meta", flipped), "bytes are known"},
		"a missing undo":           {without("undo"), "there are 18 ways back from 20 revisions"},
		"a missing entry":          {without("head"), ""},
		"a missing text":           {without("texts"), ""},
		"a missing count":          {without("references"), ""},
		"a missing bucket":         {func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("undo")) }, "it is no revision store: there is no undo"},
		"a bucket among the texts": {func(tx *bbolt.Tx) error { _, err := tx.Bucket([]byte("texts")).CreateBucket([]byte("b")); return err }, ""},
		"no revisions": {func(tx *bbolt.Tx) error {
			return errors.Join(tx.DeleteBucket([]byte("revisions")), second(tx.CreateBucket([]byte("revisions"))))
		}, ""},
		"a revision between missing": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("revisions")).Delete([]byte{0, 0, 0, 0, 0, 0, 0, 20})
		}, "revision 21 follows revision 19"},
		"the newest missing": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("revisions")).Delete([]byte{0, 0, 0, 0, 0, 0, 0, 30})
		}, "there is a way back to revision 29"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, _ := filled(t)
			edit(t, dir, test.change)
			if err := refuse(t, dir); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant ErrDamaged with %q", err, test.want)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnotherFormat(t *testing.T) {
	dir, _, _ := filled(t)
	edit(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("2")) })
	err := refuse(t, dir)
	want := fmt.Sprintf("the revision store %s has version \"2\" of its format, and this program reads 1: start the program that wrote it", filepath.Join(dir, store.FileName))
	if err.Error() != want || errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Wherever bits are turned, the store says that it is damaged, or it has revisions that were
// written: it does not make any up, lose all of them or bring the process down.
func TestTurnedBits(t *testing.T) {
	dir, data, history := filled(t)
	path := filepath.Join(dir, store.FileName)
	r := rand.New(rand.NewPCG(5, 6))
	refused := 0
	const trials = 300
	for range trials {
		damaged := bytes.Clone(data)
		for range 1 + r.IntN(8) {
			at := r.IntN(len(damaged))
			damaged[at] ^= byte(1 << r.IntN(8))
		}
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), dir, store.Options{})
		if err != nil {
			refused++
			if !errors.Is(err, store.ErrDamaged) && !strings.Contains(err.Error(), "version") {
				t.Errorf("got %v", err)
			}
			continue
		}
		head, err := s.Head()
		if err != nil || !reflect.DeepEqual(history[head.Number], head) {
			t.Errorf("it opens with a revision that never was: %v", err)
		}
		shut(t, s)
	}
	if refused < trials/4 || refused == trials {
		t.Errorf("%d of %d were refused: the trials say nothing", refused, trials)
	}
}

func TestUnfinishedFilesAreCleared(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, store.FileName+".123.new")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, store.Options{})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}

func TestAFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, store.FileName)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), dir, store.Options{}); err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
		t.Errorf("got %v", err)
	}
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), blocked, store.Options{}); err == nil || !strings.Contains(err.Error(), "making the state directory") {
		t.Errorf("got %v", err)
	}
}
