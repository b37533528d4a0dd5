package control

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// peer is a raw incremental xDS client: an Envoy that subscribes as Envoys do, or a
// processor. It answers yes unless told otherwise.
type peer struct {
	t      *testing.T
	id     string
	cancel context.CancelFunc
	done   chan struct{}
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	// judge says what to do with a response: "" accepts, hold gives no answer, any
	// other text refuses.
	judge func(*discoveryv3.DeltaDiscoveryResponse) string
	diary *diary

	mu        sync.Mutex
	has       map[string]map[string]string
	held      []*discoveryv3.DeltaDiscoveryResponse
	responses map[string]int
	bodies    map[string]map[string]*discoveryv3.Resource
}

const hold = "(no answer)"

// diary is what several peers saw, in one order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// peerOptions are what a peer comes with.
type peerOptions struct {
	region string
	// has are resources from an earlier stream, by type.
	has   map[string]map[string]string
	judge func(*discoveryv3.DeltaDiscoveryResponse) string
	diary *diary
}

func (p *plane) envoy(id string, opts peerOptions) *peer {
	p.t.Helper()
	return p.peer(id, opts, resourcev3.ClusterType, resourcev3.ListenerType)
}

func (p *plane) processor(id string, opts peerOptions) *peer {
	p.t.Helper()
	return p.peer(id, opts, names.TypeURLRoutePolicy, names.TypeURLCatalog)
}

func (p *plane) peer(id string, opts peerOptions, wildcards ...string) *peer {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(p.dial()).DeltaAggregatedResources(ctx)
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	e := &peer{
		t: p.t, id: id, cancel: cancel, done: make(chan struct{}), stream: stream, judge: opts.judge, diary: opts.diary,
		has: map[string]map[string]string{}, responses: map[string]int{}, bodies: map[string]map[string]*discoveryv3.Resource{},
	}
	for typeURL, versions := range opts.has {
		e.has[typeURL] = maps.Clone(versions)
	}
	node := &corev3.Node{Id: id, UserAgentName: "test", Locality: &corev3.Locality{Region: opts.region}}
	for i, typeURL := range wildcards {
		req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, InitialResourceVersions: opts.has[typeURL]}
		if i == 0 {
			req.Node = node
		}
		e.send(req)
	}
	if len(opts.has) > 0 && wildcards[0] == resourcev3.ClusterType {
		// An Envoy that comes back asks for all that it uses at once.
		for _, typeURL := range []string{resourcev3.EndpointType, resourcev3.RouteType} {
			e.send(&discoveryv3.DeltaDiscoveryRequest{
				TypeUrl: typeURL, InitialResourceVersions: opts.has[typeURL],
				ResourceNamesSubscribe: slices.Sorted(maps.Keys(opts.has[typeURL])),
			})
		}
	}
	go e.run()
	p.t.Cleanup(e.leave)
	return e
}

// leave ends the stream and waits for its goroutine.
func (e *peer) leave() {
	e.cancel()
	<-e.done
}

func (e *peer) send(req *discoveryv3.DeltaDiscoveryRequest) {
	if err := e.stream.Send(req); err != nil && e.stream.Context().Err() == nil {
		e.t.Logf("%s: sending: %v", e.id, err)
	}
}

func (e *peer) run() {
	defer close(e.done)
	for {
		resp, err := e.stream.Recv()
		if err != nil {
			return
		}
		e.mu.Lock()
		e.responses[resp.GetTypeUrl()]++
		e.mu.Unlock()
		verdict := ""
		if e.judge != nil {
			verdict = e.judge(resp)
		}
		switch verdict {
		case "":
			e.accept(resp)
		case hold:
			e.mu.Lock()
			e.held = append(e.held, resp)
			e.mu.Unlock()
		default:
			e.note("nack", resp)
			e.send(&discoveryv3.DeltaDiscoveryRequest{
				TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), ErrorDetail: &statuspb.Status{Message: verdict},
			})
		}
	}
}

// release answers what was held with yes.
func (e *peer) release() {
	e.mu.Lock()
	held := e.held
	e.held = nil
	e.mu.Unlock()
	for _, resp := range held {
		e.accept(resp)
	}
}

// accept takes a response over, subscribes to what it refers to, and acknowledges it.
func (e *peer) accept(resp *discoveryv3.DeltaDiscoveryResponse) {
	e.note("ack", resp)
	e.mu.Lock()
	typeURL := resp.GetTypeUrl()
	if e.has[typeURL] == nil {
		e.has[typeURL] = map[string]string{}
	}
	if e.bodies[typeURL] == nil {
		e.bodies[typeURL] = map[string]*discoveryv3.Resource{}
	}
	for _, r := range resp.GetResources() {
		e.has[typeURL][r.GetName()] = r.GetVersion()
		e.bodies[typeURL][r.GetName()] = r
	}
	for _, name := range resp.GetRemovedResources() {
		delete(e.has[typeURL], name)
		delete(e.bodies[typeURL], name)
	}
	e.mu.Unlock()
	switch typeURL {
	case resourcev3.ClusterType:
		e.follow(resourcev3.EndpointType, e.services())
	case resourcev3.ListenerType:
		e.follow(resourcev3.RouteType, []string{names.RouteConfigName})
	}
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResponseNonce: resp.GetNonce()})
}

// services are the EDS service names of the clusters that it has.
func (e *peer) services() []string {
	var out []string
	for _, c := range e.clusters() {
		if s := c.GetEdsClusterConfig().GetServiceName(); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (e *peer) clusters() map[string]*clusterv3.Cluster {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(map[string]*clusterv3.Cluster)
	for name, r := range e.bodies[resourcev3.ClusterType] {
		c := &clusterv3.Cluster{}
		if err := r.GetResource().UnmarshalTo(c); err != nil {
			e.t.Error(err)
		}
		out[name] = c
	}
	return out
}

// stamps are the stamped routes that it has, with their clusters.
func (e *peer) stamps() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r, ok := e.bodies[resourcev3.RouteType][names.RouteConfigName]; ok {
		return stampsOf(e.t, r)
	}
	return nil
}

func stampsOf(t *testing.T, r *discoveryv3.Resource) map[string]string {
	t.Helper()
	config := &routev3.RouteConfiguration{}
	if err := proto.Unmarshal(r.GetResource().GetValue(), config); err != nil {
		t.Error(err)
	}
	out := make(map[string]string)
	for _, host := range config.GetVirtualHosts() {
		for _, route := range host.GetRoutes() {
			if resources.Stamped(route) {
				out[route.GetName()] = route.GetRoute().GetCluster()
			}
		}
	}
	return out
}

// follow subscribes to the names wanted and unsubscribes from others.
func (e *peer) follow(typeURL string, wanted []string) {
	e.mu.Lock()
	if e.has[typeURL] == nil {
		e.has[typeURL] = map[string]string{}
	}
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL}
	for _, name := range wanted {
		if _, ok := e.has[typeURL][name]; !ok {
			req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
		}
	}
	for name := range e.has[typeURL] {
		if !slices.Contains(wanted, name) {
			req.ResourceNamesUnsubscribe = append(req.ResourceNamesUnsubscribe, name)
			delete(e.has[typeURL], name)
		}
	}
	e.mu.Unlock()
	if len(req.GetResourceNamesSubscribe())+len(req.GetResourceNamesUnsubscribe()) > 0 {
		e.send(req)
	}
}

// versions is what it has, by type.
func (e *peer) versions() map[string]map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(map[string]map[string]string)
	for typeURL, versions := range e.has {
		out[typeURL] = maps.Clone(versions)
	}
	return out
}

// received is the number of responses of a type.
func (e *peer) received(typeURL string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.responses[typeURL]
}

func (e *peer) note(verdict string, resp *discoveryv3.DeltaDiscoveryResponse) {
	if e.diary == nil {
		return
	}
	line := e.id + " " + verdict + " " + server.TypeName(resp.GetTypeUrl())
	for _, r := range resp.GetResources() {
		line += " +" + r.GetName()
		if resp.GetTypeUrl() == resourcev3.RouteType {
			targets := slices.Sorted(maps.Values(stampsOf(e.t, r)))
			line += "(" + strings.Join(slices.Compact(targets), ",") + ")"
		}
	}
	for _, name := range resp.GetRemovedResources() {
		line += " -" + name
	}
	e.diary.write(line)
}

// staysQuiet fails when anything of the types arrives within a while.
func (e *peer) staysQuiet(typeURLs ...string) {
	e.t.Helper()
	before := make(map[string]int)
	for _, typeURL := range typeURLs {
		before[typeURL] = e.received(typeURL)
	}
	<-time.After(quiet)
	for _, typeURL := range typeURLs {
		if n := e.received(typeURL) - before[typeURL]; n > 0 {
			e.t.Errorf("%s was sent %d responses of %s", e.id, n, server.TypeName(typeURL))
		}
	}
}
