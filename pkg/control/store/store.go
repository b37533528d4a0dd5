// Package store keeps revisions of the configuration in one file (bbolt), for a
// control plane that runs on one machine.
//
// The newest revision is kept whole; of each older one there is what leads back to it
// from the one after it, so that a change of one resource among a thousand costs
// one. Texts are kept once, by digest, for as long as some revision refers to them. Everything
// that one Append does is one transaction: after a crash at any moment the file
// has the revision whole or not at all.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// FileName of the store within its directory.
const FileName = "revisions.db"

// Defaults of Options.
const (
	DefaultKeep        = 1000
	DefaultKeepBytes   = 256 << 20
	DefaultLockTimeout = 2 * time.Second
)

// MaxKeep is the longest history that can be asked for.
const MaxKeep = 100_000

// Errors that callers tell apart.
var (
	// ErrNotFound says that a revision does not exist, or not any more.
	ErrNotFound = errors.New("no such revision")
	// ErrNumber says that a revision does not follow the newest one.
	ErrNumber = errors.New("the revision is not the next one")
	// ErrNoSpace says that the disk, a quota or a limit on the size of files is
	// exhausted. The store goes on working, with what it had.
	ErrNoSpace = errors.New("no space left for the revision store")
	// ErrLocked says that another process has the state directory.
	ErrLocked = errors.New("the state directory is in use")
	// ErrDamaged says that the file is not what the store wrote.
	ErrDamaged = errors.New("the revision store is damaged")
)

// Options of Open; zero values mean the defaults.
type Options struct {
	// Keep is how many revisions there are at most, 1 to MaxKeep. Older ones are forgotten.
	Keep int
	// KeepBytes is how large all their texts together may be before older revisions
	// are forgotten. The newest is kept whatever its size.
	KeepBytes int64
	// LockTimeout is how long another process is given to let the directory go.
	LockTimeout time.Duration

	// unsynced leaves durability to the system, for tests that need many revisions.
	unsynced bool
}

func (o Options) withDefaults() (Options, error) {
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	if o.KeepBytes == 0 {
		o.KeepBytes = DefaultKeepBytes
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.Keep < 1 || o.Keep > MaxKeep {
		return o, fmt.Errorf("a history of %d revisions is not in the range 1 to %d", o.Keep, MaxKeep)
	}
	if o.KeepBytes < 0 || o.LockTimeout < 0 {
		return o, errors.New("a limit of the revision store is negative")
	}
	return o, nil
}

// Store is safe for concurrent use. Only one process has it open.
type Store struct {
	path string
	opts Options
	db   *bbolt.DB
	lock *dirLock

	closing sync.Once
	closed  error
}

// Open opens the store of a state directory, and makes both where they are missing, for
// the owner alone (modes 0600 and 0700). Errors: ErrLocked while another process has it,
// ErrDamaged for a file that is not whole, ErrNoSpace, or those of the file system and of ctx. What
// is damaged is left as it is.
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("opening the revision store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", spaced(err))
	}
	lock, err := lockDir(ctx, dir, opts.LockTimeout)
	if err != nil {
		return nil, err
	}
	s := &Store{path: filepath.Join(dir, FileName), opts: opts, lock: lock}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return s, nil
}

func (s *Store) open() error {
	if err := removeUnfinished(s.path); err != nil {
		return fmt.Errorf("opening the revision store: %w", err)
	}
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(s.path); err != nil {
			return fmt.Errorf("making the revision store %s: %w", s.path, spaced(err))
		}
	case err != nil:
		return fmt.Errorf("opening the revision store: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("opening the revision store: %s is not a regular file", s.path)
	case info.Size() == 0:
		// bbolt would take it for a new one.
		return damagedf(s.path, "it is empty")
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		return fmt.Errorf("opening the revision store: %w", err)
	}
	s.db, err = openFile(s.path, s.opts)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// Close lets the file and the directory go, after the calls under way have ended. Calls
// that follow fail.
func (s *Store) Close() error {
	s.closing.Do(func() {
		if err := errors.Join(s.db.Close(), s.lock.release()); err != nil {
			s.closed = fmt.Errorf("closing the revision store: %w", err)
		}
	})
	return s.closed
}
