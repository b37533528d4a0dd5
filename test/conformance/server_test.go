package conformance

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
	"github.com/holdfast-mcp/holdfast/test/thirdparty"
)

// serversConfig has the everything-server without sessions on /mcp and the one with
// sessions on /sessions.
const serversConfig = `
kind: Gateway
metadata: {name: conformance}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: stateless}
spec:
  path: /
  regions: [{name: local, endpoints: [{name: stateless, address: "STATELESS"}]}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPServer
metadata: {name: sessions}
spec:
  path: /
  regions: [{name: local, endpoints: [{name: sessions, address: "SESSIONS"}]}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: stateless}
spec: {path: /mcp, servers: [{name: stateless}]}
---
kind: MCPRoute
metadata: {name: sessions}
spec: {path: /sessions, servers: [{name: sessions}]}
`

// serverRun is one revision's part of the suite. scored is how many scenarios of it
// count in the pinned release.
type serverRun struct {
	revision string
	args     []string
	sessions bool
	scored   int
}

func serverRuns() []serverRun {
	return []serverRun{
		{revision: "2026-07-28", args: []string{"--requirements", "2026-07-28"}, scored: 37},
		{revision: "2025-11-25", args: []string{"--requirements", "2025-11-25"}, sessions: true, scored: 30},
		{revision: "2025-06-18", args: []string{"--spec-version", "2025-06-18"}, sessions: true, scored: 27},
		{revision: "2025-03-26", args: []string{"--spec-version", "2025-03-26"}, sessions: true, scored: 1},
	}
}

// TestConformance: every scenario gives through Holdfast what it gives without it,
// and all that count pass. What the server itself lacks (the tasks extension) fails
// in both.
func TestConformance(t *testing.T) {
	stateless, sessions := thirdparty.GoEverything(t, true), thirdparty.GoEverything(t, false)
	config := strings.NewReplacer("STATELESS", stateless.Address, "SESSIONS", sessions.Address).Replace(serversConfig)
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	var servers []revisionResult
	for _, r := range serverRuns() {
		address, path := stateless.Address, "/mcp"
		if r.sessions {
			address, path = sessions.Address, "/sessions"
		}
		got := revisionResult{
			revision: r.revision,
			direct:   serverSuite(t, "http://"+address+"/", r.args...),
			through:  serverSuite(t, "http://"+bed.Gateway+path, r.args...),
		}
		got.check(t, r.scored)
		servers = append(servers, got)
	}
	clients := clientSuite(t, bed, config)
	if !t.Failed() {
		settle(t, "", tables(servers, clients))
	}
}

func (r revisionResult) check(t *testing.T, scored int) {
	t.Helper()
	r.compare(t)
	if passed, all := r.through.scored(); passed != scored || all != scored || !r.through.ok {
		t.Errorf("%s: %d of %d scored scenarios pass, want %d of %d; the suite is content: %v\n%s",
			r.revision, passed, all, scored, scored, r.through.ok, tail(r.through.said))
	}
	// These two are a proxy's own duty: it rewrites Host, and it reads the body.
	duties := map[string][]string{
		"2026-07-28": {"http-header-validation", "dns-rebinding-protection"},
		"2025-11-25": {"dns-rebinding-protection"},
	}
	for _, name := range duties[r.revision] {
		if got, there := r.through.find(name); !there || got.failed > 0 || got.passed == 0 {
			t.Errorf("%s: %s: there %v, %d checks passed, %d failed", r.revision, name, there, got.passed, got.failed)
		}
	}
}

// compare fails where a scenario does worse through Holdfast than without it. A
// scenario that does not count may make fewer checks: server-sse-polling looks no
// further where an answer is no event stream, and Holdfast gives an error in place
// of a stream that the server ends without an answer and without an event id.
func (r revisionResult) compare(t *testing.T) {
	t.Helper()
	if len(r.direct.results) != len(r.through.results) {
		t.Errorf("%s: %d scenarios ran without Holdfast, %d through it", r.revision, len(r.direct.results), len(r.through.results))
	}
	for _, want := range r.direct.results {
		got, there := r.through.find(want.scenario)
		if !there || got.failed > want.failed || (want.unscored == "" && got.passed < want.passed) {
			t.Errorf("%s: %s: %d checks passed and %d failed without Holdfast, %d and %d through it",
				r.revision, want.scenario, want.passed, want.failed, got.passed, got.failed)
		}
	}
}
