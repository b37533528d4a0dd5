package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	promtoolDir   = "prometheus-debian"
	otherPromtool = "install it (Debian: apt install prometheus), or set HOLDFAST_PROMTOOL to a promtool binary"
)

// Promtool returns the path of the configured promtool, else of the one on PATH, else of one from
// Debian's package, unpacked into the cache folder without becoming root. Only the tests of the
// alerts need it.
func (f *Finder) Promtool(ctx context.Context, configured string) (string, error) {
	if configured != "" {
		path, err := filepath.Abs(configured)
		if err == nil {
			err = executable(path)
		}
		if err != nil {
			return "", fmt.Errorf("the configured promtool %q cannot be used: %w", configured, err)
		}
		return path, nil
	}
	if path, err := f.look()("promtool"); err == nil {
		return path, nil
	}
	if f.CacheDir == "" {
		return "", fmt.Errorf("no promtool: there is no cache folder to unpack one into: set HOME or XDG_CACHE_HOME, or %s", otherPromtool)
	}
	dir := filepath.Join(f.CacheDir, promtoolDir)
	path := filepath.Join(dir, "usr", "bin", "promtool")
	if executable(path) == nil {
		return path, nil
	}
	if err := os.MkdirAll(f.CacheDir, 0o755); err != nil { //nolint:gosec // a cache of public files
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := Lock(ctx, dir+".lock", func() { f.say("waiting for another process that is fetching promtool") })
	if err != nil {
		return "", err
	}
	defer unlock()
	// Whoever held the lock before has probably done the work.
	if executable(path) == nil {
		return path, nil
	}
	f.say("fetching promtool from Debian's packages")
	if err := f.unpackPrometheus(ctx, dir); err != nil {
		return "", fmt.Errorf("getting promtool: %w; %s", err, otherPromtool)
	}
	return path, executable(path)
}

// unpackPrometheus downloads Debian's package, whose programs need the C library alone, and
// renames the folder into place.
func (f *Finder) unpackPrometheus(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	scratch := dir + ".new"
	if err := errors.Join(os.RemoveAll(scratch), os.RemoveAll(dir), os.MkdirAll(filepath.Join(scratch, "partial"), 0o755)); err != nil { //nolint:gosec // public files
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	apt := debian{finder: f, dir: scratch}
	if _, err := apt.unpack(ctx, "prometheus"); err != nil {
		return err
	}
	if err := os.Rename(scratch, dir); err != nil {
		return fmt.Errorf("putting it into place: %w", err)
	}
	return nil
}
