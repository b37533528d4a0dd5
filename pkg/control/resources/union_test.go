package resources

import (
	"maps"
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// set makes a set with EDS clusters name → generation, routes and one listener.
func set(t *testing.T, listener, routes string, clusters map[string]int64) *Set {
	t.Helper()
	cs, es := map[string]*clusterv3.Cluster{}, map[string]*endpointv3.ClusterLoadAssignment{}
	for name, generation := range clusters {
		service := name + "@" + string(rune('0'+generation))
		cs[name] = &clusterv3.Cluster{
			Name: name, ConnectTimeout: durationpb.New(time.Second),
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
			EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{ServiceName: service, EdsConfig: &corev3.ConfigSource{}},
		}
		es[service] = &endpointv3.ClusterLoadAssignment{ClusterName: service}
	}
	out := &Set{}
	var err error
	if out.Clusters, err = NewGroup(cs); err != nil {
		t.Fatal(err)
	}
	if out.Endpoints, err = NewGroup(es); err != nil {
		t.Fatal(err)
	}
	if out.Listeners, err = NewGroup(map[string]*listenerv3.Listener{listener: {Name: listener}}); err != nil {
		t.Fatal(err)
	}
	rc := config(routes)
	if out.Routes, err = NewGroup(map[string]Message{rc.GetName(): rc}); err != nil {
		t.Fatal(err)
	}
	return out
}

func keys(g Group) []string { return slices.Sorted(maps.Keys(g)) }

func TestUnion(t *testing.T) {
	old := set(t, "l1", "all:A,last", map[string]int64{"orders": 1, "stock": 1})
	target := set(t, "l2", "all:B,last", map[string]int64{"orders": 2, "mail": 1})
	add, err := Union([]*Set{old}, []*Set{target, old})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keys(add.Clusters), []string{"mail", "orders", "stock"}; !slices.Equal(got, want) {
		t.Errorf("clusters %v", got)
	}
	if add.Clusters["orders"].Version != target.Clusters["orders"].Version {
		t.Error("the old cluster won over the target's")
	}
	if got, want := keys(add.Endpoints), []string{"mail@1", "orders@1", "orders@2", "stock@1"}; !slices.Equal(got, want) {
		t.Errorf("endpoints %v", got)
	}
	if !slices.Equal(keys(add.Listeners), []string{"l1"}) || add.Routes.Version() != old.Routes.Version() {
		t.Error("routes and listeners are not the old ones")
	}
	both, err := Union([]*Set{target, old}, []*Set{target, old})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keys(both.Listeners), []string{"l2"}) {
		t.Errorf("listeners %v", keys(both.Listeners))
	}
	if v := both.Routes.Version(); v == target.Routes.Version() || v == old.Routes.Version() {
		t.Error("routes are those of one revision only")
	}
	if got, want := keys(both.Referenced().Endpoints), []string{"mail@1", "orders@2", "stock@1"}; !slices.Equal(got, want) {
		t.Errorf("referenced endpoints %v, want %v", got, want)
	}
	alone, err := Union([]*Set{target}, []*Set{target})
	if err != nil {
		t.Fatal(err)
	}
	if alone.Version() != target.Version() {
		t.Error("a union of one set differs from it")
	}
}

func TestUnionIsNeverEmpty(t *testing.T) {
	whole := set(t, "l", "all:A", map[string]int64{"orders": 1})
	for name, broken := range map[string]*Set{
		"no listener": {Clusters: whole.Clusters, Endpoints: whole.Endpoints, Routes: whole.Routes},
		"no cluster":  {Endpoints: whole.Endpoints, Routes: whole.Routes, Listeners: whole.Listeners},
		"no routes":   {Clusters: whole.Clusters, Endpoints: whole.Endpoints, Listeners: whole.Listeners},
	} {
		if _, err := Union([]*Set{broken}, []*Set{broken}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Union(nil, nil); err == nil {
		t.Error("no sets: no error")
	}
}

func TestVersionsAreOfContent(t *testing.T) {
	a := set(t, "l", "all:A", map[string]int64{"orders": 1, "stock": 1})
	b := set(t, "l", "all:A", map[string]int64{"stock": 1, "orders": 1})
	if a.Version() != b.Version() {
		t.Error("equal sets have different versions")
	}
	if c := set(t, "l", "all:A", map[string]int64{"stock": 2, "orders": 1}); a.Version() == c.Version() {
		t.Error("different sets have one version")
	}
	if HashVersions(map[string]string{"a": "bc"}) == HashVersions(map[string]string{"ab": "c"}) {
		t.Error("names and versions run into each other")
	}
	if _, err := NewGroup(map[string]*listenerv3.Listener{"x": {Name: "y"}}); err == nil {
		t.Error("a resource under a foreign name")
	}
	if got := a.Snapshot().GetVersion(resourcev3.RouteType); got != a.Routes.Version() {
		t.Errorf("snapshot version %s", got)
	}
	if a.Group(names.TypeURLRoutePolicy) != nil {
		t.Error("a set has policies")
	}
}
