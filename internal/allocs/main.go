// Command allocs compares what deciding on a call and judging its answer allocate with the
// last commit, and fails where it is a fifth more. Times are shown and decide nothing: they are the
// machine's.
//
// Usage, from the root of the repository: go run ./internal/allocs
//
// A tree with changes is compared with its own commit, one without with the commit before. Where there
// is none, the tree is compared with itself, and that is said.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// allowed is how much more may be allocated.
	allowed = 1.2
	// slack in bytes: what is spread over all iterations, such as a map that grows, varies a little.
	slack = 16
	// limit for everything.
	limit = 5 * time.Minute
	// runs of each benchmark, of so many iterations: allocations are the same in all of them.
	runs, iterations = "3", "500x"
)

// packages that have the benchmarks.
func packages() []string { return []string{"./pkg/mcpaware/decide", "./pkg/mcpaware/outcome"} }

func main() {
	if err := compare(); err != nil {
		fmt.Fprintln(os.Stderr, "allocs:", err)
		os.Exit(1)
	}
}

func compare() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "allocs")
	if err != nil {
		return fmt.Errorf("a folder for the comparison: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	before, remove, err := lastCommit(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	files := make([]string, 0, 2)
	for name, tree := range map[string]string{"before": before, "now": "."} {
		out, err := run(ctx, tree, "go", append([]string{"test", "-trimpath", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", iterations, "-count", runs}, packages()...)...)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, out, 0o600); err != nil {
			return fmt.Errorf("keeping benchmarks: %w", err)
		}
		files = append(files, name+"="+file)
	}
	if strings.HasPrefix(files[0], "now") {
		files[0], files[1] = files[1], files[0]
	}
	for _, format := range []string{"text", "csv"} {
		out, err := run(ctx, "tools/benchstat", "go", append([]string{"tool", "benchstat", "-format", format}, files...)...)
		if err != nil {
			return err
		}
		if format == "text" {
			fmt.Printf("%s", out)
			continue
		}
		return more(out)
	}
	return nil
}

// lastCommit checks out what is compared with, and says how to take it away.
func lastCommit(ctx context.Context, dir string) (tree string, remove func() error, err error) {
	changes, err := run(ctx, ".", "git", "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return "", nil, err
	}
	commit := "HEAD"
	if len(bytes.TrimSpace(changes)) == 0 {
		commit = "HEAD^"
	}
	known, _ := run(ctx, ".", "git", "rev-parse", "--verify", "--quiet", commit+"^{commit}") // says nothing where there is none
	if len(known) == 0 {
		fmt.Println("There is no commit before this one here: the tree is compared with itself.")
		return ".", func() error { return nil }, nil
	}
	tree = filepath.Join(dir, "tree")
	if _, err := run(ctx, ".", "git", "worktree", "add", "--detach", "--quiet", tree, commit); err != nil {
		return "", nil, err
	}
	return tree, func() error {
		_, err := run(context.WithoutCancel(ctx), ".", "git", "worktree", "remove", "--force", tree)
		return err
	}, nil
}

func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // words of this program
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stderr.String(), out)
	}
	return out, nil
}
