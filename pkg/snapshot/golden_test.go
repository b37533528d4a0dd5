package snapshot_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testRegion is the region of the Envoy that the goldens are for.
const testRegion = "asia-south2"

func build(t *testing.T, file string) *snapshot.Resources {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return buildBytes(t, filepath.Base(file), data)
}

func buildBytes(t *testing.T, name string, data []byte) *snapshot.Resources {
	t.Helper()
	cfg, err := config.Parse([]config.File{{Name: name, Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Build(cfg, model.Options{Region: testRegion, Processors: []string{"unix:///run/extproc-1.sock"}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := snapshot.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func inputs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no inputs under testdata: %v", err)
	}
	return files
}

// TestGolden holds one pair of files a feature: what people write, what Envoy and
// the processors get. What no feature changes stands only in basic.golden.yaml;
// the others hold what differs from it.
func TestGolden(t *testing.T) {
	base := render(t, build(t, "testdata/basic.in.yaml"))
	var expected []string
	for _, in := range inputs(t) {
		name := strings.TrimSuffix(filepath.Base(in), ".in.yaml")
		golden := filepath.Join("testdata", name+".golden.yaml")
		expected = append(expected, golden)
		t.Run(name, func(t *testing.T) {
			tree := render(t, build(t, in))
			if name != "basic" {
				tree = difference(base, tree)
			}
			got := yamlOf(t, tree)
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v (make golden writes it)", err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("%s differs (-want +got), `make golden` if that is meant:\n%s", golden, d)
			}
		})
	}
	all, err := filepath.Glob("testdata/*.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if !slices.Contains(expected, g) {
			t.Errorf("%s has no input any more", g)
		}
	}
}

// TestDeterministic: equal models give equal bytes, on which versions rest.
func TestDeterministic(t *testing.T) {
	for _, in := range inputs(t) {
		a, b := build(t, in), build(t, in)
		for kind, pair := range map[string][2]map[string]types.Resource{
			"listeners": {a.Listeners, b.Listeners}, "routes": {a.Routes, b.Routes},
			"clusters": {a.Clusters, b.Clusters}, "endpoints": {a.Endpoints, b.Endpoints},
		} {
			for name := range pair[0] {
				x, y := bytesOf(t, pair[0][name]), bytesOf(t, pair[1][name])
				if !bytes.Equal(x, y) {
					t.Errorf("%s: %s %q differs between two builds", in, kind, name)
				}
			}
		}
	}
}

func bytesOf(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// render is a tree of plain values by kind and name.
func render(t *testing.T, r *snapshot.Resources) map[string]any {
	t.Helper()
	policies := map[string]proto.Message{}
	for name, p := range r.Policies {
		policies[name] = p
	}
	out := map[string]any{}
	for kind, set := range map[string]map[string]proto.Message{
		"listeners": messages(r.Listeners), "routes": messages(r.Routes), "clusters": messages(r.Clusters),
		"endpoints": messages(r.Endpoints), "policies": policies,
	} {
		byName := map[string]any{}
		for name, m := range set {
			text, err := protojson.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			byName[name] = v
		}
		out[kind] = byName
	}
	return out
}

func messages(set map[string]types.Resource) map[string]proto.Message {
	out := make(map[string]proto.Message, len(set))
	for name, m := range set {
		out[name] = m
	}
	return out
}

// difference keeps of got what base does not hold alike; lists are taken whole.
func difference(base, got map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range got {
		old, ok := base[k]
		if ok && cmp.Equal(old, v) {
			continue
		}
		oldMap, isOldMap := old.(map[string]any)
		newMap, isNewMap := v.(map[string]any)
		if isOldMap && isNewMap {
			out[k] = difference(oldMap, newMap)
			continue
		}
		out[k] = v
	}
	for _, k := range slices.Sorted(maps.Keys(base)) {
		if _, ok := got[k]; !ok {
			out[k] = "(not there)"
		}
	}
	return out
}

func yamlOf(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
