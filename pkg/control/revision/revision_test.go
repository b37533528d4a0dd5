package revision

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

const shop = `
kind: MCPServer
metadata: {name: orders}
spec:
  failover: {mode: %s}
  regions:
    - {name: asia-south1, endpoints: [{name: mumbai, address: "127.0.0.1:7101"}]}
    - {name: asia-south2, endpoints: [{name: delhi, address: "127.0.0.1:7102"}]}
---
kind: MCPRoute
metadata: {name: shop}
spec:
  servers: [{name: orders}]
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse([]config.File{{Name: "shop.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

var compiler = Compiler{Processors: []string{"unix:///run/extproc-1.sock"}}

func compile(t *testing.T, c Compiler, mode string, also ...string) *Revision {
	t.Helper()
	r, err := c.Compile(parse(t, fmt.Sprintf(shop, mode)), also)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVersionIsOfContent(t *testing.T) {
	a := compile(t, compiler, "activePassive")
	if b := compile(t, compiler, "activePassive", "europe-west1", "asia-south2"); a.Version != b.Version {
		t.Error("who is connected changes the version")
	}
	commented := "# nothing that matters\n" + fmt.Sprintf(shop, "activePassive")
	if b, err := compiler.Compile(parse(t, commented), nil); err != nil || b.Version != a.Version {
		t.Errorf("a comment changes the version: %v", err)
	}
	// These two differ for Envoys in Delhi only.
	if b := compile(t, compiler, "nearest"); a.Version == b.Version {
		t.Error("a change that shows in one region has the same version")
	}
	moved := compiler
	moved.Remap = map[string]string{"127.0.0.1:7101": "127.0.0.1:7999"}
	b := compile(t, moved, "activePassive")
	if a.Version == b.Version {
		t.Error("a moved address has the same version")
	}
	if got := b.Servers[0].Regions[0].Endpoints[0].Address; got != "127.0.0.1:7999" {
		t.Errorf("summary has %s", got)
	}
}

func TestRegions(t *testing.T) {
	r := compile(t, compiler, "nearest", "europe-west1")
	delhi, err := r.Set("asia-south2")
	if err != nil {
		t.Fatal(err)
	}
	mumbai, err := r.Set("asia-south1")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := r.Set("europe-west1")
	if err != nil {
		t.Fatal(err)
	}
	if delhi.Endpoints.Version() == mumbai.Endpoints.Version() {
		t.Error("both regions have one order of failover")
	}
	if elsewhere.Version() != mumbai.Version() {
		t.Error("a region without endpoints has not the written order")
	}
	if n := len(r.Sets()); n != 4 {
		t.Errorf("%d regions built", n)
	}
	for i := range maxRegions {
		_, err = r.Set(fmt.Sprintf("r%d", i))
	}
	if err == nil || !strings.Contains(err.Error(), "regions") {
		t.Errorf("regions without end: %v", err)
	}
}

func TestRestoredRevisionHasOnlyWhatWasSaved(t *testing.T) {
	r := compile(t, compiler, "nearest")
	restored := Restore(r.Version, r.Policies, r.Sets())
	if _, err := restored.Set("asia-south1"); err != nil {
		t.Error(err)
	}
	if _, err := restored.Set("europe-west1"); err == nil {
		t.Error("a region that was not saved")
	}
	if _, err := restored.Static(nil); err == nil {
		t.Error("a restored revision cannot be rendered")
	}
}

func TestCompileRefuses(t *testing.T) {
	if _, err := (Compiler{}).Compile(parse(t, fmt.Sprintf(shop, "nearest")), nil); err == nil || !strings.Contains(err.Error(), "processors") {
		t.Errorf("no processors: %v", err)
	}
}

// script writes a program that stands for Envoy.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnvoyCheck(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"fine", "exit 0", ""},
		{"arguments", `[ "$1 $2 $3" = "--mode validate -c" ] && grep -q '"some":"bootstrap"' "$4"`, ""},
		{"refused", `echo "bad cluster in $4" >&2; exit 1`, "envoy refuses the configuration: bad cluster in envoy.json"},
		{"silent failure", "exit 3", "failed: exit status 3"},
		{"endless words", `i=0; while [ $i -lt 3000 ]; do echo "line $i ........................................"; i=$((i+1)); done; exit 1`, "line 2999"},
		{"hostile words", `printf '\377bad'; exit 1`, "\uFFFDbad"},
		{"hangs", "sleep 60 & wait", "took longer than 200ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := time.Minute
			if c.name == "hangs" {
				limit = 200 * time.Millisecond
			}
			err := EnvoyCheck{Path: script(t, c.body), Limit: limit}.Run(t.Context(), []byte(`{"some":"bootstrap"}`))
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if err != nil && len(err.Error()) > maxCheckOutput+1000 {
				t.Fatalf("%d bytes of error", len(err.Error()))
			}
		})
	}
	if err := (EnvoyCheck{Path: filepath.Join(t.TempDir(), "missing")}).Run(t.Context(), nil); err == nil {
		t.Error("a missing Envoy passes")
	}
}

func TestStaticSharesEqualRegions(t *testing.T) {
	r := compile(t, compiler, "nearest")
	out, err := r.Static([]string{"asia-south1", "asia-south2", "europe-west1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 2 || slices.ContainsFunc(out, func(b []byte) bool { return !strings.Contains(string(b), "orders") }) {
		t.Fatalf("%d bootstraps", len(out))
	}
}
