package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// schema is the version of what is in the file. It changes when older programs could not read it.
const schema = "1"

// The buckets of the file. Values but those of meta, texts and references are sealed.
var (
	// metaBucket has the schema, and the size of all texts.
	metaBucket = []byte("meta")
	// revisionsBucket has record.Revision by number.
	revisionsBucket = []byte("revisions")
	// undoBucket has record.Undo by number, of all revisions but the newest.
	undoBucket = []byte("undo")
	// headBucket has the content of the newest revision, record.Entry by name.
	headBucket = []byte("head")
	// textsBucket has the texts by digest.
	textsBucket = []byte("texts")
	// referencesBucket has how many entries and undos refer to a text, by its digest.
	referencesBucket = []byte("references")
)

func buckets() [][]byte {
	return [][]byte{metaBucket, revisionsBucket, undoBucket, headBucket, textsBucket, referencesBucket}
}

var (
	schemaKey = []byte("schema")
	bytesKey  = []byte("bytes")
)

// fileLockTimeout is for bbolt's own lock. The directory is locked already, so it
// only stands in the way of tools that read the file.
const fileLockTimeout = time.Second

func openFile(path string, opts Options) (*bbolt.DB, error) {
	var db *bbolt.DB
	var file *os.File
	err := guarded(path, func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: fileLockTimeout, NoSync: opts.unsynced, NoGrowSync: opts.unsynced,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				file, err = os.OpenFile(name, flag, mode)
				return file, err
			},
		})
		return err
	})
	if err == nil {
		return db, nil
	}
	abandon(file)
	var errno syscall.Errno
	switch {
	case errors.Is(err, ErrDamaged):
		return nil, err
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another process reads or writes %s", ErrLocked, path)
	case errors.As(err, &errno):
		return nil, fmt.Errorf("opening the revision store %s: %w", path, err)
	default:
		return nil, damagedf(path, "%w", err)
	}
}

// abandon lets go of a file that bbolt did not open. Where it panicked the file is
// still open and mapped, and closing alone would leave it locked.
func abandon(file *os.File) {
	if file == nil {
		return
	}
	if fd, err := file.SyscallConn(); err == nil {
		_ = fd.Control(func(fd uintptr) { _ = syscall.Flock(int(fd), syscall.LOCK_UN) })
	}
	_ = file.Close()
}

// unfinished is the pattern of names of files that are being made.
const unfinished = ".*.new"

// create makes an empty store. It gets its name when it is whole, so that what has
// the name and is not whole was damaged later.
func create(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+unfinished)
	if err != nil {
		return err
	}
	name := f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	if err := initialize(name); err != nil {
		return err
	}
	if err := os.Rename(name, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func initialize(path string) (err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: fileLockTimeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(schemaKey, []byte(schema))
	})
}

// removeUnfinished clears away what a crash left of create.
func removeUnfinished(path string) error {
	left, err := filepath.Glob(path + unfinished)
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
