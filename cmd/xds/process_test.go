package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
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

	"connectrpc.com/connect"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
)

// childEnv makes the test binary be xds. Its value bounds how large a file may become, in
// bytes; 0 does not.
const childEnv = "HOLDFAST_XDS_CHILD"

func TestMain(m *testing.M) {
	if limit, ok := os.LookupEnv(childEnv); ok {
		os.Exit(child(limit))
	}
	goleak.VerifyTestMain(m)
}

func child(limit string) int {
	var size uint64
	if _, err := fmt.Sscan(limit, &size); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	if size > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: size}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitFailure
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:])
}

// process is a control plane of its own, started as often as needed.
type process struct {
	t                        *testing.T
	config, state, xds, http string
	client                   *http.Client
	api                      adminv1connect.AdminClient
	// args are more of its command line.
	args   []string
	cmd    *exec.Cmd
	output *bytes.Buffer
}

func newProcess(t *testing.T) *process {
	t.Helper()
	p := &process{t: t, config: t.TempDir(), state: t.TempDir(), xds: freeAddress(t), http: freeAddress(t), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(p.client.CloseIdleConnections)
	p.api = adminv1connect.NewAdminClient(p.client, "http://"+p.http)
	return p
}

// start runs it and waits until it answers.
func (p *process) start(fileLimit uint64) {
	p.t.Helper()
	p.output = &bytes.Buffer{}
	p.cmd = exec.Command(os.Args[0], "--config", p.config, "--state", p.state, "--listen", p.xds, "--admin", p.http, "--processors", "unix:///run/a.sock")
	p.cmd.Args = append(p.cmd.Args, p.args...)
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childEnv, fileLimit))
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.end(syscall.SIGKILL) })
	waitFor(p.t, "answer of the control plane", func() bool {
		_, err := p.api.Status(p.t.Context(), &adminv1.StatusRequest{})
		return err == nil
	})
}

// end stops it, once, and gives what it said.
func (p *process) end(how syscall.Signal) string {
	if p.cmd == nil {
		return ""
	}
	_ = p.cmd.Process.Signal(how)
	_ = p.cmd.Wait()
	p.cmd = nil
	return p.output.String()
}

func (p *process) status() *adminv1.StatusResponse {
	p.t.Helper()
	s, err := p.api.Status(p.t.Context(), &adminv1.StatusRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// stub is an Envoy as far as clusters go: it takes what it is sent, and comes back with
// what it has.
type stub struct {
	t  *testing.T
	mu sync.Mutex
	// versions and timeouts are those of the clusters that it has; responses counts what
	// it was sent that had anything in it.
	versions  map[string]string
	timeouts  map[string]time.Duration
	responses int
}

func newStub(p *process) *stub {
	e := &stub{t: p.t, versions: map[string]string{}, timeouts: map[string]time.Duration{}}
	conn, err := grpc.NewClient(p.xds, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			e.session(ctx, conn)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
		_ = conn.Close()
	})
	return e
}

// session is one stream; it ends with the control plane.
func (e *stub) session(ctx context.Context, conn *grpc.ClientConn) {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return
	}
	for _, typeURL := range []string{resourcev3.ClusterType, resourcev3.ListenerType, resourcev3.RouteType, resourcev3.EndpointType} {
		req := &discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "e1"}, TypeUrl: typeURL}
		if typeURL == resourcev3.ClusterType {
			e.mu.Lock()
			req.InitialResourceVersions = maps.Clone(e.versions)
			e.mu.Unlock()
		}
		if stream.Send(req) != nil {
			return
		}
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return
		}
		e.take(resp)
		if stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}) != nil {
			return
		}
	}
}

func (e *stub) take(resp *discoveryv3.DeltaDiscoveryResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(resp.GetResources())+len(resp.GetRemovedResources()) > 0 {
		e.responses++
	}
	if resp.GetTypeUrl() != resourcev3.ClusterType {
		return
	}
	for _, r := range resp.GetResources() {
		c := &clusterv3.Cluster{}
		if err := r.GetResource().UnmarshalTo(c); err != nil {
			e.t.Error(err)
		}
		e.versions[r.GetName()], e.timeouts[r.GetName()] = r.GetVersion(), c.GetConnectTimeout().AsDuration()
	}
	for _, name := range resp.GetRemovedResources() {
		delete(e.versions, name)
		delete(e.timeouts, name)
	}
}

func (e *stub) timeout(cluster string) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.timeouts[cluster]
}

func (e *stub) received() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.responses
}

// generation is a configuration that a node can tell by its cluster's connect timeout.
func generation(n int, comment string) string {
	return fmt.Sprintf(`%s
kind: MCPServer
metadata: {name: orders}
spec:
  connectTimeout: %dms
  regions: [{name: asia-south1, endpoints: [{address: "127.0.0.1:7101"}]}]
---
kind: MCPRoute
metadata: {name: shop}
spec: {servers: [{name: orders}]}
`, comment, 1000+n)
}

func timeoutOf(n int) time.Duration { return time.Duration(1000+n) * time.Millisecond }

// TestKilledWhileItWrites: whatever the moment, the history ends with a whole revision
// that is at least the last one that a caller was told of, and nodes get it.
func TestKilledWhileItWrites(t *testing.T) {
	p := newProcess(t)
	const kills = 8
	told, tried := 0, 0
	p.start(0)
	e := newStub(p)
	for range kills {
		first := told
		deadline := time.Now().Add(time.Duration(20+rand.IntN(300)) * time.Millisecond)
		var killer *time.Timer
		for {
			tried++
			answer, err := p.api.Apply(t.Context(), &adminv1.ApplyRequest{Documents: generation(tried, ""), Reason: fmt.Sprint(tried)})
			if err != nil {
				break
			}
			told = tried
			if answer.GetRevision().GetReason() != fmt.Sprint(tried) {
				t.Fatalf("answer %v", answer)
			}
			if killer == nil {
				cmd := p.cmd
				killer = time.AfterFunc(time.Until(deadline), func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
			}
		}
		if killer == nil || told == first {
			t.Fatalf("no revision was made: %s", p.end(syscall.SIGKILL))
		}
		if words := p.end(syscall.SIGKILL); strings.Contains(words, "panic") {
			t.Fatal(words)
		}
		p.start(0)
		var is int
		if _, err := fmt.Sscan(p.status().GetRevision().GetReason(), &is); err != nil {
			t.Fatal(err)
		}
		if is != told && is != told+1 || is > tried {
			t.Fatalf("the head is %d; %d was told, %d tried", is, told, tried)
		}
		got, err := p.api.Get(t.Context(), &adminv1.GetRequest{Ref: &adminv1.ResourceRef{Kind: "MCPServer", Name: "orders"}})
		if err != nil || !strings.Contains(got.GetResource().GetYaml(), fmt.Sprintf("connectTimeout: %dms", 1000+is)) {
			t.Fatalf("the head is %d, its content is %v, %v", is, got, err)
		}
		waitFor(t, "the head at the node", func() bool { return e.timeout("orders") == timeoutOf(is) })
		told = is
	}
	if told < 2*kills {
		t.Errorf("only %d revisions were made: the kills came too early to say anything", told)
	}
}

// TestDiskFull: the limit on the size of files stands for a full disk.
func TestDiskFull(t *testing.T) {
	p := newProcess(t)
	p.start(256 << 10)
	e := newStub(p)
	if _, err := p.api.Apply(t.Context(), &adminv1.ApplyRequest{Documents: generation(1, "")}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first revision at the node", func() bool { return e.timeout("orders") == timeoutOf(1) })
	waitFor(t, "rest", func() bool { return p.status().GetRollout().GetPhase() == "done" })
	had := e.received()
	large := generation(2, "# "+strings.Repeat("x", 500<<10))
	for _, atomically := range []bool{false, true} {
		_, err := p.api.Apply(t.Context(), &adminv1.ApplyRequest{Documents: large, Atomic: atomically})
		if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "no space") {
			t.Fatalf("error %v", err)
		}
	}
	if s := p.status(); s.GetRevision().GetNumber() != 1 || s.GetRollout().GetVersion() != s.GetRevision().GetVersion() {
		t.Fatalf("status %v", s)
	}
	// The directory fares no better, and says so.
	other := "# " + strings.Repeat("x", 500<<10) + "\nkind: MCPServer\nmetadata: {name: stock}\nspec: {regions: [{name: asia-south1, endpoints: [{address: \"127.0.0.1:7201\"}]}]}\n"
	if err := os.WriteFile(filepath.Join(p.config, "stock.yaml"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "word of the full disk", func() bool {
		r := p.status().GetRefused()
		return r.GetStanding() && strings.Contains(r.GetError(), "no space")
	})
	if n := e.received(); n != had {
		t.Errorf("the node was sent %d responses", n-had)
	}
	// What fits goes on.
	answer, err := p.api.Apply(t.Context(), &adminv1.ApplyRequest{Documents: generation(3, "")})
	if err != nil || answer.GetRevision().GetNumber() != 2 {
		t.Fatalf("answer %v, %v", answer, err)
	}
	waitFor(t, "the next revision at the node", func() bool { return e.timeout("orders") == timeoutOf(3) })
}

// TestInterruptedApply: a connection that breaks in the middle of a request changes
// nothing, and leaves the turn to others.
func TestInterruptedApply(t *testing.T) {
	p := newProcess(t)
	p.start(0)
	if _, err := p.api.Apply(t.Context(), &adminv1.ApplyRequest{Documents: generation(1, "")}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		reader, writer := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.http+adminv1connect.AdminApplyProcedure, reader)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		failed := make(chan error, 1)
		go func() {
			resp, err := p.client.Do(req)
			if err == nil {
				err = errors.Join(fmt.Errorf("status %s", resp.Status), resp.Body.Close())
			}
			failed <- err
		}()
		if _, err := writer.Write([]byte(`{"documents": "kind: MCPServer\nmetadata: {name: half`)); err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = writer.CloseWithError(context.Canceled)
		if err := <-failed; err == nil {
			t.Fatal("half a request was answered")
		}
	}
	if n := p.status().GetRevision().GetNumber(); n != 1 {
		t.Fatalf("the head is %d", n)
	}
	if _, err := p.api.Apply(t.Context(), &adminv1.ApplyRequest{Documents: generation(2, ""), BaseRevision: 1}); err != nil {
		t.Fatal(err)
	}
}
