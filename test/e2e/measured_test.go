package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// frail is a real MCP server in this process, of which a test breaks a layer.
type frail struct {
	handler http.Handler
	server  *httptest.Server

	mu sync.Mutex
	// broken is the layer; empty: none.
	broken string
}

func (f *frail) breakLayer(layer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = layer
}

func (f *frail) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	asks := func(method string) bool { return strings.Contains(string(body), `"method":"`+method+`"`) }
	switch {
	case r.URL.Path == "/metrics":
		cpu := "0.2"
		if broken == "metrics" {
			cpu = "0.99"
		}
		_, _ = fmt.Fprintf(w, "# TYPE cpu_share gauge\ncpu_share %s\n", cpu)
		return
	case r.URL.Path == "/health" && broken == "http":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case r.Method == http.MethodPost && broken == "handshake":
		_, _ = io.WriteString(w, "<html>not MCP</html>")
		return
	case broken == "query" && asks("tools/call"):
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
		return
	case broken == "list" && asks("tools/list"):
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"holdfast-probe","error":{"code":-32603,"message":"no catalogue"}}`)
		return
	}
	f.handler.ServeHTTP(w, r)
}

// certificate makes one for names, signed by itself, and gives its file and itself.
func certificate(t *testing.T, dir, file string, names ...string) (string, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "holdfast test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func startFrail(t *testing.T, secure *tls.Certificate, listener net.Listener) *frail {
	t.Helper()
	mcp, err := demo.NewServer(demo.Config{Server: demo.Orders, Name: "frail", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	f := &frail{handler: mcp.Handler()}
	f.server = httptest.NewUnstartedServer(f)
	if listener != nil {
		_ = f.server.Listener.Close()
		f.server.Listener = listener
	}
	if secure == nil {
		f.server.Start()
	} else {
		f.server.TLS = &tls.Config{Certificates: []tls.Certificate{*secure}}
		// A connection that is only opened and closed is told as a failed handshake.
		f.server.Config.ErrorLog = log.New(io.Discard, "", 0)
		f.server.StartTLS()
	}
	return f
}

const measuredGateway = `
kind: Gateway
metadata: {name: shop}
spec: {address: "${gateway}", processorTimeout: 8s}
`

// measuredQuery is the probe that calls a tool.
const measuredQuery = "    query: {tool: list_orders, interval: 3s, maxLatency: 3s}\n"

// measuredServer is a server with a frail endpoint, and a route to it, SERVER the name of both and the path. It is looked at often,
// so that a test does not take minutes; each time is still long enough for a busy machine.
const measuredServer = `
---
kind: MCPServer
metadata: {name: SERVER}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: frail, address: "FRAIL"}]}
    - {name: asia-south2, endpoints: [{name: standby, address: "STANDBY"}]}
  probes:
    tcp: {interval: 3s, timeout: 3s}
    tls: {interval: 3s, timeout: 3s}
    http: {interval: 3s, timeout: 3s}
    handshake: {interval: 3s, timeout: 3s}
    list: {interval: 3s, timeout: 3s}
` + measuredQuery + `    metrics: {cpu: cpu_share, interval: 3s, timeout: 3s}
  # How quickly a busy machine answers is not what this is about.
  score: {responseTime: {target: 30s, critical: 60s}, staleness: {critical: 20s}}
  tiers: {shed: 3s, eject: 6s, promote: 30m, minHold: 2s, return: 1s}
---
kind: MCPRoute
metadata: {name: SERVER}
spec: {path: /SERVER, servers: [{name: SERVER}]}
`

// measured asks the control plane of a Bed for a server's health, and gives its frail endpoint with it.
func measured(b *testbed.Bed, server string) (*adminv1.MeasuredEndpoint, *adminv1.GetHealthResponse, error) {
	client, err := apiclient.New(apiclient.Options{Server: "http://" + b.XDSAdmin})
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := client.GetHealth(ctx, &adminv1.GetHealthRequest{Server: server})
	if err != nil {
		return nil, nil, err
	}
	for _, r := range h.GetRegions() {
		for _, e := range r.GetEndpoints() {
			if e.GetName() == "frail" {
				return e, h, nil
			}
		}
	}
	return nil, h, errors.New("the endpoint is not known")
}

// follow notes the tiers of servers' frail endpoints in order until all have reached one, each because of the layer that is
// written for its server; an empty one is any.
func follow(b *testbed.Bed, t *testing.T, until string, layers map[string]string) map[string][]string {
	t.Helper()
	tiers := map[string][]string{}
	b.Eventually(testbed.Patience, "the endpoints are "+until, func() error {
		var late []error
		for server, layer := range layers {
			e, _, err := measured(b, server)
			if err != nil {
				return err
			}
			if seen := tiers[server]; len(seen) == 0 || seen[len(seen)-1] != e.GetTier() {
				tiers[server] = append(seen, e.GetTier())
			}
			if e.GetTier() != until || layer != "" && e.GetLayer() != layer {
				late = append(late, fmt.Errorf("that of %s is %s because of %q: %s", server, e.GetTier(), e.GetLayer(), e.GetDetail()))
			}
		}
		return errors.Join(late...)
	})
	return tiers
}

// answeredIn waits until calls to a path are answered in a region.
func answeredIn(b *testbed.Bed, path, region string) {
	b.Eventually(testbed.Patience, path+" is answered in "+region, func() error {
		answer, err := b.Post(path, testbed.ModernHeaders("tools/list", ""), testbed.ListTools)
		if err != nil {
			return err
		}
		if got := answer.Header.Get("x-holdfast-region"); got != region {
			return fmt.Errorf("status %d from %q", answer.Status, got)
		}
		return nil
	})
}

// TestEachLayerIsNamed: on a real Envoy, each layer that fails, of a server of its own, is the one that is named; the endpoint goes through
// the tiers in order and is taken out, calls are answered elsewhere, and it comes back when it is mended.
func TestEachLayerIsNamed(t *testing.T) {
	t.Parallel()
	servers, each, steady := map[string]*frail{}, map[string]string{}, map[string]string{}
	defer func() {
		for _, f := range servers {
			f.server.Close()
		}
	}()
	listen := func(address string) *frail {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return startFrail(t, nil, listener)
	}
	config := measuredGateway
	for _, layer := range []string{"tcp", "http", "handshake", "list", "query", "metrics"} {
		// The port of the one that goes away has to be free when it comes again.
		address := stacktest.Address(t)
		servers[layer], each[layer], steady[layer] = listen(address), layer, ""
		one := strings.NewReplacer("SERVER", layer, "FRAIL", address, "STANDBY", "${standby-delhi}").Replace(measuredServer)
		if layer == "list" {
			// A query that is answered is as good a word as a list.
			one = strings.Replace(one, measuredQuery, "", 1)
		}
		config += one
	}
	b := testbed.Start(t, testbed.Options{
		Servers: []demo.Place{{Name: "standby-delhi", Server: "orders", Region: testbed.Delhi}},
		Config:  config, Measure: "all", Reachable: func(b *testbed.Bed) error { return b.Ping("/http") },
	})
	follow(b, t, "steady", steady)
	for layer, f := range servers {
		answeredIn(b, "/"+layer, testbed.Mumbai)
		f.breakLayer(layer)
	}
	gone := servers["tcp"]
	gone.server.CloseClientConnections()
	gone.server.Close()
	for layer, tiers := range follow(b, t, "ejected", each) {
		if !inOrder(tiers, []string{"steady", "watched", "shedding", "ejected"}) {
			t.Errorf("%s: tiers %q", layer, tiers)
		}
		e, h, err := measured(b, layer)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.GetIncidents()) != 1 || h.GetIncidents()[0].GetLayer() != layer || len(h.GetActions()) == 0 {
			t.Errorf("%s: incidents %v, actions %v", layer, h.GetIncidents(), h.GetActions())
		}
		if e.GetGiven() != "unhealthy" {
			t.Errorf("%s: it is given %s", layer, e.GetGiven())
		}
		answeredIn(b, "/"+layer, testbed.Delhi)
	}
	servers["tcp"] = listen(gone.server.Listener.Addr().String())
	for _, f := range servers {
		f.breakLayer("")
	}
	follow(b, t, "steady", steady)
	for layer := range servers {
		answeredIn(b, "/"+layer, testbed.Mumbai)
	}
}

// TestTLSMismatch: a server whose certificate has another name than the configuration is named by its TLS layer, and calls to it do not
// go through; one whose certificate is right gets them.
func TestTLSMismatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, own := certificate(t, dir, "ca.pem", "orders.example")
	f := startFrail(t, &own, nil)
	defer f.server.Close()
	plain := startFrail(t, nil, nil)
	defer plain.server.Close()
	config := func(name string) string {
		return measuredGateway + strings.NewReplacer(
			"SERVER", "orders", "FRAIL", f.server.Listener.Addr().String(), "STANDBY", plain.server.Listener.Addr().String(),
			"  probes:", "  tls: {ca: "+ca+", serverName: "+name+"}\n  probes:",
		).Replace(measuredServer)
	}
	b := testbed.Start(t, testbed.Options{
		Servers: []demo.Place{}, Config: config("orders.example"), Measure: "all",
		Reachable: func(b *testbed.Bed) error { return b.Ping("/orders") },
	})
	follow(b, t, "steady", map[string]string{"orders": ""})
	b.WriteConfig(config("archive.example"))
	tiers := follow(b, t, "ejected", map[string]string{"orders": "tls"})["orders"]
	if !inOrder(tiers, []string{"steady", "watched", "shedding", "ejected"}) {
		t.Errorf("tiers %q", tiers)
	}
	answer, err := b.Post("/orders", testbed.ModernHeaders("tools/list", ""), testbed.ListTools)
	if err == nil && answer.Header.Get("x-holdfast-degraded") == "" && answer.Status == http.StatusOK {
		t.Errorf("Envoy takes a certificate of another name: %s", answer.Body)
	}
	b.WriteConfig(config("orders.example"))
	b.Eventually(testbed.Patience, "calls get through again", func() error { return b.Ping("/orders") })
}

// inOrder says that tiers is a part of order, in it.
func inOrder(tiers, order []string) bool {
	last := -1
	for _, one := range tiers {
		at := slices.Index(order, one)
		if at < last {
			return false
		}
		last = at
	}
	return last == len(order)-1
}
