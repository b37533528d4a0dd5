// Package inject makes the faults of drills: on a system that `holdfast up` runs, by a fault
// proxy (Toxiproxy) that stands before a part of any system, and by commands.
package inject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/drill"
)

// Commands are what an operator has written for one drill; each is run by `sh -c`.
type Commands struct {
	// Break and Mend break it and mend it; an exit code other than 0 is a failure.
	Break, Mend string
	// Noticed exits with 0 and says who has noticed on its first line, or with 1 as long as nobody has; empty: nobody is asked.
	Noticed string
}

// commandTimeout bounds one command.
const commandTimeout = 30 * time.Second

// ErrIncomplete is in the error of commands of which one is missing.
var ErrIncomplete = errors.New("what is broken by a command has to be mended by one: both are needed")

// Fault runs the commands.
func (c Commands) Fault() (drill.Fault, error) {
	if c.Break == "" || c.Mend == "" {
		return drill.Fault{}, ErrIncomplete
	}
	run := func(command string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := shell(ctx, command)
			return err
		}
	}
	f := drill.Fault{
		Does: "it was broken by `" + c.Break + "`", Undoes: "it was mended by `" + c.Mend + "`",
		Break: run(c.Break), Mend: run(c.Mend),
	}
	if c.Noticed != "" {
		f.Noticed = c.notices
	}
	return f, nil
}

// notices runs the command that asks.
func (c Commands) notices(ctx context.Context) (string, error) {
	out, err := shell(ctx, c.Noticed)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return "", nil
	case err != nil:
		return "", err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if first == "" {
		first = "`" + c.Noticed + "`"
	}
	return first, nil
}

// maxSaid bounds what of a command's words goes into an error.
const maxSaid = 500

func shell(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command) //nolint:gosec // what the operator wrote
	// What the command leaves behind may keep its output open.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		said := bytes.TrimSpace(out)
		return "", fmt.Errorf("%q: %w: %s", command, err, said[:min(len(said), maxSaid)])
	}
	return string(out), nil
}
