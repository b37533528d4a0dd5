package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// maxMessage bounds what a client takes at once; Envoy has no bound.
const maxMessage = 256 << 20

// fleet is all the clients. What they read of clusters is shared, so that the clients
// cost little beside what is measured.
type fleet struct {
	ctx     context.Context //nolint:containedctx // the streams' own
	cancel  context.CancelFunc
	running sync.WaitGroup
	clients []*client
	read    sync.Map // by name and version: facts

	mu sync.Mutex
	// moved is told when a client has acknowledged something.
	moved chan struct{}
	err   error
}

// facts are what a client has to know of a cluster.
type facts struct {
	service string
	millis  int
	err     error
}

// client is one node. Its maps are guarded by the fleet's mutex.
type client struct {
	fleet  *fleet
	conn   *grpc.ClientConn
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	// services are the EDS names that clusters ask for, by cluster; "" where one has none.
	services map[string]string
	// wanted and endpoints are the EDS names subscribed to and those received.
	wanted, endpoints map[string]bool
	listeners, routes map[string]bool
	// changed is the change of the changing server whose cluster and endpoints it has
	// acknowledged; -1 is none.
	changed, next int
	// seen are the responses about the changing server, in order.
	seen []string
}

func newFleet() *fleet {
	f := &fleet{moved: make(chan struct{}, 1)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// join connects so many clients.
func (f *fleet) join(address string, count int) error {
	for n := range count {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
		if err != nil {
			return fmt.Errorf("connecting client %d: %w", n, err)
		}
		c := &client{
			fleet: f, conn: conn, changed: -1, next: -1, services: map[string]string{}, wanted: map[string]bool{},
			endpoints: map[string]bool{}, listeners: map[string]bool{}, routes: map[string]bool{},
		}
		f.clients = append(f.clients, c)
		f.running.Go(func() {
			if err := c.run(n); f.ctx.Err() == nil {
				f.fail(fmt.Errorf("client %d: %w", n, err))
			}
		})
	}
	return nil
}

// leave ends all streams and waits for their goroutines.
func (f *fleet) leave() {
	f.cancel()
	f.running.Wait()
	for _, c := range f.clients {
		_ = c.conn.Close()
	}
}

func (f *fleet) fail(err error) {
	f.mu.Lock()
	f.err = errors.Join(f.err, err)
	f.mu.Unlock()
	f.tell()
}

func (f *fleet) tell() {
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// await waits until something holds for every client.
func (f *fleet) await(ctx context.Context, ok func(*client) bool) error {
	for {
		f.mu.Lock()
		missing, err := 0, f.err
		for _, c := range f.clients {
			if !ok(c) {
				missing++
			}
		}
		f.mu.Unlock()
		if err != nil || missing == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d clients are not there: %w", missing, ctx.Err())
		case <-f.moved:
		}
	}
}

// complete: it has so many servers, all that they refer to, and what stands before them.
func (c *client) complete(servers int) bool {
	return len(c.wanted) == servers && len(c.endpoints) == servers && len(c.services) == servers+1 &&
		len(c.listeners) == 1 && len(c.routes) == 1
}

func (c *client) run(n int) error {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.conn).DeltaAggregatedResources(c.fleet.ctx)
	if err != nil {
		return fmt.Errorf("opening the stream: %w", err)
	}
	c.stream = stream
	node := &corev3.Node{Id: fmt.Sprintf("envoy-%d", n), UserAgentName: "scale", Locality: &corev3.Locality{Region: regions[n%len(regions)]}}
	for _, req := range []*discoveryv3.DeltaDiscoveryRequest{
		{Node: node, TypeUrl: resourcev3.ClusterType}, {TypeUrl: resourcev3.ListenerType},
	} {
		if err := stream.Send(req); err != nil {
			return fmt.Errorf("subscribing: %w", err)
		}
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
		if err := c.accept(resp); err != nil {
			return err
		}
	}
}

// accept takes a response over, subscribes to what it refers to and acknowledges it.
func (c *client) accept(resp *discoveryv3.DeltaDiscoveryResponse) error {
	follow, err := c.take(resp)
	if err != nil {
		return err
	}
	if follow != nil {
		if err := c.stream.Send(follow); err != nil {
			return fmt.Errorf("subscribing: %w", err)
		}
	}
	if err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}); err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	c.fleet.mu.Lock()
	if c.endpoints[c.services[changing]] {
		c.changed = c.next
	}
	c.fleet.mu.Unlock()
	c.fleet.tell()
	return nil
}

func (c *client) take(resp *discoveryv3.DeltaDiscoveryResponse) (*discoveryv3.DeltaDiscoveryRequest, error) {
	c.fleet.mu.Lock()
	defer c.fleet.mu.Unlock()
	switch resp.GetTypeUrl() {
	case resourcev3.ClusterType:
		return c.clusters(resp)
	case resourcev3.EndpointType:
		for _, r := range resp.GetResources() {
			if r.GetName() == c.services[changing] && !c.endpoints[r.GetName()] {
				c.seen = append(c.seen, fmt.Sprintf("endpoints %d", c.next))
			}
		}
		replace(c.endpoints, resp)
		return nil, nil
	case resourcev3.ListenerType:
		replace(c.listeners, resp)
		return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: resourcev3.RouteType, ResourceNamesSubscribe: []string{names.RouteConfigName}}, nil
	case resourcev3.RouteType:
		replace(c.routes, resp)
		return nil, nil
	default:
		return nil, fmt.Errorf("unexpected type %q", resp.GetTypeUrl())
	}
}

func replace(set map[string]bool, resp *discoveryv3.DeltaDiscoveryResponse) {
	for _, r := range resp.GetResources() {
		set[r.GetName()] = true
	}
	for _, name := range resp.GetRemovedResources() {
		delete(set, name)
	}
}

// clusters moves the subscription of endpoints along with the clusters.
func (c *client) clusters(resp *discoveryv3.DeltaDiscoveryResponse) (*discoveryv3.DeltaDiscoveryRequest, error) {
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: resourcev3.EndpointType}
	drop := func(name string) {
		if old := c.services[name]; old != "" {
			req.ResourceNamesUnsubscribe = append(req.ResourceNamesUnsubscribe, old)
			delete(c.wanted, old)
			delete(c.endpoints, old)
		}
		delete(c.services, name)
	}
	for _, r := range resp.GetResources() {
		is := c.fleet.facts(r)
		if is.err != nil {
			return nil, is.err
		}
		if r.GetName() == changing {
			c.next = is.millis - baseTimeout
			c.seen = append(c.seen, fmt.Sprintf("cluster %d", c.next))
		}
		if old, ok := c.services[r.GetName()]; ok && old == is.service {
			continue
		}
		drop(r.GetName())
		c.services[r.GetName()] = is.service
		if is.service != "" {
			c.wanted[is.service] = true
			req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, is.service)
		}
	}
	for _, name := range resp.GetRemovedResources() {
		drop(name)
	}
	if len(req.GetResourceNamesSubscribe())+len(req.GetResourceNamesUnsubscribe()) == 0 {
		return nil, nil
	}
	return req, nil
}

// facts reads a cluster once for all clients.
func (f *fleet) facts(r *discoveryv3.Resource) facts {
	key := r.GetName() + "@" + r.GetVersion()
	if known, ok := f.read.Load(key); ok {
		return known.(facts) //nolint:forcetypeassert // nothing else is stored
	}
	var cluster clusterv3.Cluster
	is := facts{err: r.GetResource().UnmarshalTo(&cluster)}
	is.service = cluster.GetEdsClusterConfig().GetServiceName()
	is.millis = int(cluster.GetConnectTimeout().AsDuration().Milliseconds())
	f.read.Store(key, is)
	return is
}
