package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	b := Backoff{Min: 100 * time.Millisecond, Max: time.Second}.withDefaults()
	for n, want := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
		if got := b.wait(n); got != want*time.Millisecond {
			t.Errorf("wait %d is %s, want %d ms", n, got, want)
		}
	}
	if got := b.wait(1_000_000); got != time.Second {
		t.Errorf("after a million deaths: %s", got)
	}
}

func TestSpecRefused(t *testing.T) {
	for _, name := range []string{"", "../x", "A", "a b", strings.Repeat("a", 65)} {
		if _, err := (Spec{Name: name, Path: "/bin/true"}).withDefaults(""); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
	if _, err := (Spec{Name: "a"}).withDefaults(""); err == nil {
		t.Error("a child without a program is taken")
	}
}

// TestLastWordsAreOfOneLife: what an earlier process said explains no later death.
func TestLastWordsAreOfOneLife(t *testing.T) {
	l := newChildLog(filepath.Join(t.TempDir(), "x.log"), 1<<20)
	defer l.close()
	l.begin()
	_, _ = l.Write([]byte("first\nhalf a"))
	if got := l.tail(8); !slices.Equal(got, []string{"first", "half a"}) {
		t.Errorf("the first life: %q", got)
	}
	l.begin()
	if got := l.tail(8); len(got) != 0 {
		t.Errorf("a life without a word: %q", got)
	}
	_, _ = l.Write([]byte("second\n"))
	if got := l.tail(8); !slices.Equal(got, []string{"second"}) {
		t.Errorf("the second life: %q", got)
	}
	file, err := os.ReadFile(l.path)
	if err != nil || !strings.Contains(string(file), "first") || !strings.Contains(string(file), "second") {
		t.Errorf("the file: %q, %v", file, err)
	}
}

func TestLogRemembersTheLast(t *testing.T) {
	l := newChildLog(filepath.Join(t.TempDir(), "x.log"), 1<<20)
	defer l.close()
	for i := range ringLines + 5 {
		if _, err := fmt.Fprintf(l, "line %d\r\n", i); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = l.Write([]byte("unfinished \xff"))
	got := l.tail(3)
	want := []string{fmt.Sprintf("line %d", ringLines+3), fmt.Sprintf("line %d", ringLines+4), "unfinished ?"}
	if !slices.Equal(got, want) {
		t.Errorf("tail %q, want %q", got, want)
	}
	if n := len(l.tail(10 * ringLines)); n != ringLines+1 {
		t.Errorf("it remembers %d lines", n)
	}
	_, _ = l.Write([]byte(strings.Repeat("x", 10*ringLineBytes) + "\nnext\n"))
	got = l.tail(2)
	if len(got[0]) != ringLineBytes || got[1] != "next" {
		t.Errorf("a long line: %d bytes, then %q", len(got[0]), got[1])
	}
}

func TestLogFileIsMovedAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	l := newChildLog(path, 10)
	for _, line := range []string{"first\n", "second\n", "third\n"} {
		_, _ = l.Write([]byte(line))
	}
	l.close()
	for name, want := range map[string]string{path: "third\n", path + ".1": "second\n"} {
		if text, err := os.ReadFile(name); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v", filepath.Base(name), text, err)
		}
	}
}

func TestLogThatCannotBeWritten(t *testing.T) {
	l := newChildLog(filepath.Join(t.TempDir(), "missing", "x.log"), 10)
	for range 3 {
		if n, err := l.Write([]byte("text\n")); n != 5 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	got := l.tail(10)
	if len(got) != 4 || !strings.Contains(got[0], "cannot be written") {
		t.Errorf("it remembers %q", got)
	}
}

func TestPorts(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close() //nolint:errcheck // a test
	var ports Ports
	defer ports.Close()
	got, moved, err := ports.Reserve(busy.Addr().String())
	if err != nil || !moved || got == busy.Addr().String() {
		t.Fatalf("a busy port: %s, moved %v, %v", got, moved, err)
	}
	again, moved, err := ports.Reserve(got)
	if err != nil || !moved || again == got {
		t.Errorf("a reserved port is given out twice: %s, %v, %v", again, moved, err)
	}
	ports.Release(got, "127.0.0.1:1")
	free, moved, err := ports.Reserve(got)
	if err != nil || moved || free != got {
		t.Errorf("a released port: %s, moved %v, %v", free, moved, err)
	}
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "192.0.2.1:0"} {
		if got, _, err := ports.Reserve(bad); err == nil {
			t.Errorf("%q is reserved as %s", bad, got)
		}
	}
}

// TestPortsMoveByTens looks for the promise that a busy 10000 becomes 10010, on
// whatever ports are free here.
func TestPortsMoveByTens(t *testing.T) {
	var ports Ports
	defer ports.Close()
	for range 20 {
		first, _, err := ports.Reserve("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		second, moved, err := ports.Reserve(first)
		if err != nil || !moved {
			t.Fatalf("%s, moved %v, %v", second, moved, err)
		}
		if port(t, second) == port(t, first)+portStep {
			return
		}
	}
	t.Error("of twenty busy ports none was moved by ten")
}

func port(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReapedProcessIsNotSignalled(t *testing.T) {
	s := newSpawner()
	defer s.close()
	p, err := startProcess(s, Spec{Path: "/bin/true"}, newChildLog(filepath.Join(t.TempDir(), "x"), 10))
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := p.signal(syscall.SIGTERM, true); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signalling it: %v", err)
	}
}

// TestAnyPortIsKept: what was any free port is given out once, though nobody listens there yet, and is not
// among those that connections get.
func TestAnyPortIsKept(t *testing.T) {
	var ports Ports
	defer ports.Close()
	given := map[string]bool{}
	for range 50 {
		address, moved, err := ports.Reserve("127.0.0.1:0")
		if err != nil || moved || given[address] || port(t, address) >= anyPortFirst+anyPortCount {
			t.Fatalf("%s, moved %v, %v", address, moved, err)
		}
		given[address] = true
	}
	ports.ReleaseAll()
	for address := range given {
		if mark, err := net.ListenPacket("udp", address); err == nil {
			_ = mark.Close()
			t.Fatalf("%s may be given out again", address)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("nobody can listen at %s: %v", address, err)
		}
		_ = listener.Close()
	}
	ports.Close()
	for address := range given {
		mark, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatalf("%s stays given out: %v", address, err)
		}
		_ = mark.Close()
	}
}
