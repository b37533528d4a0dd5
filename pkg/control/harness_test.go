package control

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/source"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// soon is how long anything that must happen may take.
	soon = time.Minute
	// late is when a node counts as late.
	late = 5 * time.Second
	// quiet is how long nothing must happen to count as nothing.
	quiet = 200 * time.Millisecond
)

// site is a configuration and state directory, over which control planes come and go.
type site struct {
	t             *testing.T
	config, state string
	limit         time.Duration
	silentAfter   time.Duration
	history       int
	check         *revision.EnvoyCheck
	// remap is what the next control plane moves.
	remap map[string]string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, config: filepath.Join(t.TempDir(), "conf"), state: filepath.Join(t.TempDir(), "state"), limit: late}
	if err := os.Mkdir(s.config, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// write replaces the configuration the way an editor does.
func (s *site) write(text string) {
	s.t.Helper()
	tmp := filepath.Join(filepath.Dir(s.config), "new")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(s.config, "holdfast.yaml")); err != nil {
		s.t.Fatal(err)
	}
}

// plane is a running control plane.
type plane struct {
	*Plane
	t       *testing.T
	address string
	stop    func()
}

func (s *site) start() *plane {
	s.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := New(Options{
		ConfigDir: s.config, StateDir: s.state, History: s.history, Limit: s.limit, SilentAfter: s.silentAfter, Check: s.check,
		Compiler: revision.Compiler{Processors: []string{"unix:///run/extproc-1.sock"}, Remap: s.remap},
		Source:   source.Options{Debounce: 5 * time.Millisecond},
		Logger:   slog.New(slog.NewTextHandler(testWriter{s.t}, nil)),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, listener) }()
	running := &plane{Plane: p, t: s.t, address: listener.Addr().String()}
	stopped := false
	running.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				s.t.Errorf("control plane: %v", err)
			}
		case <-time.After(soon):
			s.t.Errorf("control plane does not stop")
		}
	}
	s.t.Cleanup(running.stop)
	return running
}

func (p *plane) dial() *grpc.ClientConn {
	p.t.Helper()
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			p.t.Error(err)
		}
	})
	return conn
}

// until waits for a status.
func (p *plane) until(what string, ok func(status.Status) bool) status.Status {
	p.t.Helper()
	var s status.Status
	waitFor(p.t, what, func() bool {
		s = p.Status()
		return ok(s)
	})
	return s
}

// settled waits until a revision, other than the given one, is with everybody.
func (p *plane) settled(other string) string {
	p.t.Helper()
	s := p.until("a revision that is applied", func(s status.Status) bool {
		return s.Revision != nil && s.Revision.Version != other && s.Revision.Phase == "done" && s.Revision.Active == s.Revision.Version
	})
	return s.Revision.Version
}

func (p *plane) node(id string) status.Node {
	p.t.Helper()
	for _, n := range p.Status().Nodes {
		if n.ID == id {
			return n
		}
	}
	p.t.Fatalf("node %s is not in the status", id)
	return status.Node{}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(soon)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("no %s within %s", what, soon)
		case <-tick.C:
		}
	}
}

// testWriter sends log lines to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// shop is a configuration with knobs.
type shop struct {
	// connectTimeout of the server orders: part of its cluster.
	connectTimeout string
	// endpoint of orders.
	endpoint string
	// to is the server that get_* tools go to.
	to string
	// servers beside orders.
	servers []string
}

func (s shop) yaml() string {
	if s.connectTimeout == "" {
		s.connectTimeout = "1s"
	}
	if s.endpoint == "" {
		s.endpoint = "127.0.0.1:7101"
	}
	if s.to == "" {
		s.to = "orders"
	}
	var b strings.Builder
	server := func(name, address, timeout string) {
		fmt.Fprintf(&b, `
kind: MCPServer
metadata: {name: %s}
spec:
  connectTimeout: %s
  regions:
    - name: asia-south1
      endpoints: [{name: %s-mumbai, address: "%s"}]
---`, name, timeout, name, address)
	}
	server("orders", s.endpoint, s.connectTimeout)
	refs := "{name: orders}"
	for i, name := range s.servers {
		server(name, fmt.Sprintf("127.0.0.1:%d", 7201+i), "1s")
		refs += fmt.Sprintf(", {name: %s}", name)
	}
	fmt.Fprintf(&b, `
kind: MCPRoute
metadata: {name: shop}
spec:
  servers: [%s]
  tools:
    - match: {name: "get_*"}
      safe: true
      to: {server: %s}
`, refs, s.to)
	return b.String()
}
