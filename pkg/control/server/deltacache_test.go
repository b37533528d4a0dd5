package server

import (
	"context"
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

// TestDeltaCacheAnswersAsAnother: over any sets, subscriptions and reconnections a peer is told
// what go-control-plane's cache tells it, and has in the end what it asked for. Only what it asks
// for again is sent again, which that cache does not do.
func TestDeltaCacheAnswersAsAnother(t *testing.T) {
	responses, again := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		other := cachev3.NewSnapshotCache(true, cachev3.IDHash{}, quietLogger{slog.New(slog.DiscardHandler)})
		ours := newDeltaCache(other)
		a := &deltaPeer{t: t, cache: ours, has: map[string]string{}}
		b := &deltaPeer{t: t, cache: other, has: map[string]string{}}
		stream := 0
		// shown is what the last stream was shown, nil when a stream has just begun.
		var last, shown *resources.Set
		show := func() {
			if last == nil {
				return
			}
			shown = last
			key := fmt.Sprint(stream)
			if err := ours.Show(rollout.Key(key), shown); err != nil {
				t.Fatal(err)
			}
			if err := other.SetSnapshot(context.Background(), key, shown.Snapshot()); err != nil {
				t.Fatal(err)
			}
		}
		exact := true
		first := func() []string {
			if r.IntN(2) == 0 {
				return nil
			}
			return someNames(r, 6)
		}
		// forgotten are names that the peer asks for again, or no longer by name.
		forgotten := map[string]bool{}
		converged := func(step int) {
			t.Helper()
			if a.due || shown == nil || a.sub == nil {
				return
			}
			wanted := map[string]string{}
			for name, res := range shown.Clusters {
				if _, ok := a.sub.SubscribedResources()[name]; ok || a.sub.IsWildcard() {
					wanted[name] = res.Version
				}
			}
			if !maps.Equal(wanted, a.has) {
				t.Fatalf("seed %d, step %d: it has %v, want %v", seed, step, a.has, wanted)
			}
		}
		check := func(step int) {
			t.Helper()
			x, y := a.receive(), b.receive()
			if x != nil {
				responses++
			}
			same := (x == nil) == (y == nil) && maps.Equal(x, y)
			for name := range x {
				if _, ok := y[name]; !ok && forgotten[name] {
					delete(x, name)
					again++
				}
			}
			if exact && (!maps.Equal(x, y) || (x == nil) != (y == nil) && len(forgotten) == 0) {
				t.Fatalf("seed %d, step %d: sent %v, want %v, asked again for %v", seed, step, x, y, forgotten)
			}
			if shown != nil {
				clear(forgotten)
			}
			// Where one has more to answer than the other, both do so, or they would be told the
			// same in other portions from here on.
			for !same && (a.due || b.due) {
				for _, p := range []*deltaPeer{a, b} {
					if p.due {
						p.request(nil, nil)
						p.receive()
					}
				}
			}
			converged(step)
		}
		ask := func(add, remove []string) {
			for _, p := range []*deltaPeer{a, b} {
				p.request(add, remove)
			}
		}
		reconnect := func() {
			ours.Clear(rollout.Key(fmt.Sprint(stream)))
			other.ClearSnapshot(fmt.Sprint(stream))
			stream++
			exact, b.has, shown = true, maps.Clone(a.has), nil
			clear(forgotten)
			a.connect(stream)
			b.connect(stream)
		}
		reconnect()
		for step := range 80 {
			switch n := r.IntN(10); {
			case n == 0:
				reconnect()
				ask(first(), nil)
			case a.sub == nil:
				ask(first(), nil)
			case n < 4:
				last = clusterSet(t, r, last)
				show()
			case n == 4:
				// The set of before, by another name: nothing is news.
				if last != nil {
					last = &resources.Set{Clusters: maps.Clone(last.Clusters)}
				}
				show()
			case n == 5 && r.IntN(4) == 0:
				// To everything and back. The other cache believes that what is no longer asked
				// for is still there.
				exact = false
				if a.sub.IsWildcard() {
					ask(someNames(r, 6), []string{"*"})
				} else {
					ask([]string{"*"}, someNames(r, 6))
				}
			case n < 8:
				add, remove := someNames(r, 3), someNames(r, 3)
				// Nobody lets go of what it has not asked for by name.
				remove = slices.DeleteFunc(remove, func(name string) bool { _, ok := a.sub.SubscribedResources()[name]; return !ok })
				for _, name := range slices.Concat(add, remove) {
					forgotten[name] = true
				}
				ask(add, remove)
			default:
				// An answer to whatever came.
				ask(nil, nil)
			}
			check(step)
		}
		for range 4 {
			show()
			check(-1)
			ask(nil, nil)
			check(-2)
		}
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
