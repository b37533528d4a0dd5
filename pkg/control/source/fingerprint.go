package source

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
)

// readAttempts bounds how often a directory is read that changes while it is read.
const readAttempts = 3

// Consistently reads dir and reads it again when it changed meanwhile, so that two
// files of one change are not seen half old, half new. A directory that does not
// come to rest is read as it is: the next change is noticed anyway.
func Consistently[T any](dir string, read func(dir string) (T, error)) (T, error) {
	before := fingerprint(dir)
	for attempt := 1; ; attempt++ {
		out, err := read(dir)
		after := fingerprint(dir)
		if before == after || attempt == readAttempts {
			return out, err
		}
		before = after
	}
}

// fingerprint tells states of a directory apart by names, sizes and times of what
// the names lead to.
func fingerprint(dir string) uint64 {
	h := fnv.New64a() // a hash takes everything
	entries, err := os.ReadDir(dir)
	if err != nil {
		_, _ = fmt.Fprintf(h, "error %v", errors.Is(err, fs.ErrNotExist))
		return h.Sum64()
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			_, _ = fmt.Fprintf(h, "%q gone\n", e.Name())
			continue
		}
		_, _ = fmt.Fprintf(h, "%q %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return h.Sum64()
}
