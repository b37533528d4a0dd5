package stack_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-mcp/holdfast/envoy"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

const (
	// aloneEnvoy makes this test binary a child that runs the Envoy of that path
	// alone, in the network namespace that it was started in.
	aloneEnvoy = "HOLDFAST_STACK_ALONE"
	// noNamespace is the child's exit status where the kernel gave it a namespace of no use.
	noNamespace = 77
	aloneLimit  = 45 * time.Second
	// bootstrapPath is how people name the file.
	bootstrapPath = "envoy/bootstrap.yaml"
	// defaultGateway is where the examples listen.
	defaultGateway = "127.0.0.1:10000"
)

// aloneChild is main for the child.
func aloneChild(path string) int {
	if err := ownLoopback(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return noNamespace
	}
	if err := runAlone(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestBootstrapRunsAlone starts Envoy as people do, with the file as it is and
// nothing else, in a network of its own where the default ports are free whatever
// runs on this machine. Where the kernel gives no namespaces to this user it takes
// the machine's own network.
func TestBootstrapRunsAlone(t *testing.T) {
	path := stacktest.Envoy(t)
	onDisk, err := os.ReadFile(filepath.Join(stacktest.Root(t), bootstrapPath))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(onDisk, envoy.Bootstrap) {
		t.Fatalf("%s is not what the programs carry", bootstrapPath)
	}
	// The folder holds the bootstrap and nothing else: any other file it needed would be missing.
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(bootstrapPath)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, bootstrapPath), onDisk, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*aloneLimit)
	defer cancel()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(ctx, executable)
	child.Dir = dir
	child.Env = append(os.Environ(), aloneEnvoy+"="+path)
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return
	case errors.As(err, &exit) && exit.ExitCode() != noNamespace:
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("no namespace here, so on the machine's own network: %v %s", err, out)
	for _, address := range []string{stack.DefaultEnvoyAdmin, stack.DefaultXDS, defaultGateway} {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			t.Fatalf("this test needs user and network namespaces (kernel.unprivileged_userns_clone=1), or the default ports to be free: %v", err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	if err := runAlone(path); err != nil {
		t.Fatal(err)
	}
}

// ownLoopback brings up lo, and gives Envoy a /dev/shm of its own: the memory of hot
// restarts has one name for all on a machine.
func ownLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("naming lo: %w", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bringing up lo: %w", err)
	}
	if err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /dev/shm: %w", err)
	}
	return nil
}

// runAlone is `envoy -c envoy/bootstrap.yaml` in the working folder, with no control
// plane until the end.
func runAlone(path string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), aloneLimit)
	defer cancel()
	var log bytes.Buffer
	command := exec.CommandContext(ctx, path, "-c", bootstrapPath)
	command.Stdout, command.Stderr = &log, &log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting Envoy: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	defer func() {
		_ = command.Process.Kill() // it may have ended by itself
		wait := <-ended
		if err != nil {
			err = fmt.Errorf("%w\nEnvoy (%w) said:\n%s", err, wait, &log)
		}
	}()
	return errors.Join(waits(ctx), silent(ctx), connects(ctx))
}

// waits: Envoy is alive, says that it is not ready, and tries for its control plane again and again.
func waits(ctx context.Context) error {
	failures := func() (n int, err error) {
		body, _, err := ask(ctx, "/stats?filter=^cluster.holdfast.xds.upstream_cx_connect_fail$")
		if err == nil {
			_, err = fmt.Sscanf(string(body), "cluster.holdfast.xds.upstream_cx_connect_fail: %d", &n)
		}
		return n, err
	}
	if err := until(ctx, func() error {
		n, err := failures()
		if err == nil && n < 3 {
			err = fmt.Errorf("%d attempts to reach the control plane", n)
		}
		return err
	}); err != nil {
		return err
	}
	body, status, err := ask(ctx, "/ready")
	if err != nil {
		return err
	}
	if state := strings.TrimSpace(string(body)); status != http.StatusServiceUnavailable || state != "PRE_INITIALIZING" && state != "INITIALIZING" {
		return fmt.Errorf("/ready says %d %s, want 503 while there is no configuration", status, state)
	}
	body, status, err = ask(ctx, "/server_info")
	if err != nil {
		return err
	}
	var info struct {
		Version string `json:"version"`
		Node    struct {
			ID string `json:"id"`
		} `json:"node"`
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return fmt.Errorf("reading /server_info: %w", err)
	}
	if status != http.StatusOK || info.Node.ID == "" {
		return fmt.Errorf("/server_info says %d %s", status, body)
	}
	return nil
}

// silent: with nothing to serve there is no listener: clients are refused, not left waiting.
func silent(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", defaultGateway)
	if err == nil {
		return errors.Join(fmt.Errorf("somebody listens on %s", defaultGateway), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("connecting to %s: %w, want a refusal", defaultGateway, err)
	}
	return nil
}

// connects: once somebody is at the control plane's address, Envoy is there at once and speaks HTTP/2.
func connects(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", stack.DefaultXDS)
	if err != nil {
		return fmt.Errorf("standing in for the control plane: %w", err)
	}
	defer func() { _ = listener.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := listener.(*net.TCPListener).SetDeadline(deadline); err != nil {
			return err
		}
	}
	conn, err := listener.Accept()
	if err != nil {
		return fmt.Errorf("waiting for Envoy at %s: %w", stack.DefaultXDS, err)
	}
	defer func() { _ = conn.Close() }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading what Envoy says to its control plane: %w", err)
	}
	if line != "PRI * HTTP/2.0\r\n" {
		return fmt.Errorf("the first line from Envoy is %q", line)
	}
	return nil
}

func ask(ctx context.Context, path string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+stack.DefaultEnvoyAdmin+path, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err = io.ReadAll(resp.Body)
	return body, resp.StatusCode, err
}

// until tries what a real process does in its own time.
func until(ctx context.Context, condition func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
