// Package conformance runs the official MCP conformance suite with Holdfast on a
// real Envoy between the suite and the servers and clients of the Go SDK. The
// results that docs/CONFORMANCE.md shows are written by the run itself (-write).
package conformance

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/thirdparty"
)

// suiteScript is the suite's program in its npm package.
const suiteScript = "@modelcontextprotocol/conformance/dist/index.js"

// runTimeout bounds one run of the suite.
const runTimeout = 4 * time.Minute

// result is what the suite says of one scenario.
type result struct {
	scenario       string
	passed, failed int
	// unscored says why a scenario does not count: "extension", "pending"; empty where it does.
	unscored string
}

// run is one run of the suite.
type run struct {
	results []result
	// ok: every scored scenario passed, by the suite's own exit status.
	ok   bool
	said []byte
}

// scored counts the scenarios that count, and those of them that passed.
func (r run) scored() (passed, all int) {
	for _, s := range r.results {
		if s.unscored != "" {
			continue
		}
		all++
		if s.failed == 0 {
			passed++
		}
	}
	return passed, all
}

// checks counts the single checks of all scenarios.
func (r run) checks() (passed, failed int) {
	for _, s := range r.results {
		passed, failed = passed+s.passed, failed+s.failed
	}
	return passed, failed
}

func (r run) find(scenario string) (result, bool) {
	for _, s := range r.results {
		if s.scenario == scenario {
			return s, true
		}
	}
	return result{}, false
}

// Lines of the suite's summary.
var (
	summaryLine  = regexp.MustCompile(`(?m)^[✓✗] ([a-zA-Z0-9/_-]+): (\d+) passed, (\d+) failed`)
	unscoredLine = regexp.MustCompile(`(?m)^  [✓✗] ([a-zA-Z0-9/_-]+) \(([a-z -]+)\)$`)
)

// suite runs the suite and reads its summary.
func suite(t *testing.T, args ...string) run {
	t.Helper()
	parts := thirdparty.Get(t)
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, parts.Node, append([]string{parts.Module(suiteScript)}, args...)...)
	cmd.Dir, cmd.WaitDelay = t.TempDir(), time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running the suite: %v\n%s", err, out)
	}
	r := run{ok: err == nil, said: out}
	reasons := map[string]string{}
	for _, m := range unscoredLine.FindAllSubmatch(out, -1) {
		reasons[string(m[1])] = string(m[2])
	}
	for _, m := range summaryLine.FindAllSubmatch(out, -1) {
		passed, _ := strconv.Atoi(string(m[2]))
		failed, _ := strconv.Atoi(string(m[3]))
		r.results = append(r.results, result{string(m[1]), passed, failed, reasons[string(m[1])]})
	}
	if len(r.results) == 0 {
		t.Fatalf("the suite gave no summary:\n%s", tail(out))
	}
	return r
}

// tail is the end of what a program said.
func tail(out []byte) []byte {
	const shown = 6000
	return bytes.TrimSpace(out[max(0, len(out)-shown):])
}

// scenarios runs scenarios of the suite's server side at one URL.
func serverSuite(t *testing.T, url string, args ...string) run {
	t.Helper()
	return suite(t, append([]string{"server", "--url", url, "-o", filepath.Join(t.TempDir(), "results")}, args...)...)
}
