package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/health"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsage(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "x.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unknown flag", []string{"--nope"}, exitUsage, "--nope"},
		{"argument", []string{"x"}, exitUsage, `"x"`},
		{"no node id", nil, exitUsage, "--node-id"},
		{"log level", []string{"--node-id", "x", "--log-level", "loud"}, exitUsage, "--log-level"},
		{"log format", []string{"--node-id", "x", "--log-format", "xml"}, exitUsage, "--log-format"},
		{"negative drain", []string{"--node-id", "x", "--drain", "-1s"}, exitUsage, "--drain"},
		{"long linger", []string{"--node-id", "x", "--linger", "1h"}, exitUsage, "--linger"},
		{"gc percent", []string{"--node-id", "x", "--gc-percent", "1"}, exitUsage, "--gc-percent"},
		{"procs", []string{"--node-id", "x", "--procs", "-1"}, exitUsage, "--procs"},
		{"not a socket", []string{"--node-id", "x", "--listen", "unix://" + socket}, exitFailure, "no socket"},
		{"relative socket", []string{"--node-id", "x", "--listen", "unix://x.sock"}, exitFailure, "not absolute"},
		{"state is a file", []string{"--node-id", "x", "--state", socket}, exitFailure, "state directory"},
		{"help", []string{"--help"}, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Values that would change the test process are those it has.
			env := func(string) (string, bool) { return "", true }
			var stderr bytes.Buffer
			if code := execute(tt.args, env, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit %d, %q; want %d, %q", code, stderr.String(), tt.code, tt.want)
			}
		})
	}
}

func TestListenOnSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	first, err := listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := listen(t.Context(), "unix://"+path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("listening where somebody listens: %v", err)
	}
	// A process that was killed leaves its file.
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatalf("listening where nobody listens any more: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// plane is a control plane with one policy, and a way to give it.
type plane struct {
	address string
	cache   *cache.LinearCache
	stop    func()
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	policies := cache.NewLinearCache(names.TypeURLRoutePolicy)
	lists := cache.NewLinearCache(names.TypeURLCatalog)
	keys := cache.NewLinearCache(names.TypeURLSessionKeys)
	if err := keys.UpdateResource(names.SessionKeys, &sessionv1.Keys{
		Name: names.SessionKeys, Keys: []*sessionv1.Key{{Id: 1, Secret: bytes.Repeat([]byte{1}, 32), NotBefore: timestamppb.New(time.Unix(1, 0))}},
	}); err != nil {
		t.Fatal(err)
	}
	mux := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches: map[string]cache.Cache{
			names.TypeURLRoutePolicy: policies, names.TypeURLCatalog: lists, names.TypeURLSessionKeys: keys,
			names.TypeURLShares: cache.NewLinearCache(names.TypeURLShares),
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, server.NewServer(ctx, mux, nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	return &plane{address: listener.Addr().String(), cache: policies, stop: func() {
		cancel()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}}
}

func (p *plane) give(t *testing.T) {
	t.Helper()
	action := &policyv1.Action{Route: "r", Server: "orders", Attempts: 1}
	if err := p.cache.UpdateResources(map[string]types.Resource{"shopmax": &policyv1.RoutePolicy{
		Name: "shopmax", Path: "/mcp", Servers: []*policyv1.Server{{Name: "orders"}},
		UnmatchedTool: action, SafeMethod: action, OtherMethod: action, Stream: action, Delete: action,
		Errors: policyv1.ErrorStyle_ERROR_STYLE_MCP, MaxBodyBytes: 1 << 20,
	}}, nil); err != nil {
		t.Fatal(err)
	}
}

// process runs the whole program but for its command line.
type process struct {
	t      *testing.T
	socket string
	http   string
	conn   *grpc.ClientConn
	term   context.CancelFunc
	ended  chan error
}

func startProcess(t *testing.T, s settings) *process {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.http = free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "x.sock")
	s.listen, s.nodeID = "unix://"+socket, "extproc-1"
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{t: t, socket: socket, http: s.http, term: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- run(ctx, s, slog.New(slog.DiscardHandler)) }()
	if p.conn, err = grpc.NewClient(s.listen, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) health() (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
	resp, err := grpc_health_v1.NewHealthClient(p.conn).Check(p.t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return resp.GetStatus(), err
}

// becomes waits for a health status on the health service's own stream.
func (p *process) becomes(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	watch, err := grpc_health_v1.NewHealthClient(p.conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		p.t.Fatal(err)
	}
	for {
		resp, err := watch.Recv()
		if err != nil {
			p.t.Fatalf("waiting for %v: %v", want, err)
		}
		if resp.GetStatus() == want {
			return
		}
	}
}

// get gives the status of a page and its checks that are not healthy.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	code, body := p.page(path)
	var r health.Report
	if err := json.Unmarshal(body, &r); err != nil {
		p.t.Fatal(err)
	}
	var bad []string
	for _, c := range r.Checks {
		if c.State != health.Healthy {
			bad = append(bad, c.Name+" "+string(c.State))
		}
	}
	return code, strings.Join(bad, ", ")
}

func (p *process) page(path string) (int, []byte) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.http+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, body
}

func (p *process) stop() error {
	p.term()
	err := <-p.ended
	return errors.Join(err, p.conn.Close())
}

func TestReadyOnceThereArePolicies(t *testing.T) {
	t.Parallel()
	control := startPlane(t)
	defer control.stop()
	p := startProcess(t, settings{xds: control.address})
	if got, err := p.health(); err != nil || got != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health before there are policies: %v, %v", got, err)
	}
	if code, r := p.get("/ready"); code != http.StatusServiceUnavailable || !strings.HasPrefix(r, "policies unhealthy") {
		t.Errorf("/ready before there are policies: %d, %s", code, r)
	}
	if code, r := p.get("/health"); code != http.StatusTooManyRequests || !strings.HasPrefix(r, "policies unhealthy") {
		t.Errorf("/health before there are policies: %d, %s", code, r)
	}
	control.give(t)
	p.becomes(grpc_health_v1.HealthCheckResponse_SERVING)
	if code, r := p.get("/ready"); code != http.StatusOK || r != "" {
		t.Errorf("/ready: %d, %s", code, r)
	}
	if code, r := p.get("/health"); code != http.StatusOK || r != "" {
		t.Errorf("/health: %d, %s", code, r)
	}
	// This control plane knows nothing of fleets: the processor goes on alone.
	if code, body := p.page("/metrics"); code != http.StatusOK || !strings.Contains(string(body), "holdfast_fleet_connected 0") {
		t.Errorf("/metrics: %d, %s", code, body)
	}
	if err := p.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := os.Lstat(p.socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestStartsWithoutControlPlane(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	control := startPlane(t)
	control.give(t)
	p := startProcess(t, settings{xds: control.address, state: state})
	p.becomes(grpc_health_v1.HealthCheckResponse_SERVING)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	control.stop()
	p = startProcess(t, settings{xds: control.address, state: state})
	p.becomes(grpc_health_v1.HealthCheckResponse_SERVING)
	if code, r := p.get("/ready"); code != http.StatusTooManyRequests || r != "control-plane degraded" {
		t.Errorf("/ready: %d, %s", code, r)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	control := startPlane(t)
	defer control.stop()
	control.give(t)
	p := startProcess(t, settings{xds: control.address, drain: 200 * time.Millisecond, linger: 100 * time.Millisecond})
	p.becomes(grpc_health_v1.HealthCheckResponse_SERVING)
	open := func() extprocv3.ExternalProcessor_ProcessClient {
		ctx := metadata.AppendToOutgoingContext(t.Context(), names.PointKey, names.PointEdge)
		stream, err := extprocv3.NewExternalProcessorClient(p.conn).Process(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	stays := open()
	p.term()
	p.becomes(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	if code, r := p.get("/ready"); code != http.StatusServiceUnavailable || r != "serving unhealthy" {
		t.Errorf("/ready while draining: %d, %s", code, r)
	}
	// Envoy may not have noticed yet: what still comes is served.
	late := open()
	if err := late.Send(&extprocv3.ProcessingRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a message while draining is answered with %v", err)
	}
	if _, err := stays.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream that stays ends with %v", err)
	}
	if err := p.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestTuneLeavesTheEnvironmentItsWord(t *testing.T) {
	t.Parallel()
	asked := map[string]bool{}
	tune(settings{gcPercent: 400, procs: 1}, func(name string) (string, bool) {
		asked[name] = true
		return "x", true
	})
	if !asked["GOGC"] || !asked["GOMAXPROCS"] {
		t.Errorf("asked for %v", asked)
	}
}
