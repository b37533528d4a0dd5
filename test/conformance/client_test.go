package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
	"github.com/holdfast-mcp/holdfast/test/thirdparty"
)

// frontConfig is added for each mock server. Mocks that know no GET never answer it.
const frontConfig = `
---
kind: MCPServer
metadata: {name: NAME}
spec:
  path: PATH
  regions: [{name: local, endpoints: [{name: NAME, address: "ADDRESS"}]}]
  healthCheck: {disabled: true}
---
kind: MCPRoute
metadata: {name: NAME}
spec: {path: /NAME, servers: [{name: NAME}]}
`

// front puts the gateway before one mock server after the other.
type front struct {
	t    *testing.T
	bed  *testbed.Bed
	base string
	// each is added to base for a mock; empty: frontConfig, for each one more. path is its endpoint.
	each, path string
	number     int
}

// serveFront answers programs front until the test ends.
func serveFront(t *testing.T, f *front) (address string) {
	t.Helper()
	control := httptest.NewServer(f)
	t.Cleanup(control.Close)
	return control.URL
}

// ServeHTTP takes a mock's URL and answers with the gateway's.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	mock, err := url.Parse(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.number++
	name := fmt.Sprintf("mock%d", f.number)
	path := mock.Path
	if path == "" {
		path = "/"
	}
	config := f.each
	if config == "" {
		config, f.path = frontConfig, "/"+name
	}
	before := f.bed.Revision()
	f.bed.WriteConfig(f.base + strings.NewReplacer("NAME", name, "PATH", path, "ADDRESS", "127.0.0.1:"+mock.Port()).Replace(config))
	f.bed.Until(time.Minute, "the gateway stands before the mock", func() bool {
		return f.bed.Revision() != before && f.bed.AtRest()
	})
	fmt.Fprintf(w, "http://%s%s", f.bed.Gateway, f.path)
}

// clientScenario is one scenario of the suite for clients, in one revision.
type clientScenario struct{ name, revision string }

// listedScenario matches a line such as "  - sse-retry [2025-11-25]".
var listedScenario = regexp.MustCompile(`(?m)^\s+- (\S+) \[([^\]]+)\]$`)

// clientScenarios are all scenarios that the suite lists for clients, those of authorization
// or all others, but for those of extensions that the Go SDK's client lacks.
func clientScenarios(t *testing.T, authorization bool) []clientScenario {
	t.Helper()
	parts := thirdparty.Get(t)
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, parts.Node, parts.Module(suiteScript), "list", "--client").CombinedOutput()
	if err != nil {
		t.Fatalf("listing the scenarios: %v\n%s", err, out)
	}
	var found []clientScenario
	for _, m := range listedScenario.FindAllSubmatch(out, -1) {
		if bytes.HasPrefix(m[1], []byte("auth/")) != authorization || string(m[2]) == "extension" {
			continue
		}
		for revision := range strings.SplitSeq(string(m[2]), ",") {
			found = append(found, clientScenario{string(m[1]), revision})
		}
	}
	slices.SortStableFunc(found, func(a, b clientScenario) int { return strings.Compare(b.revision, a.revision) })
	return found
}

// clientTotal matches the summary of one client scenario.
var clientTotal = regexp.MustCompile(`(?m)^Passed: (\d+)/\d+, (\d+) failed`)

// clientRuns runs each scenario with both commands; what two ask of the gateway is asked
// one after the other, what the others do without it goes on beside that.
func clientRuns(t *testing.T, scenarios []clientScenario, direct, through string) []pairOfResults {
	t.Helper()
	all := make([]pairOfResults, len(scenarios))
	var beside sync.WaitGroup
	beside.Go(func() {
		for i, s := range scenarios {
			all[i].direct = clientRun(t, s, direct)
		}
	})
	for i, s := range scenarios {
		all[i].revision, all[i].through = s.revision, clientRun(t, s, through)
	}
	beside.Wait()
	return all
}

// clientRun runs one scenario; command gets the mock's URL as its last argument. One that
// cannot be run fails the test.
func clientRun(t *testing.T, s clientScenario, command string) result {
	t.Helper()
	parts := thirdparty.Get(t)
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, parts.Node, parts.Module(suiteScript), "client",
		"--command", command, "--scenario", s.name, "--spec-version", s.revision, "--timeout", "60000")
	cmd.Dir, cmd.WaitDelay = t.TempDir(), time.Second
	out, err := cmd.CombinedOutput()
	m := clientTotal.FindSubmatch(out)
	if m == nil {
		t.Errorf("%s in %s gave no summary (%v):\n%s", s.name, s.revision, err, tail(out))
		return result{scenario: s.name, failed: 1}
	}
	passed, _ := strconv.Atoi(string(m[1]))
	failed, _ := strconv.Atoi(string(m[2]))
	if err != nil || failed > 0 {
		t.Logf("%s in %s (%v):\n%s", s.name, s.revision, err, tail(out))
		failed = max(failed, 1)
	}
	return result{scenario: s.name, passed: passed, failed: failed}
}

// clientSuite runs the suite's scenarios for clients: the Go SDK's client between
// whom and the suite's mock server Holdfast stands shows the mock what it shows
// without.
func clientSuite(t *testing.T, bed *testbed.Bed, base string) []pairOfResults {
	t.Helper()
	control := serveFront(t, &front{t: t, bed: bed, base: base})
	client := thirdparty.Program(t, thirdparty.GoConformance+"everything-client")
	between := thirdparty.Program(t, "./test/conformance/front") + " " + control + " " + client
	all := clientRuns(t, clientScenarios(t, false), client, between)
	for _, p := range all {
		if p.through.failed > 0 || p.through.passed < p.direct.passed {
			t.Errorf("%s in %s: %d checks passed and %d failed without Holdfast, %d and %d through it", p.through.scenario, p.revision,
				p.direct.passed, p.direct.failed, p.through.passed, p.through.failed)
		}
	}
	return all
}
