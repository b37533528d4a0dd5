package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/pkg/server/stream/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

// deltaPeer is one peer of a cache, and what go-control-plane's server does between the two.
type deltaPeer struct {
	t     *testing.T
	cache cachev3.Cache
	node  *corev3.Node
	out   chan cachev3.DeltaResponse

	cancel func()
	sub    *streamv3.Subscription
	nonce  int
	// has is what the peer has, versions by name: it throws away what it no longer asks for.
	has map[string]string
	// due: it has not answered a response yet.
	due bool
}

// connect begins a stream with what the peer has from its last one.
func (p *deltaPeer) connect(stream int) {
	p.node, p.out, p.cancel, p.sub, p.nonce = &corev3.Node{Id: fmt.Sprint(stream)}, make(chan cachev3.DeltaResponse, 20), nil, nil, 0
	p.due = false
}

func (p *deltaPeer) request(add, remove []string) {
	p.t.Helper()
	req := &discoveryv3.DeltaDiscoveryRequest{
		Node: p.node, TypeUrl: resourcev3.ClusterType,
		ResourceNamesSubscribe: slices.Clone(add), ResourceNamesUnsubscribe: slices.Clone(remove),
	}
	if p.nonce > 0 {
		req.ResponseNonce = fmt.Sprint(p.nonce)
	}
	if p.sub == nil {
		maps.DeleteFunc(p.has, func(name, _ string) bool { return len(add) > 0 && !slices.Contains(add, name) })
		req.InitialResourceVersions = maps.Clone(p.has)
		sub := streamv3.NewDeltaSubscription(add, remove, req.GetInitialResourceVersions(), true)
		p.sub = &sub
	} else {
		if p.cancel != nil {
			p.cancel()
		}
		p.sub.UpdateResourceSubscriptions(add, remove)
	}
	// Envoy lets go of what it no longer asks for, and remembers it when it comes back.
	maps.DeleteFunc(p.has, func(name, _ string) bool {
		_, ok := p.sub.SubscribedResources()[name]
		return !ok && !p.sub.IsWildcard()
	})
	p.due = false
	var err error
	if p.cancel, err = p.cache.CreateDeltaWatch(req, *p.sub, p.out); err != nil {
		p.t.Fatal(err)
	}
}

// answer is what a peer was sent, versions by name; "" is removed.
type answer map[string]string

// receive takes the response that is due; nil is none.
func (p *deltaPeer) receive() answer {
	p.t.Helper()
	select {
	case r := <-p.out:
		resp, err := r.GetDeltaDiscoveryResponse()
		if err != nil {
			p.t.Fatal(err)
		}
		p.sub.SetReturnedResources(r.GetReturnedResources())
		p.nonce++
		p.due = true
		got := answer{}
		for _, res := range resp.GetResources() {
			if _, twice := got[res.GetName()]; twice {
				p.t.Fatalf("%s is sent twice in one response", res.GetName())
			}
			if _, wanted := p.sub.SubscribedResources()[res.GetName()]; !wanted && !p.sub.IsWildcard() {
				p.t.Fatalf("%s is sent unasked", res.GetName())
			}
			var c clusterv3.Cluster
			if err := res.GetResource().UnmarshalTo(&c); err != nil || c.GetName() != res.GetName() {
				p.t.Fatalf("resource %s is %v: %v", res.GetName(), &c, err)
			}
			got[res.GetName()], p.has[res.GetName()] = res.GetVersion(), res.GetVersion()
		}
		for _, name := range resp.GetRemovedResources() {
			if _, twice := got[name]; twice {
				p.t.Fatalf("%s is sent and removed in one response", name)
			}
			got[name] = ""
			delete(p.has, name)
		}
		return got
	default:
		return nil
	}
}

// clusterSet is a set with some of a few clusters in a few versions.
func clusterSet(t *testing.T, r *rand.Rand, last *resources.Set) *resources.Set {
	t.Helper()
	messages := map[string]*clusterv3.Cluster{}
	for n := range 6 {
		if r.IntN(4) > 0 {
			name := fmt.Sprintf("c%d", n)
			messages[name] = &clusterv3.Cluster{Name: name, ConnectTimeout: durationpb.New(time.Duration(1+r.IntN(2)) * time.Second)}
		}
	}
	g, err := resources.NewGroup(messages)
	if err != nil {
		t.Fatal(err)
	}
	if last != nil && r.IntN(4) == 0 {
		g = last.Clusters
	}
	return &resources.Set{Clusters: g}
}

// rivals are two caches with one peer each, to which the same is done.
type rivals struct {
	*testing.T
	*rand.Rand
	seed        uint64
	ours        *deltaCache
	other       cachev3.SnapshotCache
	a, b        *deltaPeer
	stream      int
	last, shown *resources.Set // shown is what this stream was shown, last what any was
	// exact: the other cache is the measure. forgotten are names that the peer asks for again, or
	// no longer by name.
	exact     bool
	forgotten map[string]bool
	// responses were sent by ours, again are the resources in them that the other did not send.
	responses, again int
}

func newRivals(t *testing.T, seed uint64) *rivals {
	other := cachev3.NewSnapshotCache(true, cachev3.IDHash{}, quietLogger{slog.New(slog.DiscardHandler)})
	ours := newDeltaCache(other)
	v := &rivals{
		T: t, Rand: rand.New(rand.NewPCG(seed, 5)), seed: seed, ours: ours, other: other, forgotten: map[string]bool{},
		a: &deltaPeer{t: t, cache: ours, has: map[string]string{}}, b: &deltaPeer{t: t, cache: other},
	}
	v.reconnect()
	return v
}

func (v *rivals) show() {
	v.Helper()
	if v.last == nil {
		return
	}
	v.shown = v.last
	key := fmt.Sprint(v.stream)
	if err := errors.Join(v.ours.Show(rollout.Key(key), v.shown), v.other.SetSnapshot(context.Background(), key, v.shown.Snapshot())); err != nil {
		v.Fatal(err)
	}
}

func (v *rivals) ask(add, remove []string) {
	v.Helper()
	v.a.request(add, remove)
	v.b.request(add, remove)
}

// first asks for everything, or for some names.
func (v *rivals) first() {
	if v.IntN(2) == 0 {
		v.ask(nil, nil)
		return
	}
	v.ask(someNames(v.Rand, 6), nil)
}

func (v *rivals) reconnect() {
	v.ours.Clear(rollout.Key(fmt.Sprint(v.stream)))
	v.other.ClearSnapshot(fmt.Sprint(v.stream))
	v.stream++
	v.exact, v.b.has, v.shown = true, maps.Clone(v.a.has), nil
	clear(v.forgotten)
	v.a.connect(v.stream)
	v.b.connect(v.stream)
}

// step does something at random.
func (v *rivals) step() {
	switch n := v.IntN(10); {
	case n == 0:
		v.reconnect()
		v.first()
	case v.a.sub == nil:
		v.first()
	case n < 4:
		v.last = clusterSet(v.T, v.Rand, v.last)
		v.show()
	case n == 4:
		// The set of before, by another name: nothing is news.
		if v.last != nil {
			v.last = &resources.Set{Clusters: maps.Clone(v.last.Clusters)}
		}
		v.show()
	case n == 5 && v.IntN(4) == 0:
		// To everything and back. The other cache believes that what is no longer asked for is
		// still there.
		v.exact = false
		if v.a.sub.IsWildcard() {
			v.ask(someNames(v.Rand, 6), []string{"*"})
		} else {
			v.ask([]string{"*"}, someNames(v.Rand, 6))
		}
	case n < 8:
		add, remove := someNames(v.Rand, 3), someNames(v.Rand, 3)
		// Nobody lets go of what it has not asked for by name.
		remove = slices.DeleteFunc(remove, func(name string) bool { _, ok := v.a.sub.SubscribedResources()[name]; return !ok })
		for _, name := range slices.Concat(add, remove) {
			v.forgotten[name] = true
		}
		v.ask(add, remove)
	default:
		// An answer to whatever came.
		v.ask(nil, nil)
	}
}

// check compares what the peers are told.
func (v *rivals) check(step int) {
	v.Helper()
	x, y := v.a.receive(), v.b.receive()
	if x != nil {
		v.responses++
	}
	same := (x == nil) == (y == nil) && maps.Equal(x, y)
	for name := range x {
		if _, ok := y[name]; !ok && v.forgotten[name] {
			delete(x, name)
			v.again++
		}
	}
	if v.exact && (!maps.Equal(x, y) || (x == nil) != (y == nil) && len(v.forgotten) == 0) {
		v.Fatalf("seed %d, step %d: sent %v, want %v, asked again for %v", v.seed, step, x, y, v.forgotten)
	}
	if v.shown != nil {
		clear(v.forgotten)
	}
	// Where one has more to answer than the other, both do so, or they would be told the same in
	// other portions from here on.
	for !same && (v.a.due || v.b.due) {
		for _, p := range []*deltaPeer{v.a, v.b} {
			if p.due {
				p.request(nil, nil)
				p.receive()
			}
		}
	}
	v.converged(step)
}

// converged: a peer to whom nothing more is sent has what it asked for.
func (v *rivals) converged(step int) {
	v.Helper()
	if v.a.due || v.shown == nil || v.a.sub == nil {
		return
	}
	wanted := map[string]string{}
	for name, res := range v.shown.Clusters {
		if _, ok := v.a.sub.SubscribedResources()[name]; ok || v.a.sub.IsWildcard() {
			wanted[name] = res.Version
		}
	}
	if !maps.Equal(wanted, v.a.has) {
		v.Fatalf("seed %d, step %d: it has %v, want %v", v.seed, step, v.a.has, wanted)
	}
}

// TestDeltaCacheAnswersAsAnother: over any sets, subscriptions and reconnections a peer is told
// what go-control-plane's cache tells it, and has in the end what it asked for. Only what it asks
// for again is sent again, which that cache does not do.
func TestDeltaCacheAnswersAsAnother(t *testing.T) {
	responses, again := 0, 0
	for seed := range uint64(400) {
		v := newRivals(t, seed)
		for step := range 80 {
			v.step()
			v.check(step)
		}
		for range 4 {
			v.show()
			v.check(-1)
			if v.a.sub != nil {
				v.ask(nil, nil)
				v.check(-2)
			}
		}
		responses, again = responses+v.responses, again+v.again
	}
	if responses < 3000 || again < 100 {
		t.Errorf("only %d responses, %d resources were sent again", responses, again)
	}
}

func someNames(r *rand.Rand, most int) []string {
	var out []string
	for range r.IntN(most + 1) {
		out = append(out, fmt.Sprintf("c%d", r.IntN(7)))
	}
	return out
}
