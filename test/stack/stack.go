// Package stack runs a whole Holdfast for a test: the real Envoy with the
// bootstrap that people run, the control plane, two processors and ShopMax's
// demo servers, each a process of its own on free loopback ports. Everything
// ends with the test, and with the test process if that is killed.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// Names of processes in a Stack.
const (
	Envoy    = "envoy"
	XDS      = "xds"
	Extproc1 = "extproc-1"
	Extproc2 = "extproc-2"
)

// Region names of the demo servers.
const (
	Mumbai = "asia-south1"
	Delhi  = "asia-south2"
)

// Server is a demo server process to run.
type Server struct {
	// Name of the process and of the endpoint, such as primary-mumbai.
	Name string
	// Shop is "orders" or "inventory".
	Shop   string
	Region string
}

// Options of a Stack.
type Options struct {
	// Servers to run; nil: orders in two regions.
	Servers []Server
	// Config is written to the watched directory, with ${name} replaced by the
	// address of that server and ${gateway} by Envoy's; empty: DefaultConfig.
	Config string
	// EnvoyArgs are added to Envoy's command line.
	EnvoyArgs []string
}

// Stack is a running Holdfast.
type Stack struct {
	// Dir holds everything of the run: config, state, journals, logs.
	Dir string
	// Gateway is host:port of Envoy's listener, Admin of its admin interface.
	Gateway, Admin string
	// XDSAddress and XDSAdmin are the control plane's gRPC and HTTP addresses.
	XDSAddress, XDSAdmin string

	t         testing.TB
	sup       *supervise.Supervisor
	addresses map[string]string
	servers   []Server
}

// Addr is the host:port of the demo server with that name.
func (s *Stack) Addr(name string) string { return s.addresses[name] }

// OrdersServers are the two processes of the default Stack.
func OrdersServers() []Server {
	return []Server{{"primary-mumbai", "orders", Mumbai}, {"standby-delhi", "orders", Delhi}}
}

// Start runs a Stack and returns when a request through Envoy reaches a server.
// A part that is missing fails the test and says how to get it.
func Start(t testing.TB, opts Options) *Stack {
	t.Helper()
	parts := Parts(t)
	if opts.Servers == nil {
		opts.Servers = OrdersServers()
	}
	if opts.Config == "" {
		opts.Config = DefaultConfig
	}
	s := &Stack{t: t, servers: opts.Servers, addresses: map[string]string{}}
	// Unix sockets have short names at most, so not under t.TempDir.
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	s.Dir = dir
	s.reservePorts()
	s.WriteConfig(opts.Config)
	sup, err := supervise.New(supervise.Options{LogDir: filepath.Join(dir, "logs")})
	if err != nil {
		t.Fatal(err)
	}
	s.sup = sup
	t.Cleanup(s.stop)
	s.start(parts, opts)
	return s
}

func (s *Stack) reservePorts() {
	s.t.Helper()
	var ports supervise.Ports
	defer ports.ReleaseAll()
	reserve := func() string {
		address, _, err := ports.Reserve("127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		return address
	}
	s.Gateway, s.Admin, s.XDSAddress, s.XDSAdmin = reserve(), reserve(), reserve(), reserve()
	for _, server := range s.servers {
		s.addresses[server.Name] = reserve()
	}
	for _, name := range []string{Extproc1, Extproc2} {
		s.addresses[name] = reserve()
	}
}

func (s *Stack) start(parts Binaries, opts Options) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stages := [][]supervise.Spec{nil, {s.xdsSpec(parts)}, {s.extprocSpec(parts, Extproc1), s.extprocSpec(parts, Extproc2)}, {s.envoySpec(parts, opts)}}
	for _, server := range s.servers {
		stages[0] = append(stages[0], s.serverSpec(parts, server))
	}
	for _, stage := range stages {
		if err := s.sup.Start(ctx, stage...); err != nil {
			s.t.Fatal(err)
		}
	}
	s.Eventually(30*time.Second, "a request through Envoy reaches a server", func() error {
		return s.Ping("/mcp")
	})
}

func (s *Stack) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.sup.Close(ctx); err != nil {
		s.t.Errorf("stopping the stack: %v", err)
	}
	if s.t.Failed() {
		s.t.Logf("everything of this run is left in %s", s.Dir)
		for _, name := range []string{XDS, Extproc1, Extproc2, Envoy} {
			if child, ok := s.sup.Child(name); ok {
				s.t.Logf("last words of %s:\n%s", name, strings.Join(child.Tail(12), "\n"))
			}
		}
		return
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		s.t.Errorf("removing %s: %v", s.Dir, err)
	}
}

// Child is the process of that name.
func (s *Stack) Child(name string) *supervise.Child {
	s.t.Helper()
	child, ok := s.sup.Child(name)
	if !ok {
		s.t.Fatalf("there is no process %q", name)
	}
	return child
}

// Kill ends a process with SIGKILL and returns the moment before the signal.
func (s *Stack) Kill(name string) time.Time {
	s.t.Helper()
	at, err := s.Child(name).Kill()
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// Restart starts a killed process again and returns when it is ready.
func (s *Stack) Restart(name string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Child(name).Start(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// Eventually waits for what a real process does in its own time; it fails the
// test with the last reason when the limit is over.
func (s *Stack) Eventually(limit time.Duration, what string, condition func() error) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not after %v: %v", what, limit, err)
		}
		<-tick.C
	}
}

// Ping sends a modern tools/list to a path of the gateway; nil where a server's own answer came back.
func (s *Stack) Ping(path string) error {
	answer, err := s.Post(path, ModernHeaders("tools/list", ""), ListTools)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK || answer.Header.Get("x-holdfast-region") == "" || answer.Header.Get("x-holdfast-degraded") != "" {
		return fmt.Errorf("status %d, region %q, degraded %q: %.200s", answer.Status,
			answer.Header.Get("x-holdfast-region"), answer.Header.Get("x-holdfast-degraded"), answer.Body)
	}
	return nil
}

// Answer is an HTTP answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// client keeps no connection, so that a request meets Envoy afresh.
var client = sync.OnceValue(func() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
	}
})

// Post sends body to a path of the gateway.
func (s *Stack) Post(path string, header http.Header, body string) (Answer, error) {
	return s.Do(http.MethodPost, path, header, body)
}

// Do sends any request to the gateway; a Host header in header becomes the request's.
func (s *Stack) Do(verb, path string, header http.Header, body string) (Answer, error) {
	req, err := http.NewRequest(verb, "http://"+s.Gateway+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header = header.Clone()
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := client().Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: data}, err
}

// errNotYet is for conditions that only have to come true.
var errNotYet = errors.New("not yet")

// Until is Eventually for a plain condition.
func (s *Stack) Until(limit time.Duration, what string, condition func() bool) {
	s.t.Helper()
	s.Eventually(limit, what, func() error {
		if condition() {
			return nil
		}
		return errNotYet
	})
}
