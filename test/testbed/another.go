package testbed

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// AddEnvoy runs one more Envoy with the node id name and further arguments, and gives the
// address of its admin interface. It takes connections at the same address as the first one
// (Envoy's listeners share a port by SO_REUSEPORT), so new connections go to either.
func (b *Bed) AddEnvoy(name string, args ...string) (admin string) {
	b.t.Helper()
	admin = stacktest.Address(b.t)
	bootstrap, err := os.ReadFile(filepath.Join(stacktest.Root(b.t), "envoy", "bootstrap.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	edited, err := stack.EditBootstrap(bootstrap, stack.Edits{
		Addresses: map[string]string{"127.0.0.1:9901": admin, "127.0.0.1:18000": b.XDSAddress}, NodeID: name,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.Dir, name+".yaml")
	if err := os.WriteFile(file, edited, 0o600); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	spec := stack.Envoy(Parts(b.t).Envoy, stack.EnvoyOptions{Name: name, Bootstrap: file, Admin: admin, Concurrency: 1, Args: args})
	if err := b.sup.Start(ctx, spec); err != nil {
		b.t.Fatal(err)
	}
	return admin
}

// AdminOf asks an Envoy that AddEnvoy has started, or the first one at Admin, for a page of
// its admin interface.
func (b *Bed) AdminOf(admin, path string) string {
	b.t.Helper()
	body, err := adminPage(admin, path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(body)
}
