package clients

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
	"github.com/holdfast-mcp/holdfast/test/thirdparty"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

// revisionsConfig is a server with sessions for each revision that has them.
const revisionsConfig = `
kind: MCPServer
metadata: {name: NAME}
spec:
  path: /mcp
  regions: [{name: asia-south1, endpoints: [{name: NAME, address: "ADDRESS"}]}]
---
kind: MCPRoute
metadata: {name: NAME}
spec: {path: /NAME, servers: [{name: NAME}]}
---
`

// listening opens connections that hear of changes.
func listening(t *testing.T, all []*agent, url string) {
	t.Helper()
	for _, a := range all {
		a.Client = thirdparty.Open(t, a.kind)
	}
	each(all, func(a *agent) {
		if got := a.Do(words.Command{Do: "connect", URL: url, Era: a.era, Listen: true}); !got.OK || !ofEra(got.Version, a.era) {
			t.Errorf("%s connects: %+v", a, got)
		}
	})
}

// hears changes a server's list again and again until all of the agents have heard of one
// more change than before.
func hears(t *testing.T, all []*agent, u *upstream) {
	t.Helper()
	before := make([]int, len(all))
	for i, a := range all {
		before[i] = a.Do(words.Command{Do: "heard"}).Changes
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var deaf []string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		u.change()
		deaf = nil
		for i, a := range all {
			if a.Do(words.Command{Do: "heard"}).Changes <= before[i] {
				deaf = append(deaf, a.String())
			}
		}
		if len(deaf) == 0 {
			return
		}
	}
	t.Errorf("%v heard of no change", deaf)
}

// TestListening: clients hear of changes of the list of tools, in 2026-07-28 by
// subscriptions/listen, before that on their session's event stream. A stream that breaks costs no
// connection, and those of sessions are opened again.
func TestListening(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	modern, legacy := agents(words.Modern), agents(words.Legacy)
	listening(t, modern, "http://"+w.Gateway+"/mcp")
	listening(t, legacy, "http://"+w.Gateway+"/sessions")
	hears(t, modern, w.mumbai)
	hears(t, legacy, w.sessions)
	for _, u := range []*upstream{w.mumbai, w.sessions} {
		u.CloseClientConnections()
	}
	w.heal(t)
	all := slices.Concat(modern, legacy)
	each(all, func(a *agent) { recovers(t, a) })
	hears(t, legacy, w.sessions)
	// One that is refused its stream is told so at once, and may connect without.
	refused := answers(http.StatusTooManyRequests, "text/plain", "too many")
	for _, u := range []*upstream{w.mumbai, w.delhi} {
		u.set(&fault{"subscriptions/listen", refused})
	}
	deaf := agents(words.Modern)
	for _, a := range deaf {
		a.Client = thirdparty.Open(t, a.kind)
	}
	each(deaf, func(a *agent) {
		start := time.Now()
		a.Do(words.Command{Do: "connect", URL: "http://" + w.Gateway + "/mcp", Era: a.era, Listen: true})
		if took := time.Since(start); took > patience {
			t.Errorf("%s waited %v for its stream", a, took)
		}
	})
	w.mumbai.set(nil)
	w.delhi.set(nil)
	connect(t, deaf, "http://"+w.Gateway+"/mcp")
	each(deaf, func(a *agent) { recovers(t, a) })
}

// TestLists: whatever happens to the servers, clients of both eras get the last good list
// of tools, and their connections live on.
func TestLists(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	all := agents(words.Legacy, words.Modern)
	connect(t, all, "http://"+w.Gateway+"/mcp")
	lists := func(t *testing.T) {
		t.Helper()
		each(all, func(a *agent) {
			start := time.Now()
			if got := a.Do(words.Command{Do: "list"}); !got.OK || !slices.Equal(got.Tools, []string{"get_order"}) {
				t.Errorf("%s: %+v", a, got)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("%s waited for %v", a, took)
			}
		})
	}
	lists(t)
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		regions int
	}{
		{"one region dies", dies, 1},
		{"all die", dies, 2},
		{"all hang", hangs, 2},
		{"error pages", says(500, "text/html", "<h1>oops</h1>"), 2},
		{"internal errors", answers(200, "application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"x"}}`), 2},
		{"streams without an answer", speaks(": hello\n\n"), 2},
		{"streams that break", speaksAndDies("event: message\ndata: {\"json"), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, u := range []*upstream{w.mumbai, w.delhi}[:c.regions] {
				u.set(&fault{"tools/list", c.answer})
			}
			lists(t)
			w.heal(t)
			each(all, func(a *agent) { recovers(t, a) })
		})
	}
}

// TestRevisions: the clients of all SDKs have sessions with servers of each revision that
// has them: lists, calls, changes that they hear of, and a session's loss, which each is told of.
func TestRevisions(t *testing.T) {
	t.Parallel()
	revisions := []string{"2025-03-26", "2025-06-18", "2025-11-25"}
	servers := map[string]*upstream{}
	config := "kind: Gateway\nmetadata: {name: revisions}\nspec: {address: \"${gateway}\", processorTimeout: 8s}\n---\n"
	for _, revision := range revisions {
		u := newUpstream(t, true)
		u.revision, servers[revision] = revision, u
		config += strings.NewReplacer("NAME", "r"+revision, "ADDRESS", u.address()).Replace(revisionsConfig)
	}
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.TrimSuffix(config, "---\n"), Reachable: func(b *testbed.Bed) error {
		opened, err := b.Post("/r2025-11-25", http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}},
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
		if err == nil && opened.Status != http.StatusOK {
			err = fmt.Errorf("status %d: %.200s", opened.Status, opened.Body)
		}
		return err
	}})
	for _, revision := range revisions {
		t.Run(revision, func(t *testing.T) {
			t.Parallel()
			all := agents(words.Legacy)
			listening(t, all, "http://"+bed.Gateway+"/r"+revision)
			good := func(a *agent) {
				if got := a.Call("get_order", nil); got.Text != "good" {
					t.Errorf("%s: %+v", a, got)
				}
				if got := a.Do(words.Command{Do: "list"}); !slices.Contains(got.Tools, "get_order") {
					t.Errorf("%s lists %+v", a, got)
				}
			}
			each(all, good)
			hears(t, all, servers[revision])
			servers[revision].forget(true)
			each(all, func(a *agent) {
				if got := a.Call("get_order", nil); got.OK {
					t.Errorf("%s with a lost session: %+v", a, got)
				}
			})
			for _, a := range all {
				a.Client = thirdparty.Open(t, a.kind)
			}
			each(all, func(a *agent) {
				if got := a.Connect("http://"+bed.Gateway+"/r"+revision, a.era); got.Version != "" && got.Version != revision {
					t.Errorf("%s speaks %+v", a, got)
				}
			})
			each(all, good)
		})
	}
}
