package testbed

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// Parts are the programs of a Bed: this tree's, built once a test process, and Envoy.
func Parts(t testing.TB) stack.Programs {
	t.Helper()
	programs := stacktest.Programs(t)
	programs.Envoy = stacktest.Envoy(t)
	return programs
}

func (b *Bed) socket(name string) string { return "unix://" + filepath.Join(b.Dir, name+".sock") }

// control is where a demo server takes faults.
func (b *Bed) control(name string) string { return "unix://" + filepath.Join(b.Dir, name+".ctl") }

func (b *Bed) journal(name string) string { return filepath.Join(b.Dir, name+".journal") }

func (b *Bed) serverSpec(p stack.Programs, place demo.Place) supervise.Spec {
	return stack.DemoServer(p.Holdfast, stack.DemoOptions{
		Place: place, Listen: b.addresses[place.Name], Journal: b.journal(place.Name), Control: b.control(place.Name), Traces: b.traces,
	})
}

func (b *Bed) xdsSpec(p stack.Programs) supervise.Spec {
	return stack.XDS(p.XDS, stack.XDSOptions{
		Config: b.ConfigDir(), Listen: b.XDSAddress, Admin: b.XDSAdmin, State: filepath.Join(b.Dir, "xds"),
		Processors: []string{b.socket(Extproc1), b.socket(Extproc2)}, Envoy: p.Envoy, Args: []string{"--measure", b.measure},
	})
}

func (b *Bed) extprocSpec(p stack.Programs, name string) supervise.Spec {
	return stack.Extproc(p.Extproc, stack.ExtprocOptions{
		Name: name, Listen: b.socket(name), XDS: b.XDSAddress, HTTP: b.addresses[name], State: filepath.Join(b.Dir, name), Args: append([]string{"--drain", "0s"}, b.extprocArgs...),
	})
}

// envoySpec runs the bootstrap that people run, with only the addresses changed.
func (b *Bed) envoySpec(p stack.Programs) supervise.Spec {
	b.t.Helper()
	bootstrap, err := os.ReadFile(filepath.Join(stacktest.Root(b.t), "envoy", "bootstrap.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	edited, err := stack.EditBootstrap(bootstrap, stack.Edits{Addresses: map[string]string{
		"127.0.0.1:9901": b.Admin, "127.0.0.1:18000": b.XDSAddress,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.Dir, "bootstrap.yaml")
	if err := os.WriteFile(file, edited, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return stack.Envoy(p.Envoy, stack.EnvoyOptions{Bootstrap: file, Admin: b.Admin, Concurrency: 1})
}
