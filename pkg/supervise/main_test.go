package supervise_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// helperMode selects what this test binary does when it is run as a child.
const helperMode = "HOLDFAST_SUPERVISE_HELPER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperMode); mode != "" {
		os.Exit(helper(mode, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// helper is the child program of these tests. Its arguments depend on the mode.
func helper(mode string, args []string) int {
	switch mode {
	case "serve": // address: answers HTTP there until SIGTERM
		return serveHelper(args[0], false)
	case "stubborn": // address: the same, deaf to SIGTERM
		return serveHelper(args[0], true)
	case "fail": // text, status: says text and ends
		fmt.Println(args[0])
		fmt.Fprintln(os.Stderr, "and on standard error")
		return 7
	case "mute": // says nothing, serves nothing, until it is killed
		return forever()
	case "family": // address: serves in a child of its own
		return familyHelper(args[0])
	case "supervisor": // log folder, address: supervises a server for ever
		return supervisorHelper(args[0], args[1])
	}
	fmt.Fprintln(os.Stderr, "unknown mode", mode)
	return 2
}

func serveHelper(address string, deaf bool) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("serving on", address)
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:gosec // a test
			fmt.Fprintln(w, os.Getpid())
		}))
	}()
	for range stop {
		if deaf {
			fmt.Println("not listening to signals")
			continue
		}
		fmt.Println("stopping")
		return 0
	}
	return 1
}

func familyHelper(address string) int {
	child := exec.Command(os.Args[0], address)
	child.Env = append(os.Environ(), helperMode+"=serve")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return forever()
}

func supervisorHelper(logDir, address string) int {
	s, err := supervise.New(supervise.Options{LogDir: logDir})
	if err == nil {
		err = s.Start(context.Background(), spec("child", "serve", address))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	return forever()
}

// spec runs this test binary in a helper mode; it is ready when address answers.
func spec(name, mode, address string, more ...string) supervise.Spec {
	s := supervise.Spec{
		Name: name, Path: os.Args[0], Args: append([]string{address}, more...),
		Env: append(os.Environ(), helperMode+"="+mode),
	}
	if strings.Contains(address, ":") {
		s.Ready = []supervise.Probe{supervise.HTTPProbe("http://" + address + "/")}
	}
	return s
}

// events collects what a Supervisor reports.
type events struct {
	mu   sync.Mutex
	list []supervise.Event
	more chan struct{}
}

func newEvents() *events { return &events{more: make(chan struct{}, 1000)} }

func (e *events) add(one supervise.Event) {
	e.mu.Lock()
	e.list = append(e.list, one)
	e.mu.Unlock()
	e.more <- struct{}{}
}

// await returns the first event of the kind for the child, waiting for it.
func (e *events) await(t *testing.T, child string, kind supervise.Kind) supervise.Event {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		e.mu.Lock()
		for _, one := range e.list {
			if one.Child == child && one.Kind == kind {
				e.mu.Unlock()
				return one
			}
		}
		e.mu.Unlock()
		select {
		case <-e.more:
		case <-deadline:
			t.Fatalf("no event %q of %s within 20 s; events: %+v", kind, child, e.list)
		}
	}
}

// order is the children of the events of one kind.
func (e *events) order(kind supervise.Kind) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, one := range e.list {
		if one.Kind == kind {
			out = append(out, one.Child)
		}
	}
	return out
}

func newSupervisor(t *testing.T, onEvent func(supervise.Event)) (*supervise.Supervisor, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := supervise.New(supervise.Options{
		LogDir: filepath.Join(dir, "logs"), OnEvent: onEvent,
		Backoff: supervise.Backoff{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, filepath.Join(dir, "logs")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	var ports supervise.Ports
	t.Cleanup(ports.Close)
	address, _, err := ports.Reserve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ports.ReleaseAll()
	return address
}

// firstLine reads one line of r.
func firstLine(t *testing.T, r io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("reading a line: %v", err)
	}
	return strings.TrimSpace(line)
}

// forever waits until the process is killed. The runtime ends a program in which nothing can
// happen any more (without cgo), so an empty select would not do.
func forever() int {
	for range time.Tick(time.Hour) {
	}
	return 1
}
