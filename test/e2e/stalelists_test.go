package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestListsSurviveRestarts: the last good list is there while its server is down, whatever is started anew
// meanwhile, for those who were given it; an empty or failed list does not take its place.
func TestListsSurviveRestarts(t *testing.T) {
	t.Parallel()
	p := &pair{mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil)}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address()).Replace(pairConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	list := func(tools string) string {
		return `{"jsonrpc":"2.0","id":"l","result":{"tools":[` + tools + `],"resultType":"complete","ttlMs":60000,"cacheScope":"private"}}`
	}
	ask := func(token string) testbed.Answer {
		header := testbed.ModernHeaders("tools/list", "")
		if token != "" {
			header.Set("Authorization", "Bearer "+token)
		}
		body := strings.Replace(testbed.CallTool(`"l"`, "x", "{}"), `"tools/call"`, `"tools/list"`, 1)
		got, err := p.Post("/mcp", header, strings.Replace(body, `"name":"x","arguments":{},`, "", 1))
		if err != nil {
			return testbed.Answer{Status: http.StatusBadGateway, Body: []byte(err.Error())}
		}
		return got
	}
	for _, token := range []string{"", "asha"} {
		answer := jsonAnswer(list(`{"name":"of_` + token + `"}`))
		p.set(answer, answer)
		for range 8 { // both processors see it
			if got := ask(token); got.Status != http.StatusOK || got.Header.Get("x-holdfast-degraded") != "" {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
		}
	}
	// Neither an empty list nor an error takes the place of a good one.
	for _, bad := range []http.HandlerFunc{jsonAnswer(list("")), jsonAnswer(strings.Replace(broken, exactID, `"l"`, 1))} {
		p.set(bad, bad)
		for range 4 {
			ask("")
			ask("asha")
		}
	}
	p.Eventually(30*time.Second, "what is remembered is on disk", func() error {
		for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
			for _, file := range []string{"lists.pb", "catalog.pb"} {
				data, err := os.ReadFile(filepath.Join(p.Dir, name, file))
				if err != nil || !strings.Contains(string(data), `of_`) {
					return errors.Join(err, errors.New(file+" of "+name+" has no list"))
				}
			}
		}
		return nil
	})
	p.mumbai.Close()
	p.delhi.Close()
	for _, name := range []string{testbed.XDS, testbed.Extproc1, testbed.Extproc2} {
		p.Kill(name)
	}
	for _, name := range []string{testbed.XDS, testbed.Extproc1, testbed.Extproc2} {
		p.Restart(name)
	}
	for _, c := range []struct{ token, tool string }{{"", `"of_"`}, {"asha", `"of_asha"`}} {
		p.Eventually(30*time.Second, "the last good list", func() error {
			if got := ask(c.token); got.Header.Get("x-holdfast-degraded") != "stale" {
				return errBody(got.Body)
			}
			return nil
		})
		for range 6 {
			got := ask(c.token)
			body := string(got.Body)
			if got.Status != http.StatusOK || !strings.Contains(body, c.tool) || !strings.Contains(body, `"asOf":"`) || !strings.Contains(body, `"ttlMs":5000`) || !strings.Contains(body, `"source":"stale"`) {
				t.Errorf("for %q: %d %s", c.token, got.Status, body)
			}
		}
	}
	if got := ask("akhil"); got.Header.Get("x-holdfast-degraded") != "error" || strings.Contains(string(got.Body), "of_") {
		t.Errorf("another caller got %v %s", got.Header, got.Body)
	}
}
