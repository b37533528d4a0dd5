package control

import (
	"context"
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	sotwclient "github.com/envoyproxy/go-control-plane/pkg/client/sotw/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// world is a raw state-of-the-world stream.
type world struct {
	t         *testing.T
	stream    discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	responses chan *discoveryv3.DiscoveryResponse
}

func (p *plane) world(id string) *world {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(p.dial()).StreamAggregatedResources(ctx)
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	w := &world{t: p.t, stream: stream, responses: make(chan *discoveryv3.DiscoveryResponse, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			resp, err := stream.Recv()
			if err != nil {
				return
			}
			w.responses <- resp
		}
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
	})
	w.send(&discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: id}, TypeUrl: resourcev3.ClusterType})
	return w
}

func (w *world) send(req *discoveryv3.DiscoveryRequest) {
	w.t.Helper()
	if err := w.stream.Send(req); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) next() *discoveryv3.DiscoveryResponse {
	w.t.Helper()
	select {
	case r := <-w.responses:
		return r
	case <-time.After(soon):
		w.t.Fatal("no response")
		return nil
	}
}

// count gives the responses that arrive within a while.
func (w *world) count() int {
	n := 0
	for end := time.After(quiet); ; {
		select {
		case <-w.responses:
			n++
		case <-end:
			return n
		}
	}
}

func TestStateOfTheWorldClient(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	client := sotwclient.NewADSClient(t.Context(), &corev3.Node{Id: "old"}, resourcev3.ClusterType)
	if err := client.InitConnect(p.dial()); err != nil {
		t.Fatal(err)
	}
	fetch := func() []string {
		t.Helper()
		resp, err := client.Fetch()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range resp.Resources {
			c := &clusterv3.Cluster{}
			if err := r.UnmarshalTo(c); err != nil {
				t.Fatal(err)
			}
			out = append(out, c.GetName())
		}
		slices.Sort(out)
		return out
	}
	if got, want := fetch(), []string{names.ClusterExtproc, "orders"}; !slices.Equal(got, want) {
		t.Fatalf("clusters %v, want %v", got, want)
	}
	if err := client.Ack(); err != nil {
		t.Fatal(err)
	}
	p.until("sync", func(s status.Status) bool {
		return len(s.Nodes) == 1 && s.Nodes[0].Sync == status.Synced && s.Nodes[0].Protocol == "sotw"
	})
	s.write(shop{servers: []string{"stock"}}.yaml())
	if got, want := fetch(), []string{names.ClusterExtproc, "orders", "stock"}; !slices.Equal(got, want) {
		t.Fatalf("clusters %v, want %v", got, want)
	}
	if err := client.Ack(); err != nil {
		t.Fatal(err)
	}
	p.settled(first)
}

// TestStateOfTheWorldEndpoints: an Envoy that names only the assignments of its
// clusters is answered while older ones are kept for others.
func TestStateOfTheWorldEndpoints(t *testing.T) {
	s := newSite(t)
	s.limit = time.Minute
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	holding := make(chan struct{})
	p.envoy("slow", peerOptions{judge: func(r *discoveryv3.DeltaDiscoveryResponse) string {
		select {
		case <-holding:
			return hold
		default:
			return ""
		}
	}})
	p.until("sync", func(s status.Status) bool {
		return len(s.Nodes) == 1 && s.Nodes[0].Sync == status.Synced && s.Nodes[0].Types["routes"].Acked != ""
	})
	close(holding)
	s.write(shop{connectTimeout: "2s"}.yaml())
	p.until("the add phase", func(s status.Status) bool { return s.Revision.Phase == "add" })
	w := p.world("old")
	resp := w.next()
	var services []string
	for _, r := range resp.GetResources() {
		if service := serviceOf(t, &discoveryv3.Resource{Resource: r}); service != "" {
			services = append(services, service)
		}
	}
	w.send(&discoveryv3.DiscoveryRequest{TypeUrl: resourcev3.EndpointType, ResourceNames: services})
	if resp := w.next(); resp.GetTypeUrl() != resourcev3.EndpointType || len(resp.GetResources()) != len(services) {
		t.Fatalf("response %v", resp)
	}
}

// TestStateOfTheWorldNackIsNotAHotLoop: go-control-plane alone answers each refusal
// at once with what was refused.
func TestStateOfTheWorldNackIsNotAHotLoop(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	w := p.world("old")
	for range 3 {
		// An Envoy refuses whatever it is sent.
		select {
		case resp := <-w.responses:
			w.send(&discoveryv3.DiscoveryRequest{
				TypeUrl: resourcev3.ClusterType, ResponseNonce: resp.GetNonce(), ErrorDetail: &statuspb.Status{Message: "no"},
			})
		case <-time.After(quiet):
		}
	}
	if n := w.count(); n != 0 {
		t.Fatalf("%d more responses after refusals", n)
	}
	st := p.until("the words", func(s status.Status) bool { return len(s.Nodes) == 1 && s.Nodes[0].Nack != nil })
	if n := st.Nodes[0]; n.Nack.Detail != "no" || n.Sync != status.Rejecting {
		t.Fatalf("node %+v", n)
	}
	// What comes next is sent: the new set alone.
	s.write(shop{servers: []string{"stock"}}.yaml())
	if resp := w.next(); len(resp.GetResources()) != 3 {
		t.Fatalf("response %v", resp)
	}
}

func TestStreamsThatAreTurnedAway(t *testing.T) {
	s := newSite(t)
	p := s.start()
	for _, c := range []struct {
		name string
		req  *discoveryv3.DiscoveryRequest
		code codes.Code
	}{
		{"no node", &discoveryv3.DiscoveryRequest{TypeUrl: resourcev3.ClusterType}, codes.InvalidArgument},
		{"escape sequence", &discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: "\x1b[2J"}, TypeUrl: resourcev3.ClusterType}, codes.InvalidArgument},
		{"endless region", &discoveryv3.DiscoveryRequest{
			Node:    &corev3.Node{Id: "e", Locality: &corev3.Locality{Region: string(make([]byte, 5000))}},
			TypeUrl: resourcev3.ClusterType,
		}, codes.InvalidArgument},
		{"policies as state of the world", &discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: "x"}, TypeUrl: names.TypeURLRoutePolicy}, codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(p.dial()).StreamAggregatedResources(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(c.req); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); grpcstatus.Code(err) != c.code {
				t.Fatalf("got %v, want %v", err, c.code)
			}
		})
	}
	if n := len(p.Status().Nodes); n != 0 {
		t.Fatalf("%d nodes are left", n)
	}
}

func TestTwoStreamsWithOneID(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	parent := p.envoy("e1", peerOptions{})
	child := p.envoy("e1", peerOptions{})
	for _, e := range []*peer{parent, child} {
		waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	}
	parent.leave()
	first := p.until("one node", func(s status.Status) bool { return len(s.Nodes) == 1 }).Revision.Version
	s.write(shop{servers: []string{"stock"}}.yaml())
	p.settled(first)
	waitFor(t, "the new cluster", func() bool { return child.clusters()["stock"] != nil })
}
