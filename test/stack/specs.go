package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// Binaries are the programs of a Stack.
type Binaries struct {
	Holdfast, XDS, Extproc, Envoy string
	// Root is the top of the source tree.
	Root string
}

// found is made once a test process: compiling is slow, and so is fetching.
var found = sync.OnceValues(func() (Binaries, error) {
	root, err := sourceRoot()
	if err != nil {
		return Binaries{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Binaries{}, fmt.Errorf("finding the cache folder: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	finder := parts.Finder{Configured: os.Getenv("HOLDFAST_ENVOY"), CacheDir: filepath.Join(cache, "holdfast")}
	envoy, err := finder.Envoy(ctx)
	if err != nil {
		return Binaries{}, fmt.Errorf("these tests need Envoy %s (set HOLDFAST_ENVOY, or let `holdfast parts envoy` fetch it): %w", parts.EnvoyVersion, err)
	}
	// The same place for every run: the linker is skipped when nothing changed,
	// and parallel test processes write the same bytes.
	bin := filepath.Join(cache, "holdfast", "test-bin")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin+string(filepath.Separator), "./cmd/...")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return Binaries{
		Holdfast: filepath.Join(bin, "holdfast"), XDS: filepath.Join(bin, "xds"),
		Extproc: filepath.Join(bin, "extproc"), Envoy: envoy.Path, Root: root,
	}, nil
})

// Parts builds the programs and finds Envoy, once a test process.
func Parts(t testing.TB) Binaries {
	t.Helper()
	b, err := found()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sourceRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working folder")
		}
		dir = parent
	}
}

func (s *Stack) socket(name string) string { return filepath.Join(s.Dir, name+".sock") }

// control is the unix socket on which a demo server takes faults.
func (s *Stack) control(name string) string { return filepath.Join(s.Dir, name+".ctl") }

func (s *Stack) journal(name string) string { return filepath.Join(s.Dir, name+".journal") }

func (s *Stack) serverSpec(b Binaries, server Server) supervise.Spec {
	address := s.addresses[server.Name]
	return supervise.Spec{
		Name: server.Name, Path: b.Holdfast,
		Args: []string{
			"demo-server", server.Shop, "--name", server.Name, "--region", server.Region, "--listen", address,
			"--journal", s.journal(server.Name), "--control", "unix://" + s.control(server.Name),
		},
		Ready: []supervise.Probe{supervise.HTTPProbe("http://" + address + "/health")},
	}
}

func (s *Stack) xdsSpec(b Binaries) supervise.Spec {
	return supervise.Spec{
		Name: XDS, Path: b.XDS,
		Args: []string{
			"--config", s.ConfigDir(), "--listen", s.XDSAddress, "--admin", s.XDSAdmin, "--state", filepath.Join(s.Dir, "xds"),
			"--processors", "unix://" + s.socket(Extproc1) + ",unix://" + s.socket(Extproc2), "--envoy", b.Envoy,
		},
		Ready: []supervise.Probe{supervise.HTTPProbe("http://" + s.XDSAdmin + "/health")},
	}
}

func (s *Stack) extprocSpec(b Binaries, name string) supervise.Spec {
	return supervise.Spec{
		Name: name, Path: b.Extproc,
		Args: []string{
			"--listen", "unix://" + s.socket(name), "--xds", s.XDSAddress, "--http", s.addresses[name],
			"--state", filepath.Join(s.Dir, name), "--node-id", name,
		},
		Ready: []supervise.Probe{supervise.HTTPProbe("http://" + s.addresses[name] + "/ready")},
	}
}

// envoySpec runs the bootstrap that people run, with only the addresses changed.
func (s *Stack) envoySpec(b Binaries, opts Options) supervise.Spec {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.Root, "envoy", "bootstrap.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(data)
	for from, to := range map[string]string{"9901": s.Admin, "18000": s.XDSAddress} {
		old := "address: 127.0.0.1, port_value: " + from
		if strings.Count(text, old) != 1 {
			s.t.Fatalf("envoy/bootstrap.yaml does not hold %q exactly once", old)
		}
		text = strings.Replace(text, old, "address: 127.0.0.1, port_value: "+port(to), 1)
	}
	file := filepath.Join(s.Dir, "bootstrap.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return supervise.Spec{
		Name: Envoy, Path: b.Envoy,
		Args: append([]string{
			"-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "1", "--parent-shutdown-time-s", "2",
		}, opts.EnvoyArgs...),
		Ready: []supervise.Probe{supervise.HTTPProbe("http://" + s.Admin + "/ready")},
	}
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
