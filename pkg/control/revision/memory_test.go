package revision

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
)

// fleet is a configuration of a few servers, changed at random.
type fleet struct {
	*rand.Rand
	servers map[string]string
	gateway string
}

func (f *fleet) edit() {
	name := fmt.Sprintf("s%d", f.IntN(6))
	switch f.IntN(8) {
	case 0:
		delete(f.servers, name)
	case 1:
		f.gateway = fmt.Sprintf("---\nkind: Gateway\nmetadata: {name: g}\nspec: {maxBodyBytes: %dKiB}\n", 64*(1+f.IntN(2)))
	default:
		mode := []string{"activePassive", "nearest", "activeActive"}[f.IntN(3)]
		f.servers[name] = fmt.Sprintf("---\nkind: MCPServer\nmetadata: {name: %s}\nspec:\n  connectTimeout: %dms\n  failover: {mode: %s}\n  regions:\n"+
			"    - {name: r1, endpoints: [{address: \"127.0.0.1:%d\"}]}\n    - {name: r2, endpoints: [{address: \"127.0.0.1:8000\"}]}\n", name, 500+f.IntN(2), mode, 7000+f.IntN(2))
	}
	f.servers["base"] = "---\nkind: MCPServer\nmetadata: {name: base}\nspec: {regions: [{name: r1, endpoints: [{address: \"127.0.0.1:9000\"}]}]}\n"
}

func (f *fleet) text() string {
	out := f.gateway
	for _, name := range slices.Sorted(maps.Keys(f.servers)) {
		out += f.servers[name]
	}
	return out + fmt.Sprintf("---\nkind: MCPRoute\nmetadata: {name: shop}\nspec: {servers: [{name: base}], tools: [{match: {name: a%d}, safe: true}]}\n", f.IntN(2))
}

func same(t *testing.T, got, want resources.Group) {
	t.Helper()
	if !maps.EqualFunc(got, want, func(a, b resources.Versioned) bool {
		return a.Version == b.Version && bytes.Equal(a.Body, b.Body) && len(a.Body) > 0
	}) {
		t.Fatal("what was remembered is not what is built anew")
	}
}

// TestRememberingChangesNothing: after any edits the result is that of a compiler which has
// seen nothing.
func TestRememberingChangesNothing(t *testing.T) {
	for seed := range uint64(8) {
		f := &fleet{Rand: rand.New(rand.NewPCG(seed, 2)), servers: map[string]string{}}
		remembering := compiler.Remembering()
		var index config.Index
		for range 25 {
			f.edit()
			text := f.text()
			cfg, err := index.Parse([]config.File{{Name: "shop.yaml", Data: []byte(text)}})
			if err != nil {
				t.Fatal(err)
			}
			also := []string{"r2", "elsewhere"}[:f.IntN(3)]
			got, err := remembering.Compile(cfg, also)
			if err != nil {
				t.Fatal(err)
			}
			want, err := compiler.Compile(parse(t, text), also)
			if err != nil {
				t.Fatal(err)
			}
			if got.Version != want.Version || len(got.Sets()) != len(want.Sets()) {
				t.Fatalf("version %s, want %s", got.Version, want.Version)
			}
			same(t, got.Policies, want.Policies)
			for region, set := range want.Sets() {
				for _, typeURL := range resources.Types() {
					same(t, got.Sets()[region].Group(typeURL), set.Group(typeURL))
				}
			}
		}
	}
}

// A change of one server makes one cluster and its endpoints; regions without an order of
// their own have one set.
func TestOnlyWhatChangedIsBuilt(t *testing.T) {
	remembering := compiler.Remembering()
	text := func(timeout int, mode string) string {
		var out string
		for n := range 10 {
			ms := 1000
			if n == 3 {
				ms = timeout
			}
			out += fmt.Sprintf("---\nkind: MCPServer\nmetadata: {name: s%d}\nspec:\n  connectTimeout: %dms\n  failover: {mode: %s}\n  regions:\n    - {name: r1, endpoints: [{address: \"127.0.0.1:%d\"}]}\n    - {name: r2, endpoints: [{address: \"127.0.0.1:8%03d\"}]}\n", n, ms, mode, 7000+n, n)
		}
		return out + "---\nkind: MCPRoute\nmetadata: {name: shop}\nspec: {servers: [{name: s0}]}\n"
	}
	compiled := func(timeout int, mode string) *Revision {
		t.Helper()
		r, err := remembering.Compile(parse(t, text(timeout, mode)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before, after := compiled(1000, "activePassive"), compiled(1001, "activePassive")
	for name, r := range after.Sets()["r1"].Clusters {
		if shared := before.Sets()["r1"].Clusters[name].Message == r.Message; shared != (name != "s3" && name != "holdfast_extproc") && name[0] == 's' {
			t.Errorf("cluster %s is shared: %t", name, shared)
		}
	}
	sets := after.Sets()
	if sets[""] != sets["r1"] || sets["r1"] != sets["r2"] {
		t.Error("equal regions have sets of their own")
	}
	if nearest := compiled(1000, "nearest").Sets(); nearest["r1"] == nearest["r2"] || nearest[""] != nearest["r1"] {
		t.Error("regions with other orders share a set, or equal ones do not")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	remembering := compiler.Remembering()
	f := &fleet{Rand: rand.New(rand.NewPCG(7, 7)), servers: map[string]string{}}
	for range 300 {
		f.edit()
		if _, err := remembering.Compile(parse(t, f.text()), nil); err != nil {
			t.Fatal(err)
		}
	}
	m := remembering.memory
	// Three regions, of which two generations are kept.
	if n := len(m.sets); n > 3*3 {
		t.Errorf("%d sets are remembered", n)
	}
	models, servers := m.builder.Remembered()
	if models > 3*3 || servers > 3*3*7 {
		t.Errorf("%d models and %d servers are remembered", models, servers)
	}
}
