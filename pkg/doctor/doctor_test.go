package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
	"github.com/holdfast-mcp/holdfast/pkg/doctor"
	"github.com/holdfast-mcp/holdfast/pkg/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is a set-up that is well, for tests to make ill.
type patient struct {
	setup   *doctor.Setup
	status  *adminv1.StatusResponse
	refused error
	checks  []health.Check
	metrics string
	envoy   *httptest.Server
	gateway http.Handler
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "get_order"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{}, nil, nil
	})
	p := &patient{
		metrics: "process_open_fds 12\nprocess_max_fds 65536\nholdfast_spans_dropped_total 0\n",
		checks:  []health.Check{health.Of("policies", true, "", ""), health.Of("redis", true, "", "")},
		gateway: mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true}),
	}
	serve := func(h http.HandlerFunc) *httptest.Server {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s
	}
	gateway := serve(func(w http.ResponseWriter, r *http.Request) { p.gateway.ServeHTTP(w, r) })
	program := serve(func(w http.ResponseWriter, r *http.Request) {
		mux := http.NewServeMux()
		health.Mount(mux, func() []health.Check { return p.checks })
		mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, p.metrics) })
		mux.ServeHTTP(w, r)
	})
	p.envoy = serve(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"node":{"id":"envoy-1"}}`) })
	jaeger := serve(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[]}`) })
	endpoint := serve(func(http.ResponseWriter, *http.Request) {})
	host := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	admin, err := envoyadmin.New(host(p.envoy))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	synced := func(kind, id string) *adminv1.Node {
		return &adminv1.Node{Kind: kind, Id: id, Sync: "synced", Types: map[string]*adminv1.NodeType{"policies": {Acked: "v1"}}}
	}
	p.status = &adminv1.StatusResponse{
		Ready: true, Revision: &adminv1.Revision{Number: 3},
		Nodes: []*adminv1.Node{synced("envoy", "envoy-1"), synced("extproc", "extproc-1"), synced("extproc", "extproc-2")},
		Servers: []*adminv1.Server{{Name: "orders", Regions: []*adminv1.Region{{Endpoints: []*adminv1.Endpoint{
			{Name: "mumbai", Address: host(endpoint), Health: []*adminv1.EndpointHealth{{State: "healthy", Node: "envoy-1"}}}, {Name: "delhi", Address: host(endpoint)},
		}}}}},
		Routes: []*adminv1.Route{{Name: "shopmax", Path: "/mcp"}},
	}
	transport := &http.Transport{DisableKeepAlives: true}
	p.setup = &doctor.Setup{
		Gateway: host(gateway), Envoys: []*envoyadmin.Client{admin}, PlaneAddress: host(program), Processors: []string{host(program)},
		Plane:  func(context.Context) (*adminv1.StatusResponse, error) { return p.status, p.refused },
		Traces: jaeger.URL, HTTP: &http.Client{Transport: transport, Timeout: time.Minute}, Now: time.Now,
	}
	return p
}

func (p *patient) examine(t *testing.T) []doctor.Finding {
	t.Helper()
	var out []doctor.Finding
	p.setup.Examine(t.Context(), func(f doctor.Finding) { out = append(out, f) })
	return out
}

// TestWell: of a set-up that is well everything is looked at, and nothing found.
func TestWell(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range newPatient(t).examine(t) {
		seen[f.Check] = true
		if f.State != doctor.OK || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{"gateway", "envoy", "control plane", "xds", "processors", "redis", "policies", "servers", "handshake", "traces", "clocks", "files"} {
		if !seen[check] {
			t.Errorf("%s is not looked at", check)
		}
	}
}

// TestIll: each fault is found, in the words of the part that has it, and with something to do.
func TestIll(t *testing.T) {
	nobody := func(t *testing.T) string {
		t.Helper()
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return l.Addr().String()
	}
	unhealthy := []*adminv1.EndpointHealth{{State: envoyadmin.Unhealthy, By: "health check", Node: "envoy-1"}}
	for name, c := range map[string]struct {
		harm  func(*patient)
		check string
		state doctor.State
		says  string
	}{
		"no gateway":        {func(p *patient) { p.setup.Gateway = nobody(t) }, "gateway", doctor.Fail, "connection refused"},
		"no Envoy admin":    {func(p *patient) { p.envoy.Close() }, "envoy", doctor.Fail, "connection refused"},
		"unknown Envoy":     {func(p *patient) { p.setup.Envoys = nil }, "envoy", doctor.Warn, "no admin interface"},
		"no control plane":  {func(p *patient) { p.refused = errors.New("nobody there") }, "control plane", doctor.Fail, "nobody there"},
		"no configuration":  {func(p *patient) { p.status.Ready, p.status.Reason = false, "no valid configuration" }, "control plane", doctor.Fail, "no valid configuration"},
		"mistakes in files": {func(p *patient) { p.status.Refused = &adminv1.Refused{Standing: true, Error: "a.yaml:1:2: x\nmore"} }, "control plane", doctor.Fail, "a.yaml:1:2: x"},
		"disk full":         {func(p *patient) { p.status.Problems = []string{"no space"} }, "control plane", doctor.Fail, "no space"},
		"a NACK": {func(p *patient) {
			p.status.Nodes[0].Sync, p.status.Nodes[0].Nack = "rejected", &adminv1.Nack{Detail: "bad regex"}
		}, "xds", doctor.Fail, "bad regex"},
		"silence":             {func(p *patient) { p.status.Nodes[0].Sync = "silent" }, "xds", doctor.Fail, "neither yes nor no"},
		"an answer is due":    {func(p *patient) { p.status.Nodes[1].Sync = "pending" }, "xds", doctor.Warn, "extproc-1"},
		"no processor":        {func(p *patient) { p.status.Nodes = p.status.Nodes[:1] }, "xds", doctor.Fail, "no extproc"},
		"no Envoy":            {func(p *patient) { p.status.Nodes = p.status.Nodes[1:] }, "xds", doctor.Fail, "no envoy"},
		"two sets":            {func(p *patient) { p.status.Nodes[2].Types["policies"].Acked = "v0" }, "policies", doctor.Warn, "2 different"},
		"a processor is gone": {func(p *patient) { p.setup.Processors = []string{nobody(t)} }, "processors", doctor.Fail, "connection refused"},
		"it waits":            {func(p *patient) { p.checks[0] = health.Of("policies", false, health.Unhealthy, "waiting") }, "processors", doctor.Fail, "waiting"},
		"Redis is away":       {func(p *patient) { p.checks[1] = health.Of("redis", false, health.Degraded, "away") }, "redis", doctor.Warn, "away"},
		"an endpoint is down": {func(p *patient) { p.status.Servers[0].Regions[0].Endpoints[1].Address = nobody(t) }, "servers", doctor.Warn, "delhi"},
		"all are": {func(p *patient) {
			for _, e := range p.status.GetServers()[0].GetRegions()[0].GetEndpoints() {
				e.Health = unhealthy
			}
		}, "servers", doctor.Fail, "unhealthy by health check of envoy-1"},
		"no handshake":  {func(p *patient) { p.gateway = http.NotFoundHandler() }, "handshake", doctor.Fail, "connecting"},
		"no token":      {func(p *patient) { p.gateway = status(http.StatusUnauthorized) }, "handshake", doctor.Fail, "Unauthorized"},
		"no Jaeger":     {func(p *patient) { p.setup.Traces = "http://" + nobody(t) }, "traces", doctor.Warn, "connection refused"},
		"lost spans":    {func(p *patient) { p.metrics += "holdfast_spans_dropped_total 7\n" }, "traces", doctor.Warn, "7 spans"},
		"clock, a bit":  {func(p *patient) { p.setup.Now = func() time.Time { return time.Now().Add(-10 * time.Second) } }, "clocks", doctor.Warn, "off by"},
		"clock, a lot":  {func(p *patient) { p.setup.Now = func() time.Time { return time.Now().Add(time.Hour) } }, "clocks", doctor.Fail, "off by"},
		"few files":     {func(p *patient) { p.metrics = "process_open_fds 12\nprocess_max_fds 1024\n" }, "files", doctor.Warn, "1024"},
		"files run out": {func(p *patient) { p.metrics = "process_open_fds 60000\nprocess_max_fds 65536\n" }, "files", doctor.Fail, "60000 of 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			c.harm(p)
			for _, f := range p.examine(t) {
				if f.Check == c.check && f.State == c.state && strings.Contains(f.Message, c.says) {
					if f.Fix == "" {
						t.Error("nothing is said of what to do")
					}
					return
				}
			}
			t.Errorf("not found: %+v", p.examine(t))
		})
	}
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}
