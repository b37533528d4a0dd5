package stack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStateDirIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	first, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := openStateDir(path); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("opening it twice: %v", err)
	}
	if !strings.Contains(locked.Error(), "--state") {
		t.Errorf("the refusal %q does not say what to do", locked)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.close(); err != nil {
		t.Error(err)
	}
}

func TestRunInfo(t *testing.T) {
	path := t.TempDir()
	if _, err := ReadRunInfo(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("an empty folder: %v", err)
	}
	dir, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	want := RunInfo{PID: os.Getpid(), Started: time.Unix(1, 0).UTC(), Gateway: "127.0.0.1:1", Endpoints: map[string]string{"a": "http://x/mcp"}}
	if err := dir.write(&want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRunInfo(path)
	if err != nil || got.PID != want.PID || got.Gateway != want.Gateway || got.Endpoints["a"] != want.Endpoints["a"] || !got.Started.Equal(want.Started) {
		t.Errorf("read %+v, %v", got, err)
	}
	if err := dir.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRunInfo(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

// TestKilledSupervisorLeavesNoRunInfo: a run file without its lock is that of a
// supervisor that was killed. Its sockets go with the next start.
func TestKilledSupervisorLeavesNoRunInfo(t *testing.T) {
	path := t.TempDir()
	dir, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	runDir, err := makeRunDir(path, os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.write(&RunInfo{PID: 1, RunDir: runDir}); err != nil {
		t.Fatal(err)
	}
	if err := dir.lock.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	if _, err := ReadRunInfo(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a run file of the dead: %v", err)
	}
	dir, err = openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close() //nolint:errcheck // a test
	if _, err := os.Stat(runDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old socket folder is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(path, runInfoName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old run file is still there: %v", err)
	}
}

func TestHostileRunInfo(t *testing.T) {
	victim := t.TempDir()
	for name, text := range map[string]string{
		"another folder":   `{"runDir":"` + victim + `"}`,
		"a way around":     `{"runDir":"` + victim + `/holdfast-1/.."}`,
		"not JSON":         `{`,
		"a duplicate name": `{"runDir":"a","runDir":"b"}`,
		"far too long":     strings.Repeat(" ", maxRunInfo+1),
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			if err := os.WriteFile(filepath.Join(path, runInfoName), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			dir, err := openStateDir(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := dir.close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(victim); err != nil {
				t.Errorf("the folder that the run file names was removed: %v", err)
			}
		})
	}
}

func TestRunDirFitsSockets(t *testing.T) {
	state, err := os.MkdirTemp("", "s") // t.TempDir has too long a path
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(state) //nolint:errcheck // a test
	short, err := makeRunDir(state, os.TempDir())
	if err != nil || short != filepath.Join(state, runDirName) {
		t.Fatalf("%s, %v", short, err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	other, err := makeRunDir(long, long)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(other) //nolint:errcheck // a test
	for _, dir := range []string{short, other} {
		if n := len(dir) + 1 + longestSocket; n > maxSocketPath {
			t.Errorf("%s leaves no room for sockets: %d bytes", dir, n)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s is open to others: %v, %v", dir, info.Mode(), err)
		}
	}
	if !ownRunDir(other, long) || ownRunDir("/", long) || ownRunDir("holdfast-x", long) {
		t.Error("a run folder is not told from others")
	}
}
