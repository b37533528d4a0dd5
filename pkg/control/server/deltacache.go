package server

import (
	"maps"
	"slices"
	"sync"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

// deltaCache answers Envoys' delta streams. It answers as go-control-plane's SnapshotCache does
// (TestDeltaCacheAnswersAsAnother), but remembers of each stream which group it was brought to
// rather than a version by name, and compares two groups once for all streams that go from the
// one to the other. State of the world is left to the cache that it embeds.
type deltaCache struct {
	cachev3.SnapshotCache

	mu      sync.Mutex
	streams map[rollout.Key]*deltaStream
}

var _ cachev3.Cache = (*deltaCache)(nil)

// deltaStream is what one stream is shown (nil before anything is), and what it was sent.
type deltaStream struct {
	set   *resources.Set
	types map[string]*deltaType
}

// deltaType is what a stream was sent of one type.
type deltaType struct {
	// synced: it was brought to base, of which it was sent everything (whole), or what it asked
	// for by name.
	synced, whole bool
	base          resources.Group
	// came is what it came with, versions by name, until it is synced.
	came map[string]string
	// watch waits for something to send; nil while an answer to the last response is due.
	watch *deltaWatch
}

type deltaWatch struct {
	request *cachev3.DeltaRequest
	sub     cachev3.Subscription
	out     chan cachev3.DeltaResponse
}

func newDeltaCache(world cachev3.SnapshotCache) *deltaCache {
	return &deltaCache{SnapshotCache: world, streams: make(map[rollout.Key]*deltaStream)}
}

// sendingOrder is that in which ADS sends types: endpoints are there when their cluster comes,
// and routes when their listener does.
var sendingOrder = []string{resourcev3.EndpointType, resourcev3.ClusterType, resourcev3.RouteType, resourcev3.ListenerType} //nolint:gochecknoglobals // a constant

// Show gives a stream a set, and answers those of its watches to which that is news.
func (c *deltaCache) Show(key rollout.Key, set *resources.Set) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.stream(key)
	st.set = set
	// Types that no set has are asked for too, and answered with nothing.
	order := slices.Clone(sendingOrder)
	for typeURL := range st.types {
		if !slices.Contains(sendingOrder, typeURL) {
			order = append(order, typeURL)
		}
	}
	for _, typeURL := range order {
		t := st.types[typeURL]
		if t == nil || t.watch == nil {
			continue
		}
		sent, err := t.respond(set, t.watch, nil)
		if err != nil {
			return err
		}
		if sent {
			t.watch = nil
		}
	}
	return nil
}

// Clear forgets a stream.
func (c *deltaCache) Clear(key rollout.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, key)
}

func (c *deltaCache) stream(key rollout.Key) *deltaStream {
	st, ok := c.streams[key]
	if !ok {
		st = &deltaStream{types: make(map[string]*deltaType)}
		c.streams[key] = st
	}
	return st
}

// CreateDeltaWatch answers a request at once where there is something to say, and later
// otherwise. Requests have the stream's key for a node id.
func (c *deltaCache) CreateDeltaWatch(req *cachev3.DeltaRequest, sub cachev3.Subscription, out chan cachev3.DeltaResponse) (func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.stream(rollout.Key(req.GetNode().GetId()))
	t, ok := st.types[req.GetTypeUrl()]
	if !ok {
		t = &deltaType{came: make(map[string]string)}
		maps.Copy(t.came, sub.ReturnedResources())
		st.types[req.GetTypeUrl()] = t
	} else if !t.synced {
		adjust(t.came, sub, req)
	}
	watch := &deltaWatch{request: req, sub: sub, out: out}
	if st.set != nil {
		if sent, err := t.respond(st.set, watch, req); sent || err != nil {
			return nil, err
		}
	}
	t.watch = watch
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.watch == watch {
			t.watch = nil
		}
	}, nil
}

// respond brings a stream to a set; it says whether there was anything to send. request is the
// one that asks, nil where it was taken into account before.
func (t *deltaType) respond(set *resources.Set, w *deltaWatch, request *cachev3.DeltaRequest) (bool, error) {
	typeURL := w.request.GetTypeUrl()
	a, err := t.answer(set, typeURL, w.sub, request)
	if err != nil {
		return false, err
	}
	t.synced, t.whole, t.base, t.came = true, w.sub.IsWildcard(), set.Group(typeURL), nil
	// An Envoy starts up only when its first request for everything was answered.
	if len(a.resources)+len(a.removed) == 0 && (!w.sub.IsWildcard() || w.request.GetResponseNonce() != "") {
		return false, nil
	}
	// The channel has room: a stream has at most one response of each type under way (maxTypes).
	w.out <- &cachev3.DeltaPassthroughResponse{
		DeltaRequest: w.request,
		// What was sent is remembered here. The stream writes into its map, so it gets one.
		NextVersionMap: map[string]string{},
		DeltaDiscoveryResponse: &discoveryv3.DeltaDiscoveryResponse{
			TypeUrl: typeURL, SystemVersionInfo: set.TypeVersion(typeURL), Resources: a.resources, RemovedResources: a.removed,
		},
	}
	return true, nil
}
