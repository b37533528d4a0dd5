package supervise_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

func TestStartAndStop(t *testing.T) {
	seen := newEvents()
	s, logs := newSupervisor(t, seen.add)
	address := freeAddress(t)
	if err := s.Start(t.Context(), spec("server", "serve", address)); err != nil {
		t.Fatal(err)
	}
	child, ok := s.Child("server")
	if !ok {
		t.Fatal("the child is not known")
	}
	status := child.Status()
	if status.State != supervise.StateReady || status.PID == 0 || status.Log != filepath.Join(logs, "server.log") {
		t.Errorf("status %+v", status)
	}
	if err := child.Start(t.Context()); !errors.Is(err, supervise.ErrRunning) {
		t.Errorf("starting it twice: %v", err)
	}
	if err := child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped := seen.await(t, "server", supervise.Stopped)
	if got := stopped.Exit.String(); got != "exit status 0" {
		t.Errorf("it ended with %q", got)
	}
	want := []string{"serving on " + address, "stopping"}
	if got := child.Tail(10); !slices.Equal(got, want) {
		t.Errorf("last lines %q, want %q", got, want)
	}
	text, err := os.ReadFile(status.Log)
	if err != nil || string(text) != strings.Join(want, "\n")+"\n" {
		t.Errorf("log file %q, %v", text, err)
	}
	if err := child.Start(t.Context()); err != nil {
		t.Errorf("starting it again: %v", err)
	}
}

func TestStopKillsTheDeaf(t *testing.T) {
	for name, stop := range map[string]func(*supervise.Child) error{
		"after its grace": func(c *supervise.Child) error { return c.Stop(context.Background()) },
		"when the context ends": func(c *supervise.Child) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return c.Stop(ctx)
		},
		"while it is paused": func(c *supervise.Child) error {
			if err := c.Pause(); err != nil {
				return err
			}
			return c.Stop(context.Background())
		},
	} {
		t.Run(name, func(t *testing.T) {
			seen := newEvents()
			s, _ := newSupervisor(t, seen.add)
			deaf := spec("deaf", "stubborn", freeAddress(t))
			deaf.Grace = 50 * time.Millisecond
			if name == "when the context ends" {
				deaf.Grace = time.Hour
			}
			if err := s.Start(t.Context(), deaf); err != nil {
				t.Fatal(err)
			}
			child, _ := s.Child("deaf")
			if err := stop(child); err != nil {
				t.Fatal(err)
			}
			if got := seen.await(t, "deaf", supervise.Stopped).Exit.String(); got != "killed by SIGKILL" {
				t.Errorf("it ended with %q", got)
			}
		})
	}
}

func TestNotReady(t *testing.T) {
	tests := map[string]struct {
		spec supervise.Spec
		want []string
	}{
		"ends before it is ready": {
			spec: spec("poor", "fail", "out of luck"),
			want: []string{"starting poor", "it ended before it was ready: exit status 7", "out of luck", "and on standard error"},
		},
		"is not ready in time": {
			spec: spec("poor", "mute", "-"),
			want: []string{"starting poor", "not ready within 50ms", "no such luck", "it said nothing"},
		},
		"does not exist": {
			spec: supervise.Spec{Name: "poor", Path: "/nowhere/poor"},
			want: []string{"starting poor", "/nowhere/poor", "no such file"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := newSupervisor(t, nil)
			test.spec.Ready = []supervise.Probe{{Name: "luck", Check: func(context.Context) error { return errors.New("no such luck") }}}
			test.spec.ReadyWithin = 10 * time.Second
			if name == "is not ready in time" {
				test.spec.ReadyWithin = 50 * time.Millisecond
			}
			err := s.Start(t.Context(), test.spec)
			if err == nil {
				t.Fatal("it counts as started")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
			if child, _ := s.Child("poor"); child.Status().State != supervise.StateStopped {
				t.Errorf("state %s", child.Status().State)
			}
		})
	}
}

func TestRestart(t *testing.T) {
	seen := newEvents()
	s, _ := newSupervisor(t, seen.add)
	server := spec("server", "serve", freeAddress(t))
	server.Restart = supervise.RestartAlways
	if err := s.Start(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	child, _ := s.Child("server")
	before := child.Status().PID
	if err := child.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	died := seen.await(t, "server", supervise.Died)
	if died.PID != before || died.Exit.String() != "killed by SIGKILL" || died.RestartIn != 10*time.Millisecond || len(died.LastWords) == 0 {
		t.Errorf("event %+v", died)
	}
	back := seen.await(t, "server", supervise.Restarted)
	if status := child.Status(); back.PID == before || status.PID != back.PID || status.Restarts != 1 || status.State != supervise.StateReady {
		t.Errorf("event %+v, status %+v", back, status)
	}
	// Killed on purpose it stays dead, whatever its policy.
	at, err := child.Kill()
	if err != nil || time.Since(at) > time.Minute {
		t.Fatalf("killed at %s, %v", at, err)
	}
	if status := child.Status(); status.State != supervise.StateStopped || status.PID != 0 {
		t.Errorf("after the kill: %+v", status)
	}
	if _, err := child.Kill(); !errors.Is(err, supervise.ErrNotRunning) {
		t.Errorf("killing it twice: %v", err)
	}
	if err := child.Start(t.Context()); err != nil {
		t.Errorf("starting it again: %v", err)
	}
}

func TestNoRestart(t *testing.T) {
	seen := newEvents()
	s, _ := newSupervisor(t, seen.add)
	if err := s.Start(t.Context(), spec("server", "serve", freeAddress(t))); err != nil {
		t.Fatal(err)
	}
	child, _ := s.Child("server")
	if err := child.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if died := seen.await(t, "server", supervise.Died); died.RestartIn != 0 {
		t.Errorf("event %+v", died)
	}
	if got := child.Status().State; got != supervise.StateDead {
		t.Errorf("state %s", got)
	}
	if err := child.Signal(syscall.SIGTERM); !errors.Is(err, supervise.ErrNotRunning) {
		t.Errorf("signalling the dead: %v", err)
	}
	if err := child.Start(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPause(t *testing.T) {
	s, _ := newSupervisor(t, nil)
	address := freeAddress(t)
	if err := s.Start(t.Context(), spec("server", "serve", address)); err != nil {
		t.Fatal(err)
	}
	child, _ := s.Child("server")
	probe := supervise.HTTPProbe("http://" + address + "/")
	if err := child.Pause(); err != nil {
		t.Fatal(err)
	}
	// The kernel still takes the connection; nobody answers. A signal reaches the
	// threads of a process one by one, so on a busy machine the first try may still
	// be answered.
	var err error
	for range 20 {
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err = probe.Check(short)
		cancel()
		if err != nil {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server: %v", err)
	}
	if got := child.Status().State; got != supervise.StatePaused {
		t.Errorf("state %s", got)
	}
	if err := child.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := probe.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStages(t *testing.T) {
	seen := newEvents()
	s, _ := newSupervisor(t, seen.add)
	one := func(name string) supervise.Spec { return spec(name, "serve", freeAddress(t)) }
	if err := s.Start(t.Context(), one("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), one("b1"), one("b2")); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), one("c")); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), one("d"), one("a")); err == nil {
		t.Error("two children of one name were started")
	}
	if _, there := s.Child("d"); there {
		t.Error("a child of a refused stage is there")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	order := seen.order(supervise.Stopped)
	slices.Sort(order[1:3])
	if want := []string{"c", "b1", "b2", "a"}; !slices.Equal(order, want) {
		t.Errorf("stopped in order %v, want %v", order, want)
	}
	if err := s.Start(t.Context(), one("e")); !errors.Is(err, supervise.ErrClosed) {
		t.Errorf("starting in a closed supervisor: %v", err)
	}
	child, _ := s.Child("a")
	if err := child.Start(t.Context()); !errors.Is(err, supervise.ErrClosed) {
		t.Errorf("starting a child of a closed supervisor: %v", err)
	}
}

// hold connects to address and returns a channel that is closed when whoever
// served the connection is gone.
func hold(t *testing.T, address string) <-chan struct{} {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	return gone
}

func awaitGone(t *testing.T, gone <-chan struct{}, who string) {
	t.Helper()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Fatalf("%s is still there after 20 s", who)
	}
}

func TestTheWholeGroupGoes(t *testing.T) {
	for name, end := range map[string]func(*supervise.Child) error{
		"killed": func(c *supervise.Child) error { _, err := c.Kill(); return err },
		// Only the leader gets SIGTERM and dies of it; what is left of its group goes with it.
		"stopped": func(c *supervise.Child) error { return c.Stop(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSupervisor(t, nil)
			address := freeAddress(t)
			if err := s.Start(t.Context(), spec("parent", "family", address)); err != nil {
				t.Fatal(err)
			}
			gone := hold(t, address)
			child, _ := s.Child("parent")
			if err := end(child); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, gone, "the grandchild")
		})
	}
}

// TestNothingOutlivesAKilledSupervisor kills a supervisor in a process of its own.
func TestNothingOutlivesAKilledSupervisor(t *testing.T) {
	address := freeAddress(t)
	supervisor := exec.Command(os.Args[0], t.TempDir(), address)
	supervisor.Env = append(os.Environ(), helperMode+"=supervisor")
	supervisor.Stderr = os.Stderr
	out, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	if got := firstLine(t, out); got != "ready" {
		t.Fatalf("the supervisor said %q", got)
	}
	gone := hold(t, address)
	if err := supervisor.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = supervisor.Wait()
	awaitGone(t, gone, "the child of a killed supervisor")
}
