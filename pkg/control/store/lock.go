package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockName is the file that is locked instead of the store, which does not exist at
// first. It stays when nobody has it.
const lockName = "revisions.lock"

// lockInterval is the time between two tries.
const lockInterval = 50 * time.Millisecond

// maxPIDBytes bounds what is read of the process that has the lock.
const maxPIDBytes = 32

// dirLock is held by one process at a time (flock(2)), and let go by the system when that dies.
type dirLock struct{ file *os.File }

// lockDir waits up to limit for the directory.
func lockDir(ctx context.Context, dir string, limit time.Duration) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state directory: %w", spaced(err))
	}
	if err := waitForLock(ctx, f, limit); err != nil {
		if errors.Is(err, ErrLocked) {
			err = fmt.Errorf("%w: %s, by %s; stop that one, or give this one another state directory", ErrLocked, dir, holder(f))
		}
		return nil, errors.Join(err, f.Close())
	}
	// Who has the lock is for people; the lock does not depend on it.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{f}, nil
}

func waitForLock(ctx context.Context, f *os.File, limit time.Duration) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("locking %s: %w", f.Name(), ctx.Err())
		case <-deadline.C:
			return ErrLocked
		case <-time.After(lockInterval):
		}
	}
}

// holder names the process that has the lock.
func holder(f *os.File) string {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, maxPIDBytes))
	pid, numberErr := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || numberErr != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}

func (l *dirLock) release() error { return l.file.Close() }
