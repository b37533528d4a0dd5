package api

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func TestListenRefuses(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	cert, key := ca.server(t, dir)
	clientCA, tokens := writeFile(t, dir, "ca.pem", ca.pem), tokensFile(t, dir)
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("read a "+hashed("x")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o604); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := writeFile(t, dir, "broken", []byte("read a secret-token"))
	large := writeFile(t, dir, "large", make([]byte, maxFileBytes+1))
	for _, c := range []struct {
		name string
		opts ListenOptions
		want string
	}{
		{"everywhere", ListenOptions{Address: ":0"}, "other machines can reach it"},
		{"everywhere, IPv4", ListenOptions{Address: "0.0.0.0:0"}, "other machines can reach it"},
		{"everywhere, IPv6", ListenOptions{Address: "[::]:0"}, "other machines can reach it"},
		{"a name", ListenOptions{Address: "example.org:0"}, "other machines can reach it"},
		{"almost loopback", ListenOptions{Address: "localhost.example.org:0"}, "other machines can reach it"},
		{"tokens in the clear", ListenOptions{Address: "0.0.0.0:0", TokensFile: tokens}, "needs a server certificate"},
		{"certificate alone", ListenOptions{Address: "0.0.0.0:0", CertFile: cert, KeyFile: key}, "client CA or a tokens file"},
		{"no key", ListenOptions{Address: "127.0.0.1:0", CertFile: cert}, "belong together"},
		{"no certificate", ListenOptions{Address: "127.0.0.1:0", KeyFile: key}, "belong together"},
		{"client CA alone", ListenOptions{Address: "127.0.0.1:0", ClientCAFile: clientCA}, "need a server certificate"},
		{"certificates on a socket", ListenOptions{Address: "unix://" + dir + "/s", CertFile: cert, KeyFile: key}, "takes no certificates"},
		{"no port", ListenOptions{Address: "127.0.0.1"}, "missing port"},
		{"nothing", ListenOptions{}, "neither host:port nor unix:///path"},
		{"relative socket", ListenOptions{Address: "unix://api.sock"}, "not absolute"},
		{"abstract socket", ListenOptions{Address: "unix://@api"}, "not absolute"},
		{"socket without a directory", ListenOptions{Address: "unix://" + dir + "/none/s"}, "no such file"},
		{"socket with a long path", ListenOptions{Address: "unix://" + dir + "/" + strings.Repeat("x", 200)}, "too long"},
		{"no tokens file", ListenOptions{Address: "127.0.0.1:0", TokensFile: dir + "/none"}, "no such file"},
		{"tokens for all to read", ListenOptions{Address: "127.0.0.1:0", TokensFile: open}, "mode 0604"},
		{"tokens from a pipe", ListenOptions{Address: "127.0.0.1:0", TokensFile: pipe}, "not a regular file"},
		{"tokens from a directory", ListenOptions{Address: "127.0.0.1:0", TokensFile: dir}, "not a regular file"},
		{"broken tokens", ListenOptions{Address: "127.0.0.1:0", TokensFile: broken}, "line 1"},
		{"large tokens", ListenOptions{Address: "127.0.0.1:0", TokensFile: large}, "more than"},
		{"key for a certificate", ListenOptions{Address: "127.0.0.1:0", CertFile: key, KeyFile: key}, "server certificate"},
		{"CA without a certificate", ListenOptions{Address: "127.0.0.1:0", CertFile: cert, KeyFile: key, ClientCAFile: broken}, "no certificate in PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Listen(t.Context(), c.opts)
			if err == nil {
				t.Fatalf("listening on %s: %v", l.Addr(), l.Close())
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "API address") {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	left, err := filepath.Glob(filepath.Join(dir, ".api-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestListenEverywhere is fine with credentials; the listener is closed again at once.
func TestListenEverywhere(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	cert, key := ca.server(t, dir)
	for _, opts := range []ListenOptions{{TokensFile: tokensFile(t, dir)}, {ClientCAFile: writeFile(t, dir, "ca.pem", ca.pem)}} {
		opts.Address, opts.CertFile, opts.KeyFile = "0.0.0.0:0", cert, key
		l, err := Listen(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// socketDir is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestUnixSocket(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "api.sock")
	backend := &fake{}
	w := serve(t, backend, ListenOptions{Address: "unix://" + path})
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if w.address != path {
		t.Errorf("address %s", w.address)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	got := send(t, &http.Client{Transport: transport}, http.MethodPost, "http://any-host/holdfast.admin.v1.Admin/Apply", "application/json", someApply)
	if got.status != http.StatusOK || !strings.Contains(w.log.String(), `remote="unix socket"`) {
		t.Fatalf("%d %s\n%s", got.status, got.body, w.log)
	}
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	var out adminv1.ApplyResponse
	if err := conn.Invoke(t.Context(), "/holdfast.admin.v1.Admin/Apply", &adminv1.ApplyRequest{Documents: "x"}, &out); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Listen(t.Context(), ListenOptions{Address: "unix://" + path}); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second listener: %v", err)
	}
	w.stop()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestUnixSocketOfADeadProcess(t *testing.T) {
	path := filepath.Join(socketDir(t), "api.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), ListenOptions{Address: "unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	// Another one's file in its place is left alone at the end.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if _, err := Listen(t.Context(), ListenOptions{Address: "unix://" + path}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("on a file: %v", err)
	}
}
