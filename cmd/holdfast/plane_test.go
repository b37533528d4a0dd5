package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
)

// plane is a control plane that answers as a test tells it.
type plane struct {
	adminv1connect.UnimplementedAdminHandler
	url string

	mu      sync.Mutex
	applied []*adminv1.ApplyRequest
	rolled  []*adminv1.RollbackRequest
	diffed  []*adminv1.DiffRequest

	apply      *adminv1.ApplyResponse
	diff       string
	resources  []*adminv1.Resource
	revisions  []*adminv1.Revision
	node       *adminv1.GetNodeResponse
	breakers   *adminv1.ListBreakersResponse
	held       []*adminv1.SetBreakerRequest
	drains     []*adminv1.Drain
	drained    []*adminv1.SetDrainRequest
	failedBack []*adminv1.FailbackRequest
	promoted   []*adminv1.PromoteRequest
	purged     []*adminv1.PurgeCacheRequest
	health     *adminv1.GetHealthResponse
	report     *adminv1.GetReportResponse
	reported   []*adminv1.GetReportRequest
	// statuses are sent one after the other to who watches; the first one to who asks.
	statuses []*adminv1.StatusResponse
	// refuse every call.
	refuse error
}

// startPlane serves p until the test ends.
func startPlane(t *testing.T, p *plane) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminHandler(p))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
}

func (p *plane) Apply(_ context.Context, req *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = append(p.applied, req)
	return p.apply, p.refuse
}

func (p *plane) Rollback(_ context.Context, req *adminv1.RollbackRequest) (*adminv1.ApplyResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rolled = append(p.rolled, req)
	return p.apply, p.refuse
}

func (p *plane) Diff(_ context.Context, req *adminv1.DiffRequest) (*adminv1.DiffResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.diffed = append(p.diffed, req)
	return &adminv1.DiffResponse{Diff: p.diff}, p.refuse
}

func (p *plane) Get(_ context.Context, req *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	for _, r := range p.resources {
		if r.GetKind() == req.GetRef().GetKind() && r.GetName() == req.GetRef().GetName() {
			return &adminv1.GetResponse{Resource: r, Revision: 12}, p.refuse
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, errors.New("no such resource: "+req.GetRef().GetKind()+"/"+req.GetRef().GetName()))
}

func (p *plane) List(_ context.Context, req *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	out := &adminv1.ListResponse{Revision: 12}
	for _, r := range p.resources {
		if req.GetKind() == "" || r.GetKind() == req.GetKind() {
			out.Resources = append(out.Resources, r)
		}
	}
	return out, nil
}

func (p *plane) History(_ context.Context, req *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	out := &adminv1.HistoryResponse{}
	for _, r := range p.revisions {
		if (req.GetBefore() == 0 || r.GetNumber() < req.GetBefore()) && len(out.Revisions) < int(req.GetLimit()) {
			out.Revisions = append(out.Revisions, r)
		}
	}
	return out, p.refuse
}

func (p *plane) Status(context.Context, *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	if p.refuse != nil {
		return nil, p.refuse
	}
	return p.statuses[0], nil
}

func (p *plane) Watch(ctx context.Context, _ *adminv1.WatchRequest, stream *connect.ServerStream[adminv1.StatusResponse]) error {
	if p.refuse != nil {
		return p.refuse
	}
	for _, s := range p.statuses {
		if err := stream.Send(s); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (p *plane) GetNode(_ context.Context, req *adminv1.GetNodeRequest) (*adminv1.GetNodeResponse, error) {
	if p.node.GetNode().GetId() != req.GetId() {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no node "+req.GetId()+" is connected"))
	}
	return p.node, nil
}

func (p *plane) ListBreakers(context.Context, *adminv1.ListBreakersRequest) (*adminv1.ListBreakersResponse, error) {
	return p.breakers, p.refuse
}

func (p *plane) SetBreaker(_ context.Context, req *adminv1.SetBreakerRequest) (*adminv1.SetBreakerResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, req)
	return &adminv1.SetBreakerResponse{Breakers: p.breakers.GetBreakers()}, p.refuse
}

func (p *plane) PurgeCache(_ context.Context, req *adminv1.PurgeCacheRequest) (*adminv1.PurgeCacheResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.purged = append(p.purged, req)
	return &adminv1.PurgeCacheResponse{Serial: 7, Processors: []string{"extproc-1", "extproc-2"}}, p.refuse
}

// fakeEnvoy answers as an Envoy's admin interface does.
func fakeEnvoy(t *testing.T) string {
	t.Helper()
	answers := map[string]string{
		"/server_info": `{"version":"x","node":{"id":"envoy-mumbai-1"}}`,
		"/clusters": `{"cluster_statuses":[{"name":"orders","host_statuses":[
			{"address":{"socket_address":{"address":"127.0.0.1","port_value":7101}},"health_status":{"failed_outlier_check":true,"eds_health_status":"HEALTHY"},"locality":{"region":"asia-south1"}},
			{"address":{"socket_address":{"address":"127.0.0.1","port_value":7102}},"health_status":{"eds_health_status":"HEALTHY"},"locality":{"region":"asia-south2"}}]}]}`,
		"/config_dump": `{"configs":[
			{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":[
				{"version_info":"c1","cluster":{"name":"orders","type":"EDS"}},{"version_info":"c0","cluster":{"name":"old","type":"EDS"}}]},
			{"@type":"type.googleapis.com/envoy.admin.v3.EndpointsConfigDump","dynamic_endpoint_configs":[{"endpoint_config":{"cluster_name":"orders@1"}}]},
			{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamic_listeners":[{"name":"holdfast","active_state":{"version_info":"l0"},"error_state":{"details":"no such filter"}}]}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// varying is what differs from run to run in what commands say.
var varying = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`http://127\.0\.0\.1:\d{4,5}`), "http://SERVER"},
	{regexp.MustCompile(`\b\d+\.\d s\b`), "N.N s"},
	{regexp.MustCompile(`"(started|time|since|connectedSince|at|silentSince|retryAt|until|sessionsUntil)": "[^"]*"`), `"$1": "TIME"`},
	{regexp.MustCompile(`\b(started|time|since|connectedSince|at|silentSince|retryAt|until|sessionsUntil): "[^"]*"`), `$1: TIME`},
	{regexp.MustCompile(`\d\d:\d\d:\d\d  `), "HH:MM:SS  "},
}

func stable(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.as)
	}
	return text
}

// ask runs a command line against a plane.
func ask(t *testing.T, p *plane, stdin string, args ...string) outcome {
	t.Helper()
	return askUntil(t.Context(), p, stdin, args...)
}

func askUntil(ctx context.Context, p *plane, stdin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	env := testEnvironment(stdin, &stdout, &stderr, map[string]string{"HOME": "/home/you", "USER": "akhil"})
	code := run(ctx, append(args, "--server", p.url), env)
	return outcome{code, stdout.String(), stderr.String()}
}

// apiGolden compares with a file under testdata/api.
func apiGolden(t *testing.T, name string, got outcome) {
	t.Helper()
	golden(t, filepath.Join("api", name), stable(got.text()))
}

// sameMessage compares messages.
func sameMessage(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("it asks\n%v, want\n%v", got, want)
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *plane) GetHealth(_ context.Context, req *adminv1.GetHealthRequest) (*adminv1.GetHealthResponse, error) {
	if p.health == nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("nothing is measured"))
	}
	if req.GetServer() != p.health.GetServer() {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such server"))
	}
	return p.health, nil
}

func (p *plane) GetReport(_ context.Context, req *adminv1.GetReportRequest) (*adminv1.GetReportResponse, error) {
	p.reported = append(p.reported, req)
	return p.report, p.refuse
}

func (p *plane) Failback(_ context.Context, req *adminv1.FailbackRequest) (*adminv1.FailbackResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failedBack = append(p.failedBack, req)
	return &adminv1.FailbackResponse{Regions: []string{"asia-south1"}}, p.refuse
}

func (p *plane) Promote(_ context.Context, req *adminv1.PromoteRequest) (*adminv1.ApplyResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.promoted = append(p.promoted, req)
	return p.apply, p.refuse
}

func (p *plane) ListDrains(context.Context, *adminv1.ListDrainsRequest) (*adminv1.ListDrainsResponse, error) {
	return &adminv1.ListDrainsResponse{Drains: p.drains}, p.refuse
}

func (p *plane) SetDrain(_ context.Context, req *adminv1.SetDrainRequest) (*adminv1.SetDrainResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drained = append(p.drained, req)
	return &adminv1.SetDrainResponse{Drains: p.drains}, p.refuse
}
