package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// write has the run put its results into docs/CONFORMANCE.md instead of comparing them.
var write = flag.Bool("write", false, "write docs/CONFORMANCE.md")

// pairOfResults is one scenario without Holdfast and through it.
type pairOfResults struct {
	revision        string
	direct, through result
}

// revisionResult is one revision's part of the server suite.
type revisionResult struct {
	revision        string
	direct, through run
}

const tableHead = `# Conformance

The official suite, ` + "`@modelcontextprotocol/conformance@0.2.0-alpha.12`" + `, with Holdfast on a real Envoy between the suite and the everything-server and
everything-client of the Go SDK v1.8.0. There is no list of expected failures. This page is written by the run itself (` + "`make conformance`" + `), and
every test run compares it with its own results.

## Servers behind Holdfast

`

const serversNote = `
A scenario that does not count is marked with the suite's own reason. Those of the tasks extension fail without Holdfast
as well: the server lacks the extension.

`

const clientsNote = `
## Clients in front of Holdfast

Checks passed; the suite plays the server and watches what the client sends.

`

// authHead begins the part of the page that TestAuthorization writes.
const authHead = "\n## Clients that need a token\n"

const authNote = `
Checks passed, where the suite plays a server that asks for tokens and an authorization server. A token is for one resource, and clients refuse one for
another, so Holdfast stands here at the address of the server itself, which is how such servers are put behind a Gateway; what they say of themselves
passes as ` + "`pages`" + ` of the MCPRoute. The suite's extensions (DPoP, client credentials and the like) are left out, since the SDK's client lacks them.

| scenario | revision | through Holdfast | without |
| --- | --- | --- | --- |
`

// tables renders the page.
func tables(servers []revisionResult, clients []pairOfResults) string {
	var b strings.Builder
	b.WriteString(tableHead)
	b.WriteString("| revision | scored scenarios | checks through Holdfast | checks without |\n| --- | --- | --- | --- |\n")
	for _, r := range servers {
		passed, all := r.through.scored()
		tp, tf := r.through.checks()
		dp, df := r.direct.checks()
		fmt.Fprintf(&b, "| %s | %d of %d pass | %d pass, %d fail | %d pass, %d fail |\n", r.revision, passed, all, tp, tf, dp, df)
	}
	b.WriteString(serversNote)
	for _, r := range servers {
		fmt.Fprintf(&b, "### %s\n\n| scenario | through Holdfast | without |\n| --- | --- | --- |\n", r.revision)
		for _, s := range r.through.results {
			direct, _ := r.direct.find(s.scenario)
			fmt.Fprintf(&b, "| %s | %s | %s |\n", marked(s), counts(s), counts(direct))
		}
		b.WriteString("\n")
	}
	b.WriteString(strings.TrimPrefix(clientsNote, "\n"))
	b.WriteString("| scenario | revision | through Holdfast | without |\n| --- | --- | --- | --- |\n")
	for _, p := range clients {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.through.scenario, p.revision, counts(p.through), counts(p.direct))
	}
	return b.String()
}

func marked(s result) string {
	if s.unscored == "" {
		return s.scenario
	}
	return s.scenario + " (" + s.unscored + ")"
}

func counts(s result) string {
	if s.failed == 0 {
		return fmt.Sprintf("%d", s.passed)
	}
	return fmt.Sprintf("%d, %d fail", s.passed, s.failed)
}

// settle writes a part of the page, or compares it with what is there: the one from
// authHead on, or the one before it.
func settle(t *testing.T, head, part string) {
	t.Helper()
	path := filepath.Join(stacktest.Root(t), "docs", "CONFORMANCE.md")
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(string(have), authHead)
	if second != "" {
		second = authHead + second
	}
	there := first
	if head == authHead {
		there, second = second, part
	} else {
		first = part
	}
	switch {
	case *write:
		if err := os.WriteFile(path, []byte(first+second), 0o644); err != nil {
			t.Fatal(err)
		}
	case there != part:
		t.Errorf("docs/CONFORMANCE.md differs from this run; `make conformance` writes it anew. This run:\n%s", part)
	}
}
