package control

import (
	"maps"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const twoRegionShop = `
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: mumbai-1, address: "127.0.0.1:7101"}, {name: mumbai-2, address: "127.0.0.1:7111"}]}
    - {name: asia-south2, endpoints: [{name: delhi-1, address: "127.0.0.1:7102"}]}
---
kind: MCPServer
metadata: {name: mail}
spec:
  regions:
    - {name: asia-south2, endpoints: [{name: post, address: "127.0.0.1:7202"}]}
---
kind: MCPRoute
metadata: {name: shop}
spec: {servers: [{name: orders}, {name: mail}]}
`

const draining = "DRAINING"

func (p *plane) setDrain(r *adminv1.SetDrainRequest) ([]*adminv1.Drain, error) {
	p.t.Helper()
	answer, err := p.Backend().SetDrain(p.t.Context(), r, caller)
	return answer.GetDrains(), err
}

func (p *plane) mustDrain(r *adminv1.SetDrainRequest) {
	p.t.Helper()
	if _, err := p.setDrain(r); err != nil {
		p.t.Fatal(err)
	}
}

func TestDrainReachesEverybodyAndSurvivesARestart(t *testing.T) {
	site := newSite(t)
	site.write(twoRegionShop)
	p := site.start()
	p.settled("")
	e := p.envoy("e1", peerOptions{})
	x := p.peer("x1", peerOptions{}, names.TypeURLRoutePolicy, names.TypeURLShares)
	waitFor(t, "endpoints", func() bool { return len(e.states()) == 4 })
	p.mustDrain(&adminv1.SetDrainRequest{Target: "asia-south1", Reason: "database upgrade", Until: timestamppb.New(time.Now().Add(time.Hour))})
	drained := func(e, x *peer) func() bool {
		return func() bool {
			s := e.states()
			return s["mumbai-1"] == draining && s["mumbai-2"] == draining && s["delhi-1"] == fine && s["post"] == fine &&
				len(x.versions()[names.TypeURLShares]) == 1
		}
	}
	waitFor(t, "drained region", drained(e, x))
	shown := p.until("drain in the status", func(s status.Status) bool { return len(s.Drains) == 1 }).Drains[0]
	if shown.Region != "asia-south1" || shown.By != "operator "+caller || shown.Reason != "database upgrade" || shown.Until == nil || shown.SessionsUntil.Sub(shown.Since) != defaultDrainSessions {
		t.Errorf("%+v", shown)
	}
	versions, shares := e.versions(), x.versions()[names.TypeURLShares]
	p.stop()

	// Neither Envoy nor the processor is told anything new by the next control plane.
	p = site.start()
	e = p.envoy("e1", peerOptions{has: versions})
	x = p.peer("x1", peerOptions{has: map[string]map[string]string{names.TypeURLShares: shares}}, names.TypeURLRoutePolicy, names.TypeURLShares)
	p.settled("")
	p.until("sync", func(s status.Status) bool {
		return len(s.Nodes) == 2 && s.Nodes[0].Sync == status.Synced && len(s.Drains) == 1
	})
	if n := e.responsesOf("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"); n != 0 || !maps.Equal(x.versions()[names.TypeURLShares], shares) {
		t.Errorf("%d responses with endpoints after a restart, shares %v", n, x.versions()[names.TypeURLShares])
	}
	fresh := p.envoy("e2", peerOptions{})
	waitFor(t, "drained region", drained(fresh, x))
	p.mustDrain(&adminv1.SetDrainRequest{Target: "asia-south1", Undrain: true})
	waitFor(t, "service again", func() bool { return fresh.states()["mumbai-1"] == fine && len(x.versions()[names.TypeURLShares]) == 0 })
}

func TestSessionsOfADrainEnd(t *testing.T) {
	site := newSite(t)
	site.write(twoRegionShop)
	p := site.start()
	p.settled("")
	e := p.envoy("e1", peerOptions{})
	waitFor(t, "endpoints", func() bool { return len(e.states()) == 4 })
	p.mustDrain(&adminv1.SetDrainRequest{
		Server: "orders", Target: "mumbai-1", Sessions: durationpb.New(1500 * time.Millisecond), Until: timestamppb.New(time.Now().Add(3 * time.Second)),
	})
	for _, state := range []string{draining, sick, fine} {
		waitFor(t, state, func() bool { return e.states()["mumbai-1"] == state })
	}
	if len(p.Status().Drains) != 0 {
		t.Errorf("%+v", p.Status().Drains)
	}
}

func TestDrainRefuses(t *testing.T) {
	site := newSite(t)
	site.write(twoRegionShop)
	p := site.start()
	p.settled("")
	for _, c := range []struct {
		name    string
		request *adminv1.SetDrainRequest
		code    connect.Code
		words   string
	}{
		{"a region that is misspelt", &adminv1.SetDrainRequest{Target: "asia-sout1"}, connect.CodeNotFound, `did you mean "asia-south1"?`},
		{"a server that is misspelt", &adminv1.SetDrainRequest{Server: "order", Target: "asia-south1"}, connect.CodeNotFound, `did you mean "orders"?`},
		{"another server's endpoint", &adminv1.SetDrainRequest{Server: "orders", Target: "post"}, connect.CodeNotFound, "region or endpoint"},
		{"the only region of one server", &adminv1.SetDrainRequest{Target: "asia-south2"}, connect.CodeFailedPrecondition, `server "mail" would be left: asia-south2 drained`},
		{"the only endpoint", &adminv1.SetDrainRequest{Target: "post"}, connect.CodeFailedPrecondition, "with force"},
		{"a time that is over", &adminv1.SetDrainRequest{Target: "asia-south1", Until: timestamppb.New(time.Unix(1, 0))}, connect.CodeInvalidArgument, "is over"},
		{"what is not drained", &adminv1.SetDrainRequest{Target: "asia-south1", Undrain: true}, connect.CodeFailedPrecondition, "not drained"},
		{"what is not there", &adminv1.SetDrainRequest{Target: "asia-sout1", Undrain: true}, connect.CodeNotFound, "did you mean"},
	} {
		if _, err := p.setDrain(c.request); api.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if len(p.Status().Drains) != 0 {
		t.Fatalf("%+v", p.Status().Drains)
	}
	// The region that is left counts only while it is healthy, and is not drained itself.
	p.SetHealth("orders", stateOf("delhi-1", model.Unhealthy))
	if _, err := p.setDrain(&adminv1.SetDrainRequest{Server: "orders", Target: "asia-south1"}); api.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "asia-south2 unhealthy") {
		t.Errorf("beside a sick region: %v", err)
	}
	p.SetHealth("orders", model.Health{})
	p.mustDrain(&adminv1.SetDrainRequest{Server: "orders", Target: "asia-south1"})
	if _, err := p.setDrain(&adminv1.SetDrainRequest{Server: "orders", Target: "delhi-1"}); api.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("the rest: %v", err)
	}
	p.mustDrain(&adminv1.SetDrainRequest{Server: "orders", Target: "delhi-1", Force: true})
	if _, err := p.setDrain(&adminv1.SetDrainRequest{Server: "mail", Target: "asia-south1", Undrain: true}); api.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "orders") {
		t.Errorf("of another server: %v", err)
	}
}
