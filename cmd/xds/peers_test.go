package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
)

// TestProbingIsShared: two control planes look at a part of the endpoints each and know of all; when one is killed the other
// looks at all of them.
func TestProbingIsShared(t *testing.T) {
	mcp, err := demo.NewServer(demo.Config{Server: demo.Orders, Name: "one", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	one := httptest.NewServer(mcp.Handler())
	defer one.Close()
	const servers = 12
	var b strings.Builder
	for i := range servers {
		fmt.Fprintf(&b, `kind: MCPServer
metadata: {name: s%d}
spec:
  regions: [{name: asia-south1, endpoints: [{name: e%d, address: "%s"}]}]
  probes: {tcp: {interval: 500ms}, http: {interval: 500ms}}
---
`, i, i, one.Listener.Addr())
	}
	b.WriteString("kind: MCPRoute\nmetadata: {name: shop}\nspec: {servers: [{name: s0}]}\n")
	a, z := newProcess(t), newProcess(t)
	both := []string{"--peers", a.xds + "," + z.xds}
	for _, p := range []*process{a, z} {
		if err := os.WriteFile(filepath.Join(p.config, "shop.yaml"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		p.args = both
		p.start(0)
	}
	// known counts the endpoints of which a control plane knows layers.
	known := func(p *process, outcome string) (n int) {
		for i := range servers {
			h, err := p.api.GetHealth(t.Context(), &adminv1.GetHealthRequest{Server: fmt.Sprintf("s%d", i)})
			if err != nil {
				return 0
			}
			for _, l := range h.GetRegions()[0].GetEndpoints()[0].GetLayers() {
				if l.GetName() == "tcp" && l.GetOutcome() == outcome {
					n++
				}
			}
		}
		return n
	}
	for _, p := range []*process{a, z} {
		waitFor(t, "a control plane that knows of all endpoints", func() bool { return known(p, "good") == servers })
		waitFor(t, "a part of the endpoints for each", func() bool {
			n := p.probed()
			return n > 0 && n < servers
		})
	}
	waitFor(t, "parts that make up all endpoints", func() bool { return a.probed()+z.probed() == servers })
	a.end(syscall.SIGKILL)
	waitFor(t, "the other control plane to look at all", func() bool { return z.probed() == servers })
	// What it finds is its own: nobody tells it any more.
	one.Close()
	waitFor(t, "all endpoints found failing", func() bool { return known(z, "failed") == servers })
}

// probed is how many endpoints a control plane looks at, -1 where it does not say.
func (p *process) probed() int {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.http+"/metrics", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return -1
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		n := -1
		if _, err := fmt.Sscanf(lines.Text(), "holdfast_probed_endpoints %d", &n); err == nil {
			return n
		}
	}
	return -1
}
