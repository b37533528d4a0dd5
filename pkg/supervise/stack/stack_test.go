package stack_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

func TestMain(m *testing.M) {
	if envoy := os.Getenv(aloneEnvoy); envoy != "" {
		os.Exit(aloneChild(envoy))
	}
	goleak.VerifyTestMain(m)
}

// getOrder calls the tool once and returns the answer's headers and body.
func getOrder(t *testing.T, url, call string) (http.Header, string) {
	t.Helper()
	message := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"},"_meta":{"shopmax/call":"` + call + `"}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header, string(body)
}

// TestStack starts everything, twice at the same time and on free ports, and
// uses each lever that tests and the demo have.
func TestStack(t *testing.T) {
	died := make(chan supervise.Event, 100)
	running := stacktest.Start(t, stack.Options{OnEvent: func(e supervise.Event) { died <- e }, EnvoyConcurrency: 1})
	other := stacktest.Start(t, stack.Options{Processors: 1, EnvoyConcurrency: 1})
	info := running.Info()
	if info.Gateway == other.Info().Gateway {
		t.Errorf("two stacks on one address: %s", info.Gateway)
	}
	url := info.Endpoints["orders"]
	headers, body := getOrder(t, url, "first")
	if headers.Get(names.HeaderRegion) != "asia-south1" || !strings.Contains(body, "SHIPPED") {
		t.Errorf("%v\n%s", headers, body)
	}
	t.Run("faults", func(t *testing.T) {
		stacktest.SetFaults(t, running, "primary-mumbai", demo.Faults{Mode: demo.FaultRPCError})
		headers, body := getOrder(t, url, "faulty")
		if headers.Get(names.HeaderRegion) != "asia-south2" || headers.Get(names.HeaderAttempts) != "2" {
			t.Errorf("%v\n%s", headers, body)
		}
	})
	t.Run("journals", func(t *testing.T) {
		counts, err := demo.CountByCall(stacktest.Journals(t, running)...)
		if err != nil || counts["first"] != 1 || counts["faulty"] != 1 {
			t.Errorf("%v, %v", counts, err)
		}
	})
	t.Run("one state folder, one stack", func(t *testing.T) {
		root := stacktest.Root(t)
		_, err := stack.Start(t.Context(), stack.Options{Config: root + "/examples/shopmax", State: stateOf(t, info)})
		var locked *stack.LockedError
		if !errors.As(err, &locked) || locked.PID != os.Getpid() {
			t.Errorf("a second stack: %v", err)
		}
	})
	t.Run("a dead control plane comes back", func(t *testing.T) {
		xds := stacktest.Child(t, running, "xds")
		if err := xds.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for _, want := range []supervise.Kind{supervise.Died, supervise.Restarted} {
			select {
			case e := <-died:
				if e.Child != "xds" || e.Kind != want {
					t.Errorf("event %+v, want %s", e, want)
				}
			case <-time.After(time.Minute):
				t.Fatalf("no event %s within a minute", want)
			}
		}
	})
	t.Run("control", func(t *testing.T) {
		remote := supervise.Remote{Socket: info.Control}
		if _, err := remote.Do(t.Context(), "primary-mumbai", supervise.ActionKill); err != nil {
			t.Fatal(err)
		}
		if headers, body := getOrder(t, url, "second"); headers.Get(names.HeaderVia) != "standby-delhi" {
			t.Errorf("%v\n%s", headers, body)
		}
		if _, err := remote.Do(t.Context(), "primary-mumbai", supervise.ActionStart); err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Do(t.Context(), "envoy", supervise.ActionKill); !errors.Is(err, supervise.ErrRefused) {
			t.Errorf("killing Envoy by remote control: %v", err)
		}
	})
	t.Run("nothing is left", func(t *testing.T) {
		if err := other.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, child := range other.Supervisor().Children() {
			if status := child.Status(); status.State != supervise.StateStopped {
				t.Errorf("%+v", status)
			}
		}
		if _, err := os.Stat(other.Info().RunDir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the sockets are left: %v", err)
		}
	})
}

// stateOf is the state folder of a stack: the one above the journals.
func stateOf(t *testing.T, info stack.RunInfo) string {
	t.Helper()
	state, _, ok := strings.Cut(info.Demo["primary-mumbai"].Journal, "/journals/")
	if !ok {
		t.Fatalf("the journal is at %s", info.Demo["primary-mumbai"].Journal)
	}
	return state
}

// TestStartFails: what cannot start is said with its last words, and nothing is left.
func TestStartFails(t *testing.T) {
	programs := stacktest.Programs(t)
	programs.Envoy = stacktest.Envoy(t)
	programs.XDS = "/bin/false"
	root := stacktest.Root(t)
	state := t.TempDir()
	_, err := stack.Start(t.Context(), stack.Options{
		Config: root + "/examples/shopmax", State: state, Temp: os.TempDir(), Programs: programs,
		Bootstrap: root + "/envoy/bootstrap.yaml", Demo: demo.Places(), AnyPorts: true,
	})
	if err == nil || !strings.Contains(err.Error(), "control plane: starting xds: it ended before it was ready: exit status 1") {
		t.Errorf("it says %v", err)
	}
	if _, err := stack.ReadRunInfo(state); !errors.Is(err, stack.ErrNotRunning) {
		t.Errorf("it counts as running: %v", err)
	}
}
