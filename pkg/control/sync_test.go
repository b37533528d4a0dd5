package control

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

var envoyTypes = []string{resourcev3.ClusterType, resourcev3.EndpointType, resourcev3.ListenerType, resourcev3.RouteType}

func TestNothingIsServedBeforeTheFirstValidRevision(t *testing.T) {
	s := newSite(t)
	p := s.start()
	e := p.envoy("e1", peerOptions{region: "asia-south1"})
	x := p.processor("x1", peerOptions{})
	p.until("refusal of the empty directory", func(s status.Status) bool {
		return s.Refused != nil && s.Refused.Standing && len(s.Nodes) == 2
	})
	e.staysQuiet(envoyTypes...)
	x.staysQuiet(names.TypeURLRoutePolicy)
	if st := p.Status(); st.Ready || !strings.Contains(st.Reason, "no valid configuration yet") || st.Revision != nil {
		t.Fatalf("status %+v", st)
	}

	s.write(shop{}.yaml())
	version := p.settled("")
	waitFor(t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	if got := len(e.versions()[resourcev3.EndpointType]); got != 1 {
		t.Fatalf("%d load assignments", got)
	}
	st := p.until("everybody in sync", func(s status.Status) bool {
		return !slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced })
	})
	if !st.Ready || st.Refused.Standing || st.Revision.Version != version {
		t.Fatalf("status %+v", st)
	}
	n := p.node("e1")
	if n.Kind != "envoy" || n.Region != "asia-south1" || n.Protocol != "delta" || n.UserAgent != "test" || !slices.Equal(n.Revisions, []string{version}) {
		t.Fatalf("node %+v", n)
	}
	// What the status calls acknowledged is what the peer has.
	if want := resources.HashVersions(e.versions()[resourcev3.ClusterType]); n.Types["clusters"].Acked != want {
		t.Fatalf("acked clusters %s, the peer has %s", n.Types["clusters"].Acked, want)
	}
	if len(st.Servers) != 1 || st.Servers[0].Regions[0].Endpoints[0].Address != "127.0.0.1:7101" {
		t.Fatalf("servers %+v", st.Servers)
	}
}

func TestEmptyInvalidOrMissingDirectoryChangesNothing(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	version := p.settled("")
	e := p.envoy("e1", peerOptions{})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	before := e.versions()
	file := filepath.Join(s.config, "holdfast.yaml")
	for _, c := range []struct {
		name, words string
		do          func() error
	}{
		{"a fault", "MCPServr", func() error { return os.WriteFile(file, []byte("kind: MCPServr\n"), 0o600) }},
		{"an empty directory", "", func() error { return os.Remove(file) }},
		{"no directory", "", func() error { return os.RemoveAll(s.config) }},
	} {
		last := ""
		if r := p.Status().Refused; r != nil {
			last = r.Error
		}
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		st := p.until("refusal of "+c.name, func(s status.Status) bool {
			return s.Refused != nil && s.Refused.Standing && s.Refused.Error != last
		})
		if !strings.Contains(st.Refused.Error, c.words) {
			t.Errorf("%s: refused with %q", c.name, st.Refused.Error)
		}
		if !st.Ready || st.Revision.Version != version {
			t.Errorf("%s: status %+v", c.name, st)
		}
	}
	e.staysQuiet(envoyTypes...)
	if err := os.Mkdir(s.config, 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(shop{}.yaml())
	st := p.until("end of the refusal", func(s status.Status) bool { return !s.Refused.Standing })
	if st.Revision.Version != version {
		t.Fatalf("the same content made revision %s, not %s", st.Revision.Version, version)
	}
	for _, typeURL := range envoyTypes {
		if got := e.versions()[typeURL]; !resourcesEqual(got, before[typeURL]) {
			t.Errorf("%s changed from %v to %v", typeURL, before[typeURL], got)
		}
	}
}

func resourcesEqual(a, b map[string]string) bool {
	return resources.HashVersions(a) == resources.HashVersions(b)
}

func TestNackKeepsTheLastGoodAndIsNotSentAgain(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	var refusing atomic.Bool
	const said = "Error adding/updating cluster(s) stock: something is wrong with it"
	bad := p.envoy("bad", peerOptions{judge: func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if refusing.Load() && slices.ContainsFunc(r.GetResources(), func(r *discoveryv3.Resource) bool { return r.GetName() == "stock" }) {
			return said
		}
		return ""
	}})
	good := p.envoy("good", peerOptions{})
	x := p.processor("x1", peerOptions{})
	connected := time.Now()
	for _, e := range []*peer{bad, good} {
		waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	}
	waitFor(t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	// What is shown within a second takes longer where everything does.
	within := time.Second + 10*time.Since(connected)
	policies := x.versions()[names.TypeURLRoutePolicy]
	had, hadStamps := good.versions(), good.stamps()
	clusters, routes := bad.received(resourcev3.ClusterType), bad.received(resourcev3.RouteType)

	refusing.Store(true)
	s.write(shop{servers: []string{"stock"}, to: "stock"}.yaml())
	started := time.Now()
	st := p.until("rejection", func(s status.Status) bool { return s.Rejected != nil })
	if took := time.Since(started); took > within {
		t.Errorf("it took %s, more than %s", took, within)
	}
	if st.Rejected.Node != "bad" || st.Rejected.Type != "clusters" || st.Rejected.Detail != said || st.Rejected.Version == first {
		t.Fatalf("rejected %+v", st.Rejected)
	}
	st = p.until("return to the first revision", func(s status.Status) bool {
		return s.Revision.Version == first && s.Revision.Phase == "done" &&
			!slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced })
	})
	if n := p.node("bad"); n.Nack == nil || n.Nack.Detail != said || n.Nack.Standing || n.Nack.Revision != st.Rejected.Version {
		t.Fatalf("nack %+v", n.Nack)
	}
	bad.staysQuiet(envoyTypes...)
	// One response with the new clusters, one that takes them back. No more.
	if n := bad.received(resourcev3.ClusterType) - clusters; n != 2 {
		t.Errorf("%d cluster responses, want 2", n)
	}
	if n := bad.received(resourcev3.RouteType) - routes; n != 0 {
		t.Errorf("%d route responses, want none", n)
	}
	if got := good.versions()[resourcev3.ClusterType]; !resourcesEqual(got, had[resourcev3.ClusterType]) {
		t.Errorf("good has clusters %v, had %v", got, had[resourcev3.ClusterType])
	}
	if got := good.stamps(); !resourcesEqual(got, hadStamps) {
		t.Errorf("good has stamps %v, had %v", got, hadStamps)
	}
	if got := x.versions()[names.TypeURLRoutePolicy]; !resourcesEqual(got, policies) {
		t.Errorf("policies changed from %v to %v", policies, got)
	}

	// A newer revision goes out again, and ends the rejection.
	refusing.Store(false)
	s.write(shop{servers: []string{"stock", "mail"}, to: "stock"}.yaml())
	if second := p.settled(first); second == st.Rejected.Version {
		t.Fatalf("settled on the rejected revision")
	}
	if r := p.Status().Rejected; r != nil {
		t.Fatalf("still rejected: %+v", r)
	}
	waitFor(t, "new clusters", func() bool { return bad.clusters()["mail"] != nil })
}

func TestFirstRevisionRefusedIsNotSentAgain(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	e := p.envoy("e1", peerOptions{judge: func(*discoveryv3.DeltaDiscoveryResponse) string { return "never" }})
	p.until("the words", func(s status.Status) bool {
		return len(s.Nodes) == 1 && s.Nodes[0].Nack != nil && s.Nodes[0].Sync == status.Rejecting
	})
	e.staysQuiet(envoyTypes...)
	if n := e.received(resourcev3.ClusterType); n != 1 {
		t.Fatalf("%d responses to an Envoy that refuses, want 1", n)
	}
}

func TestSilenceIsAState(t *testing.T) {
	s := newSite(t)
	s.silentAfter = 20 * time.Millisecond
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	p.envoy("mute", peerOptions{judge: func(*discoveryv3.DeltaDiscoveryResponse) string { return hold }})
	st := p.until("silence", func(s status.Status) bool { return len(s.Nodes) == 1 && s.Nodes[0].Sync == status.Silent })
	if n := st.Nodes[0]; n.SilentSince == nil || !n.Types["clusters"].Pending {
		t.Fatalf("node %+v", n)
	}
}

func TestEnvoyIsAskedFirst(t *testing.T) {
	s := newSite(t)
	script := filepath.Join(t.TempDir(), "envoy")
	// It stands for an Envoy that cannot do with a server called stock.
	text := "#!/bin/sh\nfor last; do :; done\nif grep -q '\"stock\"' \"$4\"; then echo \"error initializing: no stock in $4\" >&2; exit 1; fi\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	s.check = &revision.EnvoyCheck{Path: script}
	s.write(shop{}.yaml())
	p := s.start()
	version := p.settled("")
	s.write(shop{servers: []string{"stock"}}.yaml())
	st := p.until("refusal", func(s status.Status) bool { return s.Refused != nil })
	if want := "error initializing: no stock in envoy.json"; !strings.Contains(st.Refused.Error, want) || !st.Refused.Standing {
		t.Fatalf("refused %+v, want %q", st.Refused, want)
	}
	if st.Revision.Version != version {
		t.Fatalf("revision %+v", st.Revision)
	}
	s.write(shop{servers: []string{"mail"}}.yaml())
	p.settled(version)
}
