package stacktest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// Redis is a redis-server: HOLDFAST_REDIS, the one on PATH, or one from Debian's packages.
func Redis(t testing.TB) parts.Redis {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("finding a cache folder for Redis: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	finder := parts.Finder{CacheDir: filepath.Join(cache, "holdfast"), Progress: func(text string) { t.Log(text) }}
	found, err := finder.Redis(ctx, os.Getenv("HOLDFAST_REDIS"))
	if err != nil {
		t.Fatalf("this test needs a real redis-server: %v", err)
	}
	return found
}

// StartRedis runs a redis-server on a free port of loopback until the test is
// over (see Redis). It keeps
// nothing on disk. The child can be killed and started again; args are added to its
// command line.
func StartRedis(t testing.TB, args ...string) (address string, child *supervise.Child) {
	t.Helper()
	return startRedis(t, "redis", func(_, host, port string) []string {
		return append([]string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no"}, args...)
	})
}

// StartSentinel runs a Sentinel that alone decides on a new master when the one at an address, host:port, does not answer for
// half a second.
func StartSentinel(t testing.TB, name, master string) (address string) {
	t.Helper()
	masterHost, masterPort, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	address, _ = startRedis(t, "sentinel", func(dir, host, port string) []string {
		text := fmt.Sprintf("bind %s\nport %s\nsentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %[3]s 500\nsentinel failover-timeout %[3]s 5000\n",
			host, port, name, masterHost, masterPort)
		// It keeps there what it finds out.
		file := filepath.Join(dir, "sentinel.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{file, "--sentinel"}
	})
	return address
}

// startRedis runs the program with the arguments that args gives for a folder and an address.
func startRedis(t testing.TB, name string, args func(dir, host, port string) []string) (address string, child *supervise.Child) {
	t.Helper()
	found := Redis(t)
	address = Address(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	supervisor, err := supervise.New(supervise.Options{LogDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := supervisor.Close(ctx); err != nil {
			t.Errorf("stopping Redis: %v", err)
		}
	})
	var env []string
	if found.Env != nil {
		env = append(os.Environ(), found.Env...)
	}
	err = supervisor.Start(t.Context(), supervise.Spec{
		Name: name, Path: found.Path, Env: env, Dir: dir, Args: args(dir, host, port),
		Ready: []supervise.Probe{supervise.TCPProbe(address)}, Restart: supervise.RestartNever, Grace: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	child, _ = supervisor.Child(name)
	return address, child
}
