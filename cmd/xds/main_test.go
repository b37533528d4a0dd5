package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"no config", "", "--config DIR is required"},
		{"argument", "--config x y", "unexpected argument"},
		{"flag", "--nonsense", "unknown flag"},
		{"remap", "--config x --remap 127.0.0.1:1", "want OLD=NEW"},
		{"remap address", "--config x --remap a=b", "not host:port"},
		{"remap twice", "--config x --remap a:1=b:1 --remap a:1=c:1", "mapped to both"},
		{"level", "--config x --log-level loud", "--log-level"},
		{"format", "--config x --log-format xml", "--log-format"},
		{"measure", "--config x --measure some", "want all, calls or nothing"},
		{"no history", "--config x --history 0", "--history 0: want 1 to"},
		{"credentials for nothing", "--config x --api-tokens y", "--api, which is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := command()
			cmd.SetArgs(strings.Fields(c.args))
			err := cmd.ExecuteContext(t.Context())
			var usage usageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if got := run(t.Context(), strings.Fields(c.args)); got != exitUsage {
				t.Fatalf("exit code %d", got)
			}
		})
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	return l.Addr().String()
}

func TestFailure(t *testing.T) {
	dir := t.TempDir()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for name, args := range map[string][]string{
		"xDS address taken": {"--listen", taken.Addr().String(), "--admin", freeAddress(t)},
		"admin for others":  {"--listen", freeAddress(t), "--admin", "0.0.0.0:0"},
		"API for others":    {"--listen", freeAddress(t), "--admin", freeAddress(t), "--api", "0.0.0.0:0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t.Context(), append(args, "--config", dir, "--state", dir)); got != exitFailure {
				t.Fatalf("exit code %d", got)
			}
		})
	}
}

func TestServesUntilItIsStopped(t *testing.T) {
	conf, state, adminAddress := t.TempDir(), t.TempDir(), freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{
			"--config", conf, "--state", state, "--listen", freeAddress(t), "--admin", adminAddress,
			"--processors", "unix:///run/a.sock,unix:///run/b.sock", "--remap", "127.0.0.1:7101=127.0.0.1:7999",
		})
	}()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s%s", adminAddress, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	waitFor(t, "health", func() bool { return get("/health") == http.StatusTooManyRequests })
	if got := get("/ready"); got != http.StatusServiceUnavailable {
		t.Fatalf("ready without a configuration: %d", got)
	}
	text := `
kind: MCPServer
metadata: {name: orders}
spec: {regions: [{name: asia-south1, endpoints: [{address: "127.0.0.1:7101"}]}]}
---
kind: MCPRoute
metadata: {name: shop}
spec: {servers: [{name: orders}]}
`
	if err := os.WriteFile(filepath.Join(conf, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// No Envoy and no processor is there.
	waitFor(t, "readiness", func() bool { return get("/ready") == http.StatusTooManyRequests })
	cancel()
	select {
	case got := <-code:
		if got != exitOK {
			t.Fatalf("exit code %d", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("no %s", what)
		case <-tick.C:
		}
	}
}
