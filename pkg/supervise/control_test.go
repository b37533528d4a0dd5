package supervise_test

import (
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

func TestControl(t *testing.T) {
	s, _ := newSupervisor(t, nil)
	if err := s.Start(t.Context(), spec("open", "serve", freeAddress(t)), spec("shut", "serve", freeAddress(t))); err != nil {
		t.Fatal(err)
	}
	// A test's temporary folder may have too long a path for a unix socket.
	t.Chdir(t.TempDir())
	socket := filepath.Join(".", "control.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: supervise.Control(s, []string{"open"}), ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		_ = server.Close()
		<-served
	}()
	remote := supervise.Remote{Socket: socket}

	before := time.Now()
	done, err := remote.Do(t.Context(), "open", supervise.ActionKill)
	if err != nil || done.Child.State != supervise.StateStopped || done.At.Before(before) || done.At.After(time.Now()) {
		t.Errorf("kill: %+v, %v", done, err)
	}
	if done, err = remote.Do(t.Context(), "open", supervise.ActionStart); err != nil || done.Child.State != supervise.StateReady {
		t.Errorf("start: %+v, %v", done, err)
	}
	if done, err = remote.Do(t.Context(), "open", supervise.ActionPause); err != nil || done.Child.State != supervise.StatePaused {
		t.Errorf("pause: %+v, %v", done, err)
	}
	if done, err = remote.Do(t.Context(), "open", supervise.ActionContinue); err != nil || done.Child.State != supervise.StateReady {
		t.Errorf("continue: %+v, %v", done, err)
	}
	for _, action := range []supervise.Action{supervise.ActionKill, supervise.ActionPause, supervise.ActionStop} {
		release, err := remote.Lend(t.Context(), "open")
		if err != nil {
			t.Fatal(err)
		}
		if done, err = remote.Do(t.Context(), "open", supervise.ActionStart); err == nil {
			t.Errorf("it was not running before %s", action)
		}
		if done, err = remote.Do(t.Context(), "open", action); err != nil || done.Child.State == supervise.StateReady {
			t.Errorf("%s: %+v, %v", action, done, err)
		}
		release()
		child, _ := s.Child("open")
		for deadline := time.Now().Add(30 * time.Second); child.Status().State != supervise.StateReady; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("it is %s after %s", child.Status().State, action)
			}
		}
	}
	if _, err := remote.Lend(t.Context(), "shut"); !errors.Is(err, supervise.ErrRefused) {
		t.Errorf("lending what is not to be controlled: %v", err)
	}
	if done, err = remote.Do(t.Context(), "open", supervise.ActionStop); err != nil || done.Child.State != supervise.StateStopped {
		t.Errorf("stop: %+v, %v", done, err)
	}
	all, err := remote.Children(t.Context())
	if err != nil || len(all) != 2 || all[1].Name != "shut" || all[1].State != supervise.StateReady {
		t.Errorf("children: %+v, %v", all, err)
	}
	for _, refused := range []struct {
		child  string
		action supervise.Action
		want   string
	}{
		{"shut", supervise.ActionKill, "no child"},
		{"nobody", supervise.ActionKill, "no child"},
		{"open", "explode", "no action"},
		{"open", supervise.ActionKill, "not running"},
		{"../open", supervise.ActionKill, ""},
	} {
		_, err := remote.Do(t.Context(), refused.child, refused.action)
		if !errors.Is(err, supervise.ErrRefused) || !strings.Contains(err.Error(), refused.want) {
			t.Errorf("%s %s: %v", refused.action, refused.child, err)
		}
	}
	if child, _ := s.Child("shut"); child.Status().State != supervise.StateReady {
		t.Error("a child that is not to be controlled was")
	}
}
