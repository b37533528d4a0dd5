package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestShort is the whole measurement, small: what every client got, how often and in which
// order. Times are not its business.
func TestShort(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	xds := filepath.Join(t.TempDir(), "xds")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", xds, "github.com/holdfast-mcp/holdfast/cmd/xds")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building xds: %v\n%s", err, out)
	}
	p := plan{servers: 50, clients: 5, changes: 5}
	f, err := run(ctx, xds, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.changes) != p.changes || len(f.applies) != p.changes || len(f.clients) != p.clients {
		t.Fatalf("%d changes, %d applies, %d clients", len(f.changes), len(f.applies), len(f.clients))
	}
	if f.idleKB <= 0 || f.peakKB < f.idleKB {
		t.Errorf("memory %d KiB, then at most %d KiB", f.idleKB, f.peakKB)
	}
	if f.cpu <= 0 {
		t.Errorf("%s of CPU for the changes", f.cpu)
	}
	// Each change comes once, the cluster before its endpoints.
	var want []string
	for n := range p.changes + 1 {
		want = append(want, fmt.Sprintf("cluster %d", n), fmt.Sprintf("endpoints %d", n))
	}
	for i, c := range f.clients {
		if !slices.Equal(c.seen, want) {
			t.Errorf("client %d saw %v, want %v", i, c.seen, want)
		}
		if !c.complete(p.servers+1) || c.changed != p.changes {
			t.Errorf("client %d has %d clusters and %d endpoints, change %d", i, len(c.services), len(c.endpoints), c.changed)
		}
	}
}
