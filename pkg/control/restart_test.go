package control

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/state"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// populated starts a control plane with an Envoy and a processor, lets them have the
// configuration, stops it, and gives what they were left with.
func (s *site) populated() (version string, envoy, processor map[string]map[string]string) {
	s.t.Helper()
	p := s.start()
	version = p.settled("")
	e := p.envoy("e1", peerOptions{region: "asia-south1"})
	x := p.processor("x1", peerOptions{})
	waitFor(s.t, "routes", func() bool { return len(e.stamps()) > 0 })
	waitFor(s.t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	waitFor(s.t, "endpoints", func() bool { return len(e.versions()[resourcev3.EndpointType]) == len(e.services()) })
	envoy, processor = e.versions(), x.versions()
	p.stop()
	e.leave()
	x.leave()
	return version, envoy, processor
}

func TestRestartWithTheSameContentSendsNothing(t *testing.T) {
	s := newSite(t)
	s.write(shop{servers: []string{"stock"}, to: "stock"}.yaml())
	version, envoy, processor := s.populated()

	p := s.start()
	p.until("the same revision", func(st status.Status) bool {
		return st.Revision != nil && st.Revision.Version == version && len(st.Servers) > 0
	})
	content := func(r *discoveryv3.DeltaDiscoveryResponse) string {
		// The first answer to a wildcard is owed even when it is empty.
		if len(r.GetResources())+len(r.GetRemovedResources()) > 0 {
			t.Errorf("was sent %v", r)
		}
		return ""
	}
	e := p.envoy("e1", peerOptions{region: "asia-south1", has: envoy, judge: content})
	x := p.processor("x1", peerOptions{has: processor, judge: content})
	p.until("both in sync", func(st status.Status) bool {
		return len(st.Nodes) == 2 && st.Nodes[0].Sync == "synced" && st.Nodes[1].Sync == "synced"
	})
	waitFor(t, "the answers to both wildcards", func() bool {
		return e.received(resourcev3.ClusterType) > 0 && e.received(resourcev3.ListenerType) > 0
	})
	e.staysQuiet(envoyTypes...)
	x.staysQuiet(names.TypeURLRoutePolicy)
}

func TestRestartWithAnotherContentRemovesNothingBeforeTheProcessorsKnow(t *testing.T) {
	s := newSite(t)
	s.write(shop{servers: []string{"stock"}, to: "stock"}.yaml())
	first, envoy, processor := s.populated()
	s.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())

	p := s.start()
	d := &diary{}
	p.envoy("e1", peerOptions{region: "asia-south1", has: envoy, diary: d})
	waitFor(t, "new routes", func() bool {
		return slices.ContainsFunc(d.read(), func(l string) bool { return strings.Contains(l, "(mail,orders,stock)") })
	})
	for _, line := range d.read() {
		if strings.Contains(line, " -") {
			t.Errorf("removed before the processor is back: %s", line)
		}
	}
	if st := p.Status(); st.Revision.Version == first || st.Revision.Phase == "done" {
		t.Fatalf("revision %+v", st.Revision)
	}
	p.processor("x1", peerOptions{has: processor, diary: d})
	p.settled(first)
	inOrder(
		t, d.read(),
		"e1 ack clusters +mail",
		"e1 ack routes +holdfast.routes(mail,orders,stock)",
		"x1 ack policies +shop",
		"e1 ack routes +holdfast.routes(mail,orders)",
		"e1 ack clusters -stock",
	)
}

func TestRestartWithABrokenDirectoryServesTheLastGood(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	version, _, _ := s.populated()
	s.write("kind: Nonsense\n")
	p := s.start()
	e := p.envoy("new", peerOptions{region: "asia-south1"})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	st := p.until("refusal", func(st status.Status) bool { return st.Refused != nil })
	if !st.Ready || st.Revision.Version != version {
		t.Fatalf("status %+v", st)
	}
}

func TestDamagedStateIsToldAndPassedOver(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	s.populated()
	file := filepath.Join(s.state, state.FileName)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	p := s.start()
	if st := p.Status(); len(st.Problems) == 0 && st.Revision == nil {
		t.Fatalf("status %+v", st)
	}
	p.settled("")
	if st := p.Status(); len(st.Problems) != 0 {
		t.Fatalf("problems after a new state was written: %v", st.Problems)
	}
}
