package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestPagesPassProcessors: what an operator names as a page goes to the first server as it
// is and comes back as it is, with no processor and with the first region gone; nothing
// beside it does, and no page leads to an endpoint.
func TestPagesPassProcessors(t *testing.T) {
	t.Parallel()
	const page = "/.well-known/oauth-protected-resource/mcp"
	p := startPairWith(t, strings.Replace(testbed.QuickChecks(pairConfig), "  servers: [{name: orders}]", "  pages: ["+page+"]\n  servers: [{name: orders}]", 1))
	ask := func(verb, path, body string) testbed.Answer {
		t.Helper()
		got, err := p.Do(verb, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Holdfast-Route": {"orders"}}, body)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	metadata := statusAnswer(http.StatusOK, "application/json", `{"resource": "https://gateway.example/mcp"}`)
	for _, c := range []struct{ verb, path, body string }{
		{http.MethodGet, page, ""}, {http.MethodGet, page + "?x=1", ""}, {http.MethodPost, page, "grant_type=x"},
	} {
		p.set(metadata, good)
		got := ask(c.verb, c.path, c.body)
		seen := p.mumbai.requests()
		if got.Status != http.StatusOK || string(got.Body) != `{"resource": "https://gateway.example/mcp"}` || len(seen) != 1 || len(p.delhi.requests()) != 0 {
			t.Fatalf("%s %s: %d %s, Mumbai saw %v", c.verb, c.path, got.Status, got.Body, seen)
		}
		if seen[0].Verb != c.verb || seen[0].Path != page || seen[0].Body != c.body || seen[0].Header.Get("X-Holdfast-Route") != "" {
			t.Errorf("%s %s: Mumbai saw %v", c.verb, c.path, seen[0])
		}
	}
	p.set(statusAnswer(http.StatusInternalServerError, "text/html", "<h1>oops</h1>"), good)
	if got := ask(http.MethodGet, page, ""); got.Status != http.StatusInternalServerError || string(got.Body) != "<h1>oops</h1>" {
		t.Errorf("a page that fails: %d %s", got.Status, got.Body)
	}
	p.set(metadata, metadata)
	for _, path := range []string{page + "/", page + "/x", "/.well-known/oauth-protected-resource", "/.well-known/x/../oauth-protected-resource/mcp/y"} {
		if got := ask(http.MethodGet, path, ""); got.Status != http.StatusNotFound || len(p.mumbai.requests()) != 0 {
			t.Errorf("%s: %d %s, Mumbai saw %v", path, got.Status, got.Body, p.mumbai.requests())
		}
	}
	p.Kill(testbed.Extproc1)
	p.Kill(testbed.Extproc2)
	if got := ask(http.MethodGet, page, ""); got.Status != http.StatusOK || len(p.mumbai.requests()) != 1 {
		t.Errorf("without processors: %d %s", got.Status, got.Body)
	}
	p.mumbai.CloseClientConnections()
	p.mumbai.Close()
	p.Eventually(testbed.Patience, "Delhi has the page", func() error {
		if got := ask(http.MethodGet, page, ""); got.Status != http.StatusOK || len(p.delhi.requests()) == 0 {
			return fmt.Errorf("status %d: %s", got.Status, got.Body)
		}
		return nil
	})
}
