package revision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// DefaultCheckLimit is how long one run of Envoy may take.
const DefaultCheckLimit = 20 * time.Second

// maxCheckOutput bounds what is kept of Envoy's words, in bytes.
const maxCheckOutput = 64 << 10

// EnvoyCheck asks an Envoy what it thinks of a revision before any Envoy in
// service sees it: a cluster that is wrong in a way which only shows when it is
// made is not refused over xDS, it just never gets ready.
type EnvoyCheck struct {
	// Path of the Envoy binary.
	Path string
	// Limit for one run; DefaultCheckLimit when 0.
	Limit time.Duration
}

// Run has Envoy validate a bootstrap. The error has Envoy's own words.
func (c EnvoyCheck) Run(ctx context.Context, bootstrap []byte) (err error) {
	limit := c.Limit
	if limit <= 0 {
		limit = DefaultCheckLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "holdfast-check-")
	if err != nil {
		return fmt.Errorf("making a directory for Envoy's check: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		return fmt.Errorf("writing the bootstrap for Envoy's check: %w", err)
	}
	out := &tail{limit: maxCheckOutput}
	cmd := exec.CommandContext(ctx, c.Path, "--mode", "validate", "-c", file, "--log-level", "error")
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own, so that nothing that it starts outlives the limit.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("the check by %s took longer than %s", c.Path, limit)
		}
		words := strings.TrimSpace(strings.ReplaceAll(string(out.kept), file, "envoy.json"))
		if words == "" {
			return fmt.Errorf("the check by %s failed: %w", c.Path, err)
		}
		return fmt.Errorf("envoy refuses the configuration: %s", strings.ToValidUTF8(words, "\uFFFD"))
	}
	return nil
}

// tail keeps the last bytes written to it.
type tail struct {
	limit int
	kept  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - t.limit; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}
