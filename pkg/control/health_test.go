package control

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

// states are what an Envoy has of its endpoints, by name.
func (e *peer) states() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]string{}
	for _, r := range e.bodies[resourcev3.EndpointType] {
		assignment := &endpointv3.ClusterLoadAssignment{}
		if err := r.GetResource().UnmarshalTo(assignment); err != nil {
			e.t.Error(err)
			continue
		}
		for _, group := range assignment.GetEndpoints() {
			for _, one := range group.GetLbEndpoints() {
				out[snapshot.EndpointName(one)] = one.GetHealthStatus().String()
			}
		}
	}
	return out
}

func (e *peer) responsesOf(typeURL string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.responses[typeURL]
}

func stateOf(name string, state model.HealthState) model.Health {
	return model.Health{Endpoints: map[string]model.EndpointHealth{name: {State: state}}}
}

const (
	fine     = "UNKNOWN"
	sick     = "UNHEALTHY"
	degraded = "DEGRADED"
)

func TestHealthReachesEnvoysWithoutARevision(t *testing.T) {
	site := newSite(t)
	site.write(shop{servers: []string{"mail"}}.yaml())
	p := site.start()
	first := p.settled("")
	e := p.envoy("e1", peerOptions{})
	waitFor(t, "endpoints", func() bool { return len(e.states()) == 2 })
	p.until("sync", func(s status.Status) bool { return len(s.Nodes) == 1 && s.Nodes[0].Sync == status.Synced })
	clusters := e.responsesOf(resourcev3.ClusterType)

	p.SetHealth("orders", stateOf("orders-mumbai", model.Unhealthy))
	waitFor(t, "unhealthy endpoint", func() bool { return e.states()["orders-mumbai"] == sick })
	if e.states()["mail-mumbai"] != fine {
		t.Errorf("the other server: %v", e.states())
	}
	s := p.until("sync", func(s status.Status) bool { return s.Nodes[0].Sync == status.Synced })
	if s.Revision.Version != first || s.Revision.Phase != "done" || s.Head.Number != 1 || e.responsesOf(resourcev3.ClusterType) != clusters {
		t.Errorf("it is a revision: %+v, %+v", s.Head, s.Revision)
	}
	// An Envoy that comes later is shown the same, and so is every Envoy in each revision after.
	late := p.envoy("e2", peerOptions{})
	waitFor(t, "unhealthy endpoint at once", func() bool { return late.states()["orders-mumbai"] == sick })
	site.write(shop{servers: []string{"mail"}, connectTimeout: "2s"}.yaml())
	p.settled(first)
	waitFor(t, "old assignment to go", func() bool { return len(e.services()) == 2 && len(e.versions()[resourcev3.EndpointType]) == 2 })
	if e.states()["orders-mumbai"] != sick {
		t.Errorf("after a revision: %v", e.states())
	}
	p.SetHealth("orders", model.Health{})
	waitFor(t, "recovery", func() bool { return e.states()["orders-mumbai"] == fine && late.states()["orders-mumbai"] == fine })
}

func TestHealthIsToldOnlyWhereItMatters(t *testing.T) {
	site := newSite(t)
	site.write(shop{}.yaml())
	p := site.start()
	p.settled("")
	e := p.envoy("e1", peerOptions{})
	waitFor(t, "endpoints", func() bool { return len(e.states()) == 1 })
	before := e.responsesOf(resourcev3.EndpointType)
	// A hundred words in no time are told as two at most, the first and the last.
	began := time.Now()
	for i := range 100 {
		p.SetHealth("orders", stateOf("orders-mumbai", []model.HealthState{model.Degraded, model.Unhealthy}[i%2]))
		p.SetHealth("nobody", stateOf("x", model.HealthState(i%2)))
	}
	p.SetHealth("orders", stateOf("orders-mumbai", model.Degraded))
	waitFor(t, "last word", func() bool { return e.states()["orders-mumbai"] == degraded })
	if n, most := e.responsesOf(resourcev3.EndpointType)-before, 2+int(time.Since(began)/healthPace); n > most {
		t.Errorf("%d responses, want at most %d", n, most)
	}
	for _, c := range []struct {
		from, to int
		want     bool
	}{{100, 97, false}, {97, 100, true}, {100, 95, true}, {50, 53, false}, {50, 45, true}, {0, 100, false}} {
		of := func(w int) model.Health {
			return model.Health{Endpoints: map[string]model.EndpointHealth{"a": {Weight: w}}}
		}
		if got := matters(of(c.from), of(c.to)); got != c.want {
			t.Errorf("weight %d to %d matters: %t", c.from, c.to, got)
		}
	}
}

func TestRefusedHealthIsNoRefusedRevision(t *testing.T) {
	site := newSite(t)
	site.write(shop{}.yaml())
	p := site.start()
	first := p.settled("")
	var refuses, refused atomic.Bool
	bad := p.envoy("bad", peerOptions{judge: func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if !refuses.Load() || r.GetTypeUrl() != resourcev3.EndpointType {
			return ""
		}
		for _, one := range r.GetResources() {
			a := &endpointv3.ClusterLoadAssignment{}
			if one.GetResource().UnmarshalTo(a) != nil || a.GetEndpoints()[0].GetLbEndpoints()[0].GetHealthStatus() != corev3.HealthStatus_UNKNOWN {
				refused.Store(true)
				return "no"
			}
		}
		return ""
	}})
	good := p.envoy("good", peerOptions{})
	waitFor(t, "endpoints", func() bool { return len(bad.states()) == 1 && len(good.states()) == 1 })
	refuses.Store(true)
	p.SetHealth("orders", stateOf("orders-mumbai", model.Unhealthy))
	s := p.until("taken back", func(s status.Status) bool {
		return refused.Load() && !slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced })
	})
	if s.Rejected != nil || s.Revision.Version != first {
		t.Errorf("%+v, %+v", s.Rejected, s.Revision)
	}
	waitFor(t, "endpoints as the revision has them", func() bool { return good.states()["orders-mumbai"] == fine && bad.states()["orders-mumbai"] == fine })
	// What is said next is told again.
	refuses.Store(false)
	p.SetHealth("orders", stateOf("orders-mumbai", model.Degraded))
	waitFor(t, "next word", func() bool {
		return good.states()["orders-mumbai"] == degraded && bad.states()["orders-mumbai"] == degraded
	})
}

func TestRolloutsGetOnWhileEndpointsFlap(t *testing.T) {
	site := newSite(t)
	site.write(shop{}.yaml())
	p := site.start()
	version := p.settled("")
	e := p.envoy("e1", peerOptions{})
	p.processor("x1", peerOptions{})
	waitFor(t, "endpoints", func() bool { return len(e.states()) == 1 })
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				p.SetHealth(fmt.Sprintf("s%d", i%50), stateOf("x", model.HealthState(i%3)))
				p.SetHealth("orders", stateOf("orders-mumbai", model.HealthState(i%3)))
			}
		}
	}()
	for i := range 5 {
		site.write(shop{connectTimeout: fmt.Sprintf("%dms", 100+i)}.yaml())
		version = p.settled(version)
	}
	close(stop)
	<-done
	if s := p.Status(); s.Rejected != nil || len(s.Problems) > 0 {
		t.Errorf("%+v", s)
	}
}
