package policy

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// controlPlane is a scripted delta ADS server: every stream is handed to the test.
type controlPlane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	policyv1.UnimplementedCatalogServer
	streams chan *adsStream
	reports chan *policyv1.ReportRequest
}

type adsStream struct {
	t    *testing.T
	ads  discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	reqs chan *discoveryv3.DeltaDiscoveryRequest
	done chan error
}

func (p *controlPlane) DeltaAggregatedResources(ads discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	s := &adsStream{ads: ads, reqs: make(chan *discoveryv3.DeltaDiscoveryRequest, 100), done: make(chan error, 1)}
	received := make(chan error, 1)
	go func() {
		for {
			req, err := ads.Recv()
			if err != nil {
				received <- err
				return
			}
			s.reqs <- req
		}
	}()
	p.streams <- s
	select {
	case err := <-s.done:
		return err
	case err := <-received:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

func (p *controlPlane) Report(_ context.Context, req *policyv1.ReportRequest) (*policyv1.ReportResponse, error) {
	p.reports <- req
	return &policyv1.ReportResponse{}, nil
}

// start serves p and returns a connection to it; stop ends both.
func start(t *testing.T, register func(*grpc.Server)) (conn *grpc.ClientConn, stop func()) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func newControlPlane(t *testing.T) (*controlPlane, *grpc.ClientConn, func()) {
	t.Helper()
	p := &controlPlane{streams: make(chan *adsStream, 10), reports: make(chan *policyv1.ReportRequest, 10)}
	conn, stop := start(t, func(s *grpc.Server) {
		discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, p)
		policyv1.RegisterCatalogServer(s, p)
	})
	return p, conn, stop
}

// running starts a client; stop waits until it has ended.
func running(t *testing.T, opts Options) (c *Client, stop func()) {
	t.Helper()
	opts.Node = Node{ID: "extproc-1", Cluster: "holdfast-extproc", Region: "asia-south1"}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// subscribed takes the subscriptions that open a stream; the first is that to the keys
// of session ids.
func (p *controlPlane) subscribed(t *testing.T) (s *adsStream, policies, catalog *discoveryv3.DeltaDiscoveryRequest) {
	t.Helper()
	s = <-p.streams
	s.t = t
	keys := <-s.reqs
	if keys.GetTypeUrl() != names.TypeURLSessionKeys {
		t.Fatalf("first subscription to %q", keys.GetTypeUrl())
	}
	policies, catalog = <-s.reqs, <-s.reqs
	if policies.GetTypeUrl() != names.TypeURLRoutePolicy || catalog.GetTypeUrl() != names.TypeURLCatalog {
		t.Fatalf("subscriptions to %q and %q", policies.GetTypeUrl(), catalog.GetTypeUrl())
	}
	if shares := <-s.reqs; shares.GetTypeUrl() != names.TypeURLShares {
		t.Fatalf("last subscription to %q", shares.GetTypeUrl())
	}
	return s, policies, catalog
}

// update sends a response and returns its acknowledgement.
func (s *adsStream) update(resp *discoveryv3.DeltaDiscoveryResponse) *discoveryv3.DeltaDiscoveryRequest {
	s.t.Helper()
	if err := s.ads.Send(resp); err != nil {
		s.t.Fatal(err)
	}
	ack := <-s.reqs
	if ack.GetResponseNonce() != resp.GetNonce() || ack.GetTypeUrl() != resp.GetTypeUrl() {
		s.t.Fatalf("%s of %s, want %s of %s", ack.GetResponseNonce(), ack.GetTypeUrl(), resp.GetNonce(), resp.GetTypeUrl())
	}
	return ack
}

func (s *adsStream) cut(err error) { s.done <- err }

func pack(t *testing.T, name, version string, m proto.Message) *discoveryv3.Resource {
	t.Helper()
	body, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &discoveryv3.Resource{Name: name, Version: version, Resource: body}
}

func policies(nonce string, resources ...*discoveryv3.Resource) *discoveryv3.DeltaDiscoveryResponse {
	return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLRoutePolicy, Nonce: nonce, Resources: resources}
}

func removal(nonce string, removed ...string) *discoveryv3.DeltaDiscoveryResponse {
	return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLRoutePolicy, Nonce: nonce, RemovedResources: removed}
}

func validPolicy(name string) *policyv1.RoutePolicy {
	action := &policyv1.Action{Route: name + ".r", Server: "orders", Attempts: 1}
	return &policyv1.RoutePolicy{
		Name: name, Path: "/" + name,
		Servers:       []*policyv1.Server{{Name: "orders", Endpoints: []*policyv1.Endpoint{{Name: "a", Address: "127.0.0.1:1"}}}},
		UnmatchedTool: action, SafeMethod: action, OtherMethod: action, Stream: action, Delete: action,
		Errors: policyv1.ErrorStyle_ERROR_STYLE_MCP, StaleListMaxAge: durationpb.New(0), MaxBodyBytes: 1 << 20,
	}
}

// brokenPolicy does not compile.
func brokenPolicy(name string) *policyv1.RoutePolicy {
	p := validPolicy(name)
	p.SafeMethod = nil
	return p
}
