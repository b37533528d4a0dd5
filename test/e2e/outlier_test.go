package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestFlappingEndpoint: an endpoint that fails for two seconds and works for two, in turn, is ejected
// ever longer instead of each time anew, and no safe call fails.
func TestFlappingEndpoint(t *testing.T) {
	t.Parallel()
	s := testbed.Start(t, testbed.Options{})
	load := s.StartLoad("/mcp", rate, mixed)
	s.Until(testbed.Patience, "the primary answers under load", func() bool { return goodVia(load.Calls())["primary-mumbai"] > 50 })
	before := s.Ejections("orders")
	const turns = 6
	for turn := range turns {
		f := demo.Faults{Mode: demo.FaultRPCError}
		if turn%2 == 1 {
			f = demo.Faults{}
		}
		s.Fault("primary-mumbai", f)
		until := time.Now().Add(2 * time.Second)
		s.Until(testbed.Patience, "two seconds are over", func() bool { return time.Now().After(until) })
	}
	n := s.Ejections("orders") - before
	requireAllGood(t, load.Stop())
	if n == 0 || n >= turns/2 {
		t.Errorf("%d ejections in %d turns, want at least one and fewer than failing turns", n, turns)
	}
	t.Logf("%d ejections in %d turns of two seconds", n, turns)
}

// TestLastEndpointStays: with the default share of endpoints that may be ejected, the last of three that all fail still gets calls.
func TestLastEndpointStays(t *testing.T) {
	t.Parallel()
	up := []*upstream{newUpstream(t, nil), newUpstream(t, nil), newUpstream(t, nil)}
	config := strings.NewReplacer(
		`      endpoints: [{name: primary-mumbai, address: "MUMBAI"}]`,
		`      endpoints: [{name: primary-mumbai, address: "MUMBAI"}, {name: second-mumbai, address: "SECOND"}]`,
		"  healthCheck:", "  outlier: {consecutiveFailures: 2, ejectionTime: 1m}\n  breaker: {disabled: true}\n  healthCheck:",
	).Replace(pairConfig)
	config = strings.NewReplacer("MUMBAI", up[0].address(), "SECOND", up[1].address(), "DELHI", up[2].address()).Replace(config)
	b := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	for _, u := range up {
		u.set(statusAnswer(http.StatusInternalServerError, "text/plain", "broken"))
	}
	call := func() {
		if _, err := b.Post("/mcp", testbed.ModernHeaders("tools/call", "create_order"), testbed.CallTool("1", "create_order", "{}")); err != nil {
			t.Fatal(err)
		}
	}
	asked := func() (n int) {
		for _, u := range up {
			n += len(u.requests())
		}
		return n
	}
	b.Until(testbed.Patience, "two of three are ejected", func() bool { call(); return b.Ejections("orders") >= 2 })
	before := asked()
	const more = 20
	for range more {
		call()
	}
	if n := asked() - before; n != more {
		t.Errorf("%d of %d calls reached the last endpoint", n, more)
	}
	if n := b.Ejections("orders"); n != 2 {
		t.Errorf("%d ejections of three endpoints, want 2", n)
	}
}
