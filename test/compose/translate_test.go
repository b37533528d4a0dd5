package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// TestTranslation holds the words that run natively against those of the file.
func TestTranslation(t *testing.T) {
	n := newNative(t, load(t), nil)
	services := n.project.AllServices()
	sockets := filepath.Join(n.dir, "volumes", "sockets")
	for _, c := range []struct{ service, word, want string }{
		{"xds", "--listen=0.0.0.0:18000", "--listen=" + n.local(10) + ":18000"},
		{"xds", "--admin=127.0.0.1:18001", "--admin=" + n.local(10) + ":18001"},
		{"xds", "--config=/etc/holdfast", "--config=" + filepath.Join(n.dir, "binds", "xds", "config")},
		{"xds", "--state=/var/lib/holdfast", "--state=" + filepath.Join(n.dir, "volumes", "xds-state")},
		{"xds", "--processors=unix:///run/holdfast/a.sock,unix:///run/holdfast/b.sock", "--processors=unix://" + sockets + "/a.sock,unix://" + sockets + "/b.sock"},
		{"extproc-1", "--xds=10.123.77.10:18000", "--xds=" + n.local(10) + ":18000"},
		{"extproc-2", "--listen=unix:///run/holdfast/extproc-2.sock", "--listen=unix://" + sockets + "/extproc-2.sock"},
		{"extproc-2", "--state=/var/lib/holdfast", "--state=" + filepath.Join(n.dir, "volumes", "extproc-2-state")},
		{"envoy", "/etc/envoy/holdfast.yaml", filepath.Join(n.dir, "binds", "envoy", "envoy.yaml")},
		{"envoy", "192.0.2.1:80", "192.0.2.1:80"},
		{"envoy", "--concurrency", "--concurrency"},
	} {
		got, err := n.words(services[c.service], []string{c.word})
		if err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s %s: %q, %v; want %q", c.service, c.word, got, err, c.want)
		}
	}
	for service, word := range map[string]string{
		"extproc-1":     "--state=/var/lib/elsewhere",
		"extproc-2":     "--state=/var/lib/holdfastelse",
		"orders-mumbai": "--journal=/var/lib/holdfast/journal",
		"xds":           "--processors=unix:///var/lib/holdfast/a.sock", // of xds, where Envoy has nothing
	} {
		if got, err := n.words(services[service], []string{word}); err == nil || !strings.Contains(err.Error(), "nothing is mounted") {
			t.Errorf("%s %s: %q, %v", service, word, got, err)
		}
	}
}

// TestMountedFiles: a mounted file says the address of whoever listens there.
func TestMountedFiles(t *testing.T) {
	n := newNative(t, load(t), nil)
	for _, c := range []struct{ service, file, want string }{
		{"xds", "config/gateway.yaml", "address: " + n.local(30) + ":10000"},
		{"xds", "config/orders.yaml", "address: " + n.local(42) + ":7101"},
		{"envoy", "envoy.yaml", "{address: " + n.local(10) + ", port_value: 18000}"},
		{"envoy", "envoy.yaml", "{address: " + n.local(30) + ", port_value: 9901}"},
	} {
		if err := n.mount(n.project.AllServices()[c.service]); err != nil {
			t.Fatal(err)
		}
		if got := read(t, n.dir, "binds", c.service, c.file); !strings.Contains(got, c.want) {
			t.Errorf("%s of %s has no %q:\n%s", c.file, c.service, c.want, got)
		}
	}
}

// TestOrder: what others wait for starts before them.
func TestOrder(t *testing.T) {
	project, err := loadWith(nil, directory(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, stage := range order(project) {
		var names []string
		for _, service := range stage {
			names = append(names, service.Name)
		}
		slices.Sort(names)
		got = append(got, strings.Join(names, " "))
	}
	if want := []string{"orders-delhi orders-mumbai xds", "extproc-1 extproc-2", "envoy"}; !slices.Equal(got, want) {
		t.Errorf("stages %q, want %q", got, want)
	}
}

// TestRedis runs the service of the profile "limits" where this machine has a Redis.
// Nothing of Holdfast uses it yet, so that a machine without one is not asked to get it.
func TestRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Log("there is no redis-server here (Debian package redis-server): only the rules were checked for it")
		return
	}
	n := newNative(t, load(t), func(_, name string) (string, error) { return exec.LookPath(name) })
	spec, err := n.spec(n.project.AllServices()["redis"])
	if err != nil {
		t.Fatal(err)
	}
	sup, err := supervise.New(supervise.Options{LogDir: filepath.Join(n.dir, "logs")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sup.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := sup.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	child, _ := sup.Child("redis")
	if err := child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(n.dir, "dump.rdb")); err == nil {
		t.Error("it has written its data, and its file system is read-only")
	}
}
