package api

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// reloadInterval is how long a change of a file may go unnoticed.
const reloadInterval = time.Second

// maxFileBytes bounds what is read from a file.
const maxFileBytes = 1 << 20

// fromFiles is a value made of files, and made anew when they change: they are looked at when
// the value is asked for, at most once an interval. It is safe for concurrent use.
type fromFiles[T any] struct {
	files []string
	load  func() (T, error)
	now   func() time.Time
	// changed hears of each new value, and of each new error once.
	changed func(error)

	mu      sync.Mutex
	checked time.Time
	seen    []os.FileInfo
	value   T
	err     error
}

// newFromFiles loads the value for the first time.
func newFromFiles[T any](load func() (T, error), now func() time.Time, changed func(error), files ...string) (*fromFiles[T], error) {
	f := &fromFiles[T]{files: files, load: load, now: now, changed: changed, checked: now(), seen: look(files)}
	f.value, f.err = load()
	return f, f.err
}

// get gives the value, and an error while the files as they are now are of no use: then it is the last good one.
func (f *fromFiles[T]) get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if d := now.Sub(f.checked); d >= 0 && d < reloadInterval {
		return f.value, f.err
	}
	f.checked = now
	seen := look(f.files)
	if f.err == nil && same(f.seen, seen) {
		return f.value, nil
	}
	value, err := f.load()
	news := err == nil || f.err == nil || err.Error() != f.err.Error()
	// What was seen is older than what was loaded, so a change in between is found next time.
	f.seen, f.err = seen, err
	if err == nil {
		f.value = value
	}
	if news {
		f.changed(err)
	}
	return f.value, f.err
}

// look takes what tells versions of files apart; nil for what is not there.
func look(files []string) []os.FileInfo {
	out := make([]os.FileInfo, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			out[i] = info
		}
	}
	return out
}

func same(a, b []os.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil && b[i] == nil:
		case a[i] == nil || b[i] == nil:
			return false
		case !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || a[i].Mode() != b[i].Mode() || !a[i].ModTime().Equal(b[i].ModTime()):
			return false
		}
	}
	return true
}

// readFile reads a regular file of bounded size. With private it must be nobody's but its owner's.
func readFile(name string, private bool) ([]byte, error) {
	// Opening anything else, a pipe say, might never return.
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); private && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so others than its owner can use it; chmod 600 it", name, mode)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxFileBytes)
	}
	return data, nil
}
