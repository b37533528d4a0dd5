package server

import (
	"strconv"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/pkg/server/stream/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func group(versions map[string]string) resources.Group {
	out := resources.Group{}
	for name, version := range versions {
		out[name] = resources.Versioned{Version: version}
	}
	return out
}

// exchange is a delta stream without the stream.
type exchange struct {
	t  *testing.T
	s  *Server
	st *stream
}

func newExchange(t *testing.T, kind rollout.Kind) *exchange {
	t.Helper()
	s := New(Options{Notify: func(Event) {}})
	return &exchange{t: t, s: s, st: &stream{peer: Peer{Kind: kind, Delta: true}, types: map[string]*subscription{}}}
}

func (x *exchange) request(req *discoveryv3.DeltaDiscoveryRequest) *Refusal {
	x.t.Helper()
	r, err := x.st.deltaRequest(req, x.s)
	if err != nil && grpcstatus.Code(err) != codes.Unknown {
		x.t.Fatal(err)
	}
	return r
}

func (x *exchange) send(typeURL, nonce string, versions map[string]string, removed ...string) {
	resp := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: nonce, RemovedResources: removed}
	for name, version := range versions {
		resp.Resources = append(resp.Resources, &discoveryv3.Resource{Name: name, Version: version})
	}
	x.st.deltaResponse(resp, x.s)
}

func (x *exchange) answer(typeURL, nonce, refusal string) *Refusal {
	x.t.Helper()
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResponseNonce: nonce}
	if refusal != "" {
		req.ErrorDetail = &statuspb.Status{Message: refusal}
	}
	return x.request(req)
}

type versions = map[string]string

func TestWhatAnEnvoyHolds(t *testing.T) {
	const typeURL = resourcev3.ClusterType
	x := newExchange(t, rollout.Envoy)
	holds := func(want versions, expect bool) {
		t.Helper()
		if got := x.st.types[typeURL].holds(&resources.Set{Clusters: group(want)}, typeURL); got != expect {
			t.Fatalf("holds %v: %v; it has %v", want, got, x.st.types[typeURL].acked)
		}
	}
	x.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, InitialResourceVersions: versions{"a": "1", "b": "1"}})
	holds(versions{"a": "1", "b": "1"}, true)
	x.send(typeURL, "1", versions{"a": "2"}, "b")
	holds(versions{"a": "2"}, false)
	x.answer(typeURL, "1", "")
	holds(versions{"a": "2"}, true)
	// What it refused it does not have, whatever comes next.
	x.send(typeURL, "2", versions{"bad": "1"})
	r := x.answer(typeURL, "2", "no")
	if r == nil || !r.Concerns(group(versions{"a": "2", "bad": "1"})) || r.Concerns(group(versions{"a": "2"})) || r.Concerns(group(versions{"a": "2", "bad": "2"})) {
		t.Fatalf("refusal %+v", r)
	}
	x.send(typeURL, "3", versions{"c": "1"})
	x.answer(typeURL, "3", "")
	holds(versions{"a": "2", "c": "1"}, true)
	holds(versions{"a": "2", "c": "1", "bad": "1"}, false)
	// Answers to nothing known mean nothing.
	x.answer(typeURL, "99", "")
	x.answer(typeURL, "99", "no")
	holds(versions{"a": "2", "c": "1"}, true)
	// An answer covers the responses before it.
	x.send(typeURL, "4", versions{"d": "1"})
	x.send(typeURL, "5", versions{"e": "1"})
	x.answer(typeURL, "5", "")
	holds(versions{"a": "2", "c": "1", "d": "1", "e": "1"}, true)
}

// TestWhatAProcessorHolds: it judges its policies together, so an ACK is one of all.
func TestWhatAProcessorHolds(t *testing.T) {
	const typeURL = names.TypeURLRoutePolicy
	x := newExchange(t, rollout.Processor)
	x.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: []string{"*"}})
	x.send(typeURL, "1", versions{"a": "1", "b": "1"})
	x.answer(typeURL, "1", "a and c are missing")
	x.send(typeURL, "2", versions{"c": "1"})
	x.answer(typeURL, "2", "")
	if !x.st.types[typeURL].holdsPolicies(group(versions{"a": "1", "b": "1", "c": "1"})) {
		t.Fatalf("it has %v", x.st.types[typeURL].acked)
	}
}

func TestNamedSubscription(t *testing.T) {
	const typeURL = resourcev3.RouteType
	x := newExchange(t, rollout.Envoy)
	x.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: []string{"r"}})
	x.send(typeURL, "1", versions{"r": "1"})
	x.answer(typeURL, "1", "")
	sub := x.st.types[typeURL]
	holds := func(want versions) bool { return sub.holds(&resources.Set{Routes: group(want)}, typeURL) }
	if !holds(versions{"r": "1", "unasked": "1"}) || holds(versions{"r": "2"}) || holds(nil) {
		t.Fatalf("it has %v", sub.acked)
	}
	x.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesUnsubscribe: []string{"r"}})
	if !holds(nil) {
		t.Fatalf("it has %v", sub.acked)
	}
}

func TestBounds(t *testing.T) {
	x := newExchange(t, rollout.Envoy)
	const typeURL = resourcev3.ClusterType
	x.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL})
	for range 10 * maxUnanswered {
		x.send(typeURL, "n", nil)
	}
	if n := len(x.st.types[typeURL].sent); n > maxUnanswered {
		t.Errorf("%d unanswered responses are kept", n)
	}
	var err error
	for i := range maxTypes + 1 {
		_, err = x.st.deltaRequest(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(rune('a' + i))}, x.s)
	}
	if grpcstatus.Code(err) != codes.ResourceExhausted {
		t.Errorf("types without end: %v", err)
	}
	many := make([]string, maxResources+1)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	_, err = x.st.deltaRequest(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: many}, x.s)
	if grpcstatus.Code(err) != codes.ResourceExhausted {
		t.Errorf("names without end: %v", err)
	}
	if _, err := x.st.deltaRequest(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: names.TypeURLRoutePolicy}, x.s); grpcstatus.Code(err) != codes.InvalidArgument {
		t.Errorf("policies for an Envoy: %v", err)
	}
	if got := words(string(make([]byte, 10*maxDetail))); len(got) > 4*maxDetail {
		t.Errorf("%d bytes of words", len(got))
	}
	if got := words("a\x1b[2Jb\xff"); got != "a\uFFFD[2Jb\uFFFD" {
		t.Errorf("words %q", got)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	s := New(Options{Notify: func(Event) {}, MaxStreams: 2})
	for range 2 {
		if s.opening() != nil {
			t.Fatal("two streams are too many")
		}
	}
	if s.opening() == nil {
		t.Fatal("three streams are not")
	}
	// go-control-plane reports the end of the refused one as well.
	s.closed("delta-3")
	s.closed("delta-1")
	if s.opening() != nil {
		t.Fatal("the place of one that left is not free")
	}
}

func TestIdentify(t *testing.T) {
	p, err := identify(&corev3.Node{
		Id: "e1", UserAgentName: "envoy", Locality: &corev3.Locality{Region: "asia-south1"},
		UserAgentVersionType: &corev3.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corev3.BuildVersion{}},
	}, resourcev3.ClusterType)
	if err != nil || p.Kind != rollout.Envoy || p.Region != "asia-south1" || p.UserAgent != "envoy" {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := identify(nil, resourcev3.ClusterType); grpcstatus.Code(err) != codes.InvalidArgument {
		t.Fatalf("no node: %v", err)
	}
}

// TestGate: until there are policies a processor is told nothing, also not that
// there are none.
func TestGate(t *testing.T) {
	linear := cachev3.NewLinearCache(names.TypeURLRoutePolicy)
	g := newGate(linear)
	watch := func() (chan cachev3.DeltaResponse, func()) {
		t.Helper()
		out := make(chan cachev3.DeltaResponse, 2)
		sub := streamv3.NewDeltaSubscription([]string{"*"}, nil, nil, true)
		cancel, err := g.CreateDeltaWatch(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: names.TypeURLRoutePolicy}, sub, out)
		if err != nil {
			t.Fatal(err)
		}
		return out, cancel
	}
	waiting, _ := watch()
	gone, cancel := watch()
	cancel()
	cancel()
	if len(waiting) != 0 || linear.NumCacheWatches() != 0 {
		t.Fatal("a watch was let through")
	}
	linear.SetResources(map[string]resources.Message{"shop": &policyv1.RoutePolicy{Name: "shop"}})
	for range 2 {
		if err := g.Open(); err != nil {
			t.Fatal(err)
		}
	}
	if len(waiting) != 1 || len(gone) != 0 {
		t.Fatalf("%d and %d responses, want 1 and 0", len(waiting), len(gone))
	}
	later, _ := watch()
	if len(later) != 1 {
		t.Fatalf("%d responses, want 1", len(later))
	}
}

func TestSilence(t *testing.T) {
	now := time.Unix(100, 0)
	x := newExchange(t, rollout.Envoy)
	x.s.now = func() time.Time { return now }
	x.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resourcev3.ClusterType})
	x.send(resourcev3.ClusterType, "1", versions{"a": "1"})
	now = now.Add(time.Minute)
	x.send(resourcev3.ClusterType, "2", versions{"b": "1"})
	if got := x.st.state().Waiting; !got.Equal(time.Unix(100, 0)) {
		t.Fatalf("waiting since %s", got)
	}
	x.answer(resourcev3.ClusterType, "2", "")
	if got := x.st.state().Waiting; !got.IsZero() {
		t.Fatalf("waiting since %s", got)
	}
}
