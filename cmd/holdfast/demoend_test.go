package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// demoEnds ends plays that are under way in every way there is: what they have killed runs again, what they have
// broken works again, and what they say of it is true.
func demoEnds(t *testing.T, holdfast, state string, info *stack.RunInfo) {
	t.Helper()
	begin := func(t *testing.T, until string, args ...string) (*exec.Cmd, *os.File, *bytes.Buffer) {
		t.Helper()
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		said := &bytes.Buffer{}
		cmd := exec.CommandContext(t.Context(), holdfast, append([]string{"demo", "--state", state, "--act", "5s"}, args...)...)
		cmd.Stdout, cmd.Stderr = write, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = write.Close()
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			if strings.Contains(lines.Text(), until) {
				return cmd, read, said
			}
		}
		t.Fatalf("the play ended before %q: %v %s", until, cmd.Wait(), said)
		return nil, nil, nil
	}
	restored := func(t *testing.T) {
		t.Helper()
		remote := supervise.Remote{Socket: info.Control}
		for deadline := time.Now().Add(60 * time.Second); ; {
			children, err := remote.Children(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			dead := ""
			for _, child := range children {
				if child.State != supervise.StateReady {
					dead = child.Name + " is " + string(child.State)
				}
			}
			if dead == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(dead)
			}
		}
	}
	t.Run("killed", func(t *testing.T) {
		cmd, read, _ := begin(t, "primary-mumbai killed")
		defer read.Close() //nolint:errcheck // only read
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // by the signal
		restored(t)
	})
	t.Run("nobody reads any more", func(t *testing.T) {
		cmd, read, said := begin(t, "primary-mumbai killed")
		_ = read.Close()
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said.String(), "are running again") {
			t.Errorf("exit %d: %s", code, said)
		}
		restored(t)
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		cmd, read, said := begin(t, "breaker open", "--tool")
		defer read.Close() //nolint:errcheck // only read
		go func() { _, _ = bufio.NewReader(read).WriteTo(&bytes.Buffer{}) }()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said.String(), "works again, and its calls go to primary-mumbai") {
			t.Errorf("exit %d: %s", code, said)
		}
		list := &output{}
		if code := run(t.Context(), []string{"breaker", "list", "--state", state}, testEnvironment("", list, said, nil)); code != 0 || !strings.Contains(list.String(), "No breaker is open") {
			t.Errorf("exit %d: %s%s", code, list, said)
		}
	})
	t.Run("Ctrl-C twice", func(t *testing.T) {
		cmd, read, said := begin(t, "breaker open", "--tool")
		defer read.Close() //nolint:errcheck // only read
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(read); lines.Scan() && !strings.Contains(lines.Text(), "until its breaker closes"); {
			continue
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said.String(), "its breaker is still open") {
			t.Errorf("exit %d: %s", code, said)
		}
	})
}
