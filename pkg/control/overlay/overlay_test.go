package overlay

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func assignment(t testing.TB, service string, revision int) *endpointv3.ClusterLoadAssignment {
	t.Helper()
	out := &endpointv3.ClusterLoadAssignment{ClusterName: service}
	for region := range 2 {
		group := &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Region: fmt.Sprint("r", region)}, Priority: uint32(region)}
		for i := range 2 {
			meta, err := structpb.NewStruct(map[string]any{names.MetadataEndpoint: fmt.Sprintf("r%d-%d", region, i)})
			if err != nil {
				t.Fatal(err)
			}
			group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
				Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{names.MetadataNamespace: meta}},
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{
					Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
						Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(7000 + 100*revision + 10*region + i)},
					}},
				}}},
			})
		}
		out.Endpoints = append(out.Endpoints, group)
	}
	return out
}

// bases are sets of a few revisions with n servers each.
func bases(t testing.TB, revisions, n int) []*resources.Set {
	t.Helper()
	var out []*resources.Set
	for r := range revisions {
		all := map[string]*endpointv3.ClusterLoadAssignment{}
		for i := range n {
			name := fmt.Sprintf("s%d@%d", i, r)
			all[name] = assignment(t, name, r)
		}
		group, err := resources.NewGroup(all)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &resources.Set{Endpoints: group})
	}
	return out
}

func someHealth(r *rand.Rand) model.Health {
	h := model.Health{Endpoints: map[string]model.EndpointHealth{}, Regions: map[string]model.HealthState{}}
	for _, name := range []string{"r0-0", "r0-1", "r1-0", "r1-1"} {
		if r.IntN(2) == 0 {
			h.Endpoints[name] = model.EndpointHealth{State: model.HealthState(r.IntN(4)), Weight: r.IntN(101), Ordered: r.IntN(4) == 0}
		}
	}
	if r.IntN(4) == 0 {
		h.Regions[fmt.Sprint("r", r.IntN(2))] = model.Draining
	}
	if r.IntN(3) == 0 {
		return model.Health{}
	}
	return h
}

// TestAnyHistory: whatever was said before, what counts is what was said last of each server.
func TestAnyHistory(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := bases(t, 3, 5)
	var l Layer
	now := map[string]model.Health{}
	for range 300 {
		for range r.IntN(4) {
			server := fmt.Sprint("s", r.IntN(5))
			now[server] = someHealth(r)
			l.Set(server, now[server])
		}
		base := all[r.IntN(len(all))]
		got, err := l.Over(base)
		if err != nil {
			t.Fatal(err)
		}
		var fresh Layer
		for server, h := range now {
			fresh.Set(server, h)
		}
		want, err := fresh.Over(base)
		if err != nil {
			t.Fatal(err)
		}
		if got.Endpoints.Version() != want.Endpoints.Version() {
			t.Fatal("not what would be laid over it from nothing")
		}
		if again, err := l.Over(base); err != nil || again != got {
			t.Fatalf("another set for the same: %v", err)
		}
		if r.IntN(20) == 0 {
			l.Keep(func(yield func(*resources.Set) bool) { yield(all[0]) })
		}
	}
	for server := range now {
		l.Set(server, model.Health{})
	}
	if got, err := l.Over(all[0]); err != nil || got != all[0] {
		t.Errorf("all is well again, and it is another set: %v", err)
	}
}

func TestRefused(t *testing.T) {
	base := bases(t, 1, 2)[0]
	var l Layer
	sick := model.Health{Endpoints: map[string]model.EndpointHealth{"r0-0": {State: model.Unhealthy}}}
	l.Set("s0", sick)
	l.Set("s1", sick)
	over, err := l.Over(base)
	if err != nil {
		t.Fatal(err)
	}
	if l.Refused(base, base, nil) || l.Refused(base, over, []string{"s9@0"}) {
		t.Error("a refusal of something else is taken for one of health")
	}
	if !l.Refused(base, over, []string{"s0@0"}) {
		t.Fatal("a refusal of health is not known as one")
	}
	got, err := l.Over(base)
	if err != nil || got.Endpoints["s0@0"].Version != base.Endpoints["s0@0"].Version || got.Endpoints["s1@0"].Version != over.Endpoints["s1@0"].Version {
		t.Errorf("after the refusal: %v", err)
	}
	if !l.Refused(base, got, nil) {
		t.Error("a refusal of anything")
	}
	if got, err := l.Over(base); err != nil || got != base {
		t.Errorf("after a refusal of all: %v", err)
	}
}

// BenchmarkOneOfMany: a change of one server of a thousand.
func BenchmarkOneOfMany(b *testing.B) {
	base := bases(b, 1, 1000)[0]
	var l Layer
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Set("s500", model.Health{Endpoints: map[string]model.EndpointHealth{"r0-0": {Weight: 1 + i%99}}})
		if _, err := l.Over(base); err != nil {
			b.Fatal(err)
		}
	}
}
