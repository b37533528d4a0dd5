package state

import (
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

func contents(t testing.TB) Contents {
	t.Helper()
	cfg, err := config.Parse([]config.File{{Name: "shop.yaml", Data: []byte(`
kind: MCPServer
metadata: {name: orders}
spec:
  regions: [{name: asia-south1, endpoints: [{address: "127.0.0.1:7101"}]}]
---
kind: MCPRoute
metadata: {name: shop}
spec:
  servers: [{name: orders}]
`)}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := revision.Compiler{Processors: []string{"unix:///run/extproc-1.sock"}}.Compile(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Contents{
		Revisions: []*revision.Revision{r, revision.Restore("older", r.Policies, r.Sets())},
		Nodes:     []rollout.Node{{ID: "e1", Kind: rollout.Envoy}, {ID: "x1", Kind: rollout.Processor}},
	}
}

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "deep", "state"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRoundTrip(t *testing.T) {
	d, want := open(t), contents(t)
	for range 2 {
		if err := d.Save(want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Nodes, got.Nodes); diff != "" {
		t.Error(diff)
	}
	if len(got.Revisions) != 2 || got.Revisions[1].Version != "older" {
		t.Fatalf("revisions %v", got.Revisions)
	}
	for i, r := range got.Revisions {
		if r.Policies.Version() != want.Revisions[i].Policies.Version() {
			t.Error("policies differ")
		}
		sets := want.Revisions[i].Sets()
		if got, want := slices.Sorted(maps.Keys(r.Sets())), slices.Sorted(maps.Keys(sets)); !slices.Equal(got, want) {
			t.Fatalf("regions %v, want %v", got, want)
		}
		for region, set := range r.Sets() {
			if set.Version() != sets[region].Version() {
				t.Errorf("region %q differs", region)
			}
		}
	}
	files, err := os.ReadDir(d.path)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("%d files are left", len(files))
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read the state: %s", info.Mode())
		}
	}
}

func TestNothingSaved(t *testing.T) {
	got, err := open(t).Load()
	if err != nil || len(got.Revisions)+len(got.Nodes) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestDamage(t *testing.T) {
	d := open(t)
	if err := d.Save(contents(t)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.path, FileName)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":     {},
		"half":      good[:len(good)/2],
		"longer":    append(slices.Clone(good), 0),
		"other":     []byte("something else altogether"),
		"magic":     []byte(magic),
		"one bit":   flip(good, len(good)-5),
		"bad check": flip(good, len(magic)+3),
	} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Load(); err == nil || len(got.Revisions) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func flip(data []byte, at int) []byte {
	out := slices.Clone(data)
	out[at] ^= 1
	return out
}

func TestSaveSaysWhatFailed(t *testing.T) {
	d := open(t)
	if err := os.RemoveAll(d.path); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(Contents{}); err == nil || !strings.Contains(err.Error(), "saving the rollout") {
		t.Fatalf("error %v", err)
	}
}

// FuzzDecode: a file with a right checksum may still be nonsense.
func FuzzDecode(f *testing.F) {
	dir, body := saved(f)
	f.Add([]byte{})
	f.Add(body)
	f.Add([]byte("\x0a\x07\x0a\x01v\x1a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		c, _, err := decode(dir, slices.Concat([]byte(magic), sum[:], body))
		if err != nil && len(c.Revisions) > 0 {
			t.Error("contents beside an error")
		}
		for _, r := range c.Revisions {
			for region, set := range r.Sets() {
				if err := set.Usable(); err != nil {
					t.Errorf("region %q: %v", region, err)
				}
			}
		}
	})
}

// saved gives a directory with the contents, and what the state file says about them.
func saved(tb testing.TB) (dir string, body []byte) {
	tb.Helper()
	d, err := Open(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	if err := d.Save(contents(tb)); err != nil {
		tb.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(d.path, FileName))
	if err != nil {
		tb.Fatal(err)
	}
	return d.path, data[len(magic)+sha256.Size:]
}
