// Package testbed runs a whole Holdfast for a test: the real Envoy with the
// bootstrap that people run, the control plane, two processors and ShopMax's
// demo servers, each a process of its own on free loopback ports. Everything
// ends with the test, and with the test process if that is killed.
package testbed

import (
	"cmp"
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

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// Names of processes in a Bed.
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

// Options of a Bed.
type Options struct {
	// Servers to run; nil: orders in two regions.
	Servers []demo.Place
	// Config is written to the watched directory, with ${name} replaced by the
	// address of that server and ${gateway} by Envoy's; empty: DefaultConfig.
	Config string
	// Traces is the OTLP receiver (gRPC, host:port) of the demo servers' spans, and stands for ${traces} in Config; empty: none.
	Traces string
	// Reachable says whether requests reach a server; nil: Ping of /mcp does.
	Reachable func(*Bed) error
	// ExtprocArgs are added to the command line of the processors, which end as soon as they
	// are told to: when a test is over nobody calls any more.
	ExtprocArgs []string
	// Measure has the control plane measure endpoints: all, or calls alone. By default it leaves them to Envoy, so that
	// a test sees what that does.
	Measure string
}

// Bed is a running Holdfast.
type Bed struct {
	// Dir holds everything of the run: config, state, journals, logs.
	Dir string
	// Gateway is host:port of Envoy's listener, Admin of its admin interface.
	Gateway, Admin string
	// XDSAddress and XDSAdmin are the control plane's gRPC and HTTP addresses.
	XDSAddress, XDSAdmin string

	t         testing.TB
	sup       *supervise.Supervisor
	addresses map[string]string
	servers   []demo.Place
	traces    string
	reachable func(*Bed) error
	// extprocArgs are for every processor.
	extprocArgs []string
	measure     string
}

// Addr is the host:port of the demo server with that name.
func (b *Bed) Addr(name string) string { return b.addresses[name] }

// OrdersServers are the two processes of the default Stack.
func OrdersServers() []demo.Place {
	return []demo.Place{
		{Name: "primary-mumbai", Server: "orders", Region: Mumbai}, {Name: "standby-delhi", Server: "orders", Region: Delhi},
	}
}

// Start runs a Bed and returns when a request through Envoy reaches a server.
// A part that is missing fails the test and says how to get it.
func Start(t testing.TB, opts Options) *Bed {
	t.Helper()
	parts := Parts(t)
	if opts.Servers == nil {
		opts.Servers = OrdersServers()
	}
	if opts.Config == "" {
		opts.Config = DefaultConfig
	}
	if opts.Reachable == nil {
		opts.Reachable = func(b *Bed) error { return b.Ping("/mcp") }
	}
	b := &Bed{t: t, servers: opts.Servers, traces: opts.Traces, addresses: map[string]string{}, reachable: opts.Reachable, extprocArgs: opts.ExtprocArgs, measure: cmp.Or(opts.Measure, "nothing")}
	// Unix sockets have short names at most, so not under t.TempDir.
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	b.Dir = dir
	b.reservePorts()
	b.WriteConfig(opts.Config)
	sup, err := supervise.New(supervise.Options{LogDir: filepath.Join(dir, "logs"), OnEvent: b.watch})
	if err != nil {
		t.Fatal(err)
	}
	b.sup = sup
	t.Cleanup(b.stop)
	b.start(parts)
	return b
}

// watch fails the test when a program of ours, or Envoy, ends by itself: that it is
// started again at once must not hide it.
func (b *Bed) watch(e supervise.Event) {
	switch {
	case e.Kind != supervise.Died:
	case e.Child == Envoy, e.Child == XDS, e.Child == Extproc1, e.Child == Extproc2:
		b.t.Errorf("%s ended by itself: %s\n%s", e.Child, e.Exit, strings.Join(e.LastWords, "\n"))
	}
}

func (b *Bed) reservePorts() {
	b.t.Helper()
	b.Gateway, b.Admin, b.XDSAddress, b.XDSAdmin = stacktest.Address(b.t), stacktest.Address(b.t), stacktest.Address(b.t), stacktest.Address(b.t)
	for _, server := range b.servers {
		b.addresses[server.Name] = stacktest.Address(b.t)
	}
	for _, name := range []string{Extproc1, Extproc2} {
		b.addresses[name] = stacktest.Address(b.t)
	}
}

func (b *Bed) start(p stack.Programs) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	stages := [][]supervise.Spec{nil, {b.xdsSpec(p)}, {b.extprocSpec(p, Extproc1), b.extprocSpec(p, Extproc2)}, {b.envoySpec(p)}}
	for _, server := range b.servers {
		stages[0] = append(stages[0], b.serverSpec(p, server))
	}
	for _, stage := range stages {
		if err := b.sup.Start(ctx, stage...); err != nil {
			b.t.Fatal(err)
		}
	}
	b.Eventually(Patience, "a request through Envoy reaches a server", func() error {
		return b.reachable(b)
	})
}

func (b *Bed) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.sup.Close(ctx); err != nil {
		b.t.Errorf("stopping the stack: %v", err)
	}
	if b.t.Failed() {
		b.t.Logf("everything of this run is left in %s", b.Dir)
		for _, name := range []string{XDS, Extproc1, Extproc2, Envoy} {
			if child, ok := b.sup.Child(name); ok {
				b.t.Logf("last words of %s:\n%s", name, strings.Join(child.Tail(12), "\n"))
			}
		}
		return
	}
	if err := os.RemoveAll(b.Dir); err != nil {
		b.t.Errorf("removing %s: %v", b.Dir, err)
	}
}

// Child is the process of that name.
func (b *Bed) Child(name string) *supervise.Child {
	b.t.Helper()
	child, ok := b.sup.Child(name)
	if !ok {
		b.t.Fatalf("there is no process %q", name)
	}
	return child
}

// Kill ends a process with SIGKILL and returns the moment before the signal.
func (b *Bed) Kill(name string) time.Time {
	b.t.Helper()
	at, err := b.Child(name).Kill()
	if err != nil {
		b.t.Fatal(err)
	}
	return at
}

// Restart starts a killed process again and returns when it is ready.
func (b *Bed) Restart(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Child(name).Start(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// Eventually waits for what a real process does in its own time; it fails the
// test with the last reason when the limit is over.
func (b *Bed) Eventually(limit time.Duration, what string, condition func() error) {
	b.t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not after %v: %v", what, limit, err)
		}
		<-tick.C
	}
}

// Ping sends a modern tools/list to a path of the gateway; nil where a server's own answer came back.
func (b *Bed) Ping(path string) error {
	answer, err := b.Post(path, ModernHeaders("tools/list", ""), ListTools)
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

// patience is longer than any call may take, all of its tries included.
const patience = 90 * time.Second

// Patience is how long is waited for what real processes do in their own time, on a machine
// that has much else to do.
const Patience = 3 * time.Minute

// client keeps no connection, so that a request meets Envoy afresh.
var client = sync.OnceValue(func() *http.Client {
	return &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext},
	}
})

// Post sends body to a path of the gateway.
func (b *Bed) Post(path string, header http.Header, body string) (Answer, error) {
	return b.Do(http.MethodPost, path, header, body)
}

// Do sends any request to the gateway; a Host header in header becomes the request'b.
func (b *Bed) Do(verb, path string, header http.Header, body string) (Answer, error) {
	req, err := http.NewRequest(verb, "http://"+b.Gateway+path, strings.NewReader(body))
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
func (b *Bed) Until(limit time.Duration, what string, condition func() bool) {
	b.t.Helper()
	b.Eventually(limit, what, func() error {
		if condition() {
			return nil
		}
		return errNotYet
	})
}
