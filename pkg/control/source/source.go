// Package source tells when a directory of configuration may have changed. It
// never says what changed: every change means that the whole directory is read
// again. It copes with editors that write a new file and rename it, with
// Kubernetes mounts (a symbolic link named ..data is swapped), and with a directory
// that is removed and made again; a slow periodic reading makes up for what a file
// system does not report.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Defaults of Options.
const (
	DefaultDebounce = 100 * time.Millisecond
	DefaultInterval = 30 * time.Second
)

// settleFactor times the debounce is how long a stream of changes that never ends
// can put a reading off.
const settleFactor = 10

// Options of Watch; zero values mean the defaults.
type Options struct {
	// Debounce is how long the directory must be quiet.
	Debounce time.Duration
	// Interval between readings that nothing prompted.
	Interval time.Duration
	// Logger discards when nil.
	Logger *slog.Logger
}

// Watch calls changed once at the start and then whenever dir may have changed,
// until ctx ends; it returns nil then. Calls come one after the other. The
// directory need not exist.
func Watch(ctx context.Context, dir string, opts Options, changed func(context.Context)) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	w := &watch{dir: dir, opts: opts.withDefaults(), add: watcher.Add, changed: changed}
	w.run(ctx, watcher.Events, watcher.Errors)
	return nil
}

func (o Options) withDefaults() Options {
	if o.Debounce <= 0 {
		o.Debounce = DefaultDebounce
	}
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// watch is Watch without the file system.
type watch struct {
	dir     string
	opts    Options
	add     func(path string) error
	changed func(context.Context)
}

// arm watches the directory and the one above it, where its removal, its making
// and the swap of a link show. Adding a path that is watched already is harmless,
// and needed: after a swap the path leads to another directory.
func (w *watch) arm() {
	for _, path := range []string{filepath.Dir(w.dir), w.dir} {
		if err := w.add(path); err != nil {
			// The periodic reading goes on without it.
			w.opts.Logger.Debug("directory is not watched", "path", path, "error", err)
		}
	}
}

func (w *watch) run(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error) {
	w.arm()
	w.changed(ctx)
	interval := time.NewTicker(w.opts.Interval)
	defer interval.Stop()
	var quiet, settle <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			if !w.concerns(e) {
				continue
			}
			quiet = time.After(w.opts.Debounce)
			if settle == nil {
				settle = time.After(settleFactor * w.opts.Debounce)
			}
			continue
		case err, ok := <-errs:
			if !ok {
				return
			}
			// Events may be lost (a full queue): read at once.
			w.opts.Logger.Debug("watching the configuration", "error", err)
		case <-quiet:
		case <-settle:
		case <-interval.C:
		}
		quiet, settle = nil, nil
		w.arm()
		w.changed(ctx)
	}
}

// concerns passes over the neighbours of the directory, and changes of nothing but
// attributes.
func (w *watch) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	path := filepath.Clean(e.Name)
	return path == w.dir || filepath.Dir(path) == w.dir
}
