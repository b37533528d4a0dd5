package control

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

// inOrder fails unless the lines occur one after the other.
func inOrder(t *testing.T, diary []string, want ...string) {
	t.Helper()
	rest := diary
	for _, w := range want {
		i := slices.IndexFunc(rest, func(line string) bool { return strings.Contains(line, w) })
		if i < 0 {
			t.Fatalf("%q is missing or too early in:\n%s", w, strings.Join(diary, "\n"))
		}
		rest = rest[i+1:]
	}
}

func TestOrderOfPhases(t *testing.T) {
	s := newSite(t)
	s.write(shop{servers: []string{"stock"}, to: "stock"}.yaml())
	p := s.start()
	first := p.settled("")
	d := &diary{}
	e := p.envoy("e1", peerOptions{diary: d})
	x := p.processor("x1", peerOptions{diary: d})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	waitFor(t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })

	s.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())
	p.settled(first)
	waitFor(t, "removal", func() bool { return e.clusters()["stock"] == nil })
	inOrder(
		t, d.read(),
		"e1 ack clusters +mail",
		"e1 ack routes +holdfast.routes(mail,orders,stock)",
		"x1 ack policies +shop",
		"e1 ack routes +holdfast.routes(mail,orders)",
		"e1 ack clusters -stock",
	)
	for stamp, cluster := range e.stamps() {
		if e.clusters()[cluster] == nil {
			t.Errorf("stamp %s leads to cluster %s, which is gone", stamp, cluster)
		}
	}
}

func TestProcessorThatIsSlowKeepsItsRoutes(t *testing.T) {
	s := newSite(t)
	s.limit = 100 * time.Millisecond
	s.write(shop{servers: []string{"stock"}, to: "stock"}.yaml())
	p := s.start()
	first := p.settled("")
	var holding atomic.Bool
	e := p.envoy("e1", peerOptions{})
	x := p.processor("x1", peerOptions{judge: func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if holding.Load() && r.GetTypeUrl() == names.TypeURLRoutePolicy {
			return hold
		}
		return ""
	}})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	waitFor(t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	stamps := e.stamps()
	holding.Store(true)
	s.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())
	p.settled(first)
	<-time.After(quiet)
	for stamp := range stamps {
		if e.stamps()[stamp] == "" {
			t.Errorf("stamp %s is gone while a processor may write it", stamp)
		}
	}
	if e.clusters()["stock"] == nil {
		t.Error("cluster stock is gone while a processor may lead to it")
	}
	holding.Store(false)
	x.release()
	waitFor(t, "removal", func() bool { return e.clusters()["stock"] == nil })
}

func TestLateNodeDelaysOnlyItsOwnRemovals(t *testing.T) {
	s := newSite(t)
	s.limit = 150 * time.Millisecond
	s.write(shop{servers: []string{"stock"}, to: "stock"}.yaml())
	p := s.start()
	first := p.settled("")
	var holding atomic.Bool
	prompt := p.envoy("prompt", peerOptions{})
	late := p.envoy("late", peerOptions{judge: func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if holding.Load() && r.GetTypeUrl() == resourcev3.ClusterType {
			return hold
		}
		return ""
	}})
	x := p.processor("x1", peerOptions{})
	for _, e := range []*peer{prompt, late} {
		waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	}
	waitFor(t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	old := late.stamps()
	holding.Store(true)
	s.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())
	p.settled(first)
	waitFor(t, "removal from the prompt one", func() bool { return prompt.clusters()["stock"] == nil })
	if !p.node("late").Late || p.node("prompt").Late {
		t.Fatalf("status %+v", p.Status().Nodes)
	}
	<-time.After(quiet)
	if late.clusters()["stock"] == nil {
		t.Error("the late one lost a cluster")
	}
	for stamp := range old {
		if late.stamps()[stamp] == "" {
			t.Errorf("the late one lost stamp %s", stamp)
		}
	}
	holding.Store(false)
	late.release()
	waitFor(t, "removal from the late one", func() bool { return late.clusters()["stock"] == nil })
	waitFor(t, "sync", func() bool { n := p.node("late"); return !n.Late && n.Sync == status.Synced })
}

func TestChangedClusterHasBothAssignmentsUntilItIsWarm(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	var warming atomic.Bool
	e := p.envoy("e1", peerOptions{judge: func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if warming.Load() && r.GetTypeUrl() == resourcev3.ClusterType {
			return hold
		}
		return ""
	}})
	waitFor(t, "endpoints", func() bool { return len(e.versions()[resourcev3.EndpointType]) == 1 })
	before := e.services()
	warming.Store(true)
	s.write(shop{connectTimeout: "2s"}.yaml())
	waitFor(t, "the changed cluster", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.held) == 1
	})
	// The Envoy warms the successor: it asks for its endpoints and keeps the old ones.
	e.mu.Lock()
	successor := e.held[0].GetResources()[0]
	e.mu.Unlock()
	service := serviceOf(t, successor)
	if slices.Contains(before, service) {
		t.Fatalf("the changed cluster has the service name %s of the old one", service)
	}
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resourcev3.EndpointType, ResourceNamesSubscribe: []string{service}})
	waitFor(t, "its endpoints", func() bool { return e.versions()[resourcev3.EndpointType][service] != "" })
	if e.versions()[resourcev3.EndpointType][before[0]] == "" {
		t.Fatal("the old endpoints are gone while the old cluster is in use")
	}
	if v := p.Status().Revision; v.Version == first || v.Phase != "add" {
		t.Fatalf("revision %+v", v)
	}
	warming.Store(false)
	e.release()
	p.settled(first)
}

func TestEndpointChangeKeepsTheServiceName(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	e := p.envoy("e1", peerOptions{})
	waitFor(t, "endpoints", func() bool { return len(e.versions()[resourcev3.EndpointType]) == 1 })
	before, n := e.versions(), e.received(resourcev3.ClusterType)
	s.write(shop{endpoint: "127.0.0.1:7999"}.yaml())
	p.settled(first)
	waitFor(t, "other endpoints", func() bool {
		return !resourcesEqual(e.versions()[resourcev3.EndpointType], before[resourcev3.EndpointType])
	})
	if got := e.received(resourcev3.ClusterType); got != n {
		t.Errorf("%d cluster responses for a change of endpoints", got-n)
	}
}

func serviceOf(t *testing.T, r *discoveryv3.Resource) string {
	t.Helper()
	c := &clusterv3.Cluster{}
	if err := r.GetResource().UnmarshalTo(c); err != nil {
		t.Fatal(err)
	}
	return snapshot.ServiceName(c)
}
