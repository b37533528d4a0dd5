package policy

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestRestartWithoutControlPlane(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		c, end := running(t, Options{Conn: conn, StateDir: dir})
		s, _, _ := plane.subscribed(t)
		s.update(policies("1", pack(t, "a", "v1", validPolicy("a")), pack(t, "b", "v1", validPolicy("b"))))
		s.update(removal("2", "b"))
		s.update(policies("3", pack(t, "c", "v1", brokenPolicy("c"))))
		s.update(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLCatalog, Nonce: "4", Resources: []*discoveryv3.Resource{
			pack(t, "k1", "v1", &policyv1.CatalogEntry{Key: "k1"}),
		}})
		// Too soon after the first to be written at once; the end writes it.
		s.update(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLCatalog, Nonce: "5", Resources: []*discoveryv3.Resource{
			pack(t, "k2", "v1", &policyv1.CatalogEntry{Key: "k2"}),
		}})
		if c.Table().Len() != 1 {
			t.Fatalf("%d policies before the restart", c.Table().Len())
		}
		end()
	})
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		var keys []string
		c, end := running(t, Options{Conn: conn, StateDir: dir, Catalog: func(e *policyv1.CatalogEntry) { keys = append(keys, e.GetKey()) }})
		defer end()
		<-c.Loaded()
		if got := known(c, "a", "b", "c"); !slices.Equal(got, []string{"a"}) || c.Connected() {
			t.Errorf("policies %v, connected %v", got, c.Connected())
		}
		slices.Sort(keys)
		if !slices.Equal(keys, []string{"k1", "k2"}) {
			t.Errorf("catalog %v", keys)
		}
		_, sub, lists := plane.subscribed(t)
		if sub.GetInitialResourceVersions()["a"] != "v1" || len(sub.GetInitialResourceVersions()) != 1 || len(lists.GetInitialResourceVersions()) != 2 {
			t.Errorf("versions %v and %v", sub.GetInitialResourceVersions(), lists.GetInitialResourceVersions())
		}
	})
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	good := t.TempDir()
	set := map[string]resource{"a": {version: "v1", body: pack(t, "a", "v1", validPolicy("a")).GetResource()}}
	if err := save(good, policiesFile, set); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(good, policiesFile))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(content)
	flipped[len(flipped)-1] ^= 1
	broken := t.TempDir()
	if err := save(broken, policiesFile, map[string]resource{"a": {version: "v1", body: pack(t, "a", "v1", brokenPolicy("a")).GetResource()}}); err != nil {
		t.Fatal(err)
	}
	refused, err := os.ReadFile(filepath.Join(broken, policiesFile))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		content []byte
		want    string
	}{
		{"whole", content, "policies restored"},
		{"empty", nil, "cut short"},
		{"cut", content[:len(content)-1], "checksum"},
		{"flipped", flipped, "checksum"},
		{"of another program", []byte(strings.Repeat("x", 100)), "checksum"},
		{"does not compile any more", refused, "safe_method"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, policiesFile), tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, conn, stop := newControlPlane(t)
			defer stop()
			var log bytes.Buffer
			c, err := New(Options{Conn: conn, Node: Node{ID: "x"}, StateDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log.String(), tt.want) {
				t.Errorf("log %q, want %q", log.String(), tt.want)
			}
			if whole := tt.name == "whole"; (c.Table() != nil) != whole {
				t.Errorf("there is a table: %v, want %v", c.Table() != nil, whole)
			}
		})
	}
}

func TestSaveReplacesWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := save(dir, policiesFile, map[string]resource{version: {version: version}}); err != nil {
			t.Fatal(err)
		}
	}
	set, err := load(dir, policiesFile)
	if err != nil || len(set) != 1 || set["v2"].version != "v2" {
		t.Errorf("loaded %v, %v", set, err)
	}
	if err := save(filepath.Join(dir, "missing"), policiesFile, nil); err == nil {
		t.Error("saving into a directory that is not there succeeded")
	}
}
