package clients

import (
	"fmt"
	"maps"
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

const movedConfig = `
kind: Gateway
metadata: {name: moved}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: resumable}
spec:
  path: /mcp
  regions:
    - name: asia-south1
      endpoints: [{name: mumbai, address: "MUMBAI"}]
    - name: asia-south2
      endpoints: [{name: delhi, address: "DELHI"}]
  healthCheck: {interval: 1s, timeout: 1s}
  sessions: reinitialize
---
kind: MCPRoute
metadata: {name: resumable}
spec:
  path: /mcp
  servers: [{name: resumable}]
  timeout: 30s
`

// TestMovedStreams: servers of other SDKs take an event's id that they have never given for
// the beginning of nothing. When the region dies that has their sessions, every SDK's client is
// told so for the call that it waits for, goes on in the other region under its
// session, and hears from there. So it is when that one has started again and forgotten all.
// While no server is there clients ask for their streams again, the Go SDK's five times in
// thirteen seconds, in which a server has to start: not beside all other tests.
func TestMovedStreams(t *testing.T) {
	for _, kind := range []string{thirdparty.TypeScriptSDK, thirdparty.Python} {
		t.Run("servers on "+kind, func(t *testing.T) {
			t.Parallel()
			mumbai, delhi := thirdparty.Resumable(t, kind, "mumbai"), thirdparty.Resumable(t, kind, "delhi")
			bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer(
				"MUMBAI", mumbai.Address, "DELHI", delhi.Address,
			).Replace(movedConfig), Reachable: opens})
			all := agents(words.Legacy)
			wire := lay(t, bed.Gateway, `"progress":2`, len(all), false)
			listening(t, all, "http://"+wire.Addr().String()+"/mcp")
			announced(t, all, "mumbai")
			if _, err := mumbai.Kill(); err != nil {
				t.Fatal(err)
			}
			// Nothing is under way, so only the streams know.
			announced(t, all, "delhi")
			if err := mumbai.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			broken := make(chan struct{})
			go func() {
				defer close(broken)
				select {
				case <-wire.all:
				case <-time.After(time.Minute):
					t.Error("no call is in mid-stream")
				}
				if _, err := delhi.Kill(); err != nil {
					t.Error(err)
				}
			}()
			each(all, func(a *agent) {
				start := time.Now()
				got := a.Do(words.Command{Do: "call", Tool: "work", Arguments: map[string]any{"steps": 600}, Progress: true})
				if got.OK && !got.IsError || time.Since(start) > patience+5*time.Second {
					t.Errorf("%s in mid-stream, after %v: %+v", a, time.Since(start), got)
				}
			})
			<-broken
			announced(t, all, "mumbai")
			// The same address, and nothing in its memory; more often than some clients bear
			// that a stream breaks (the Python SDK's two in the life of a connection, the Go SDK's five).
			for range 4 {
				if _, err := mumbai.Kill(); err != nil {
					t.Fatal(err)
				}
				if err := mumbai.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				announced(t, all, "mumbai")
			}
		})
	}
}

// opens says whether a session can be opened through the gateway.
func opens(b *testbed.Bed) error {
	opened, err := b.Post("/mcp", http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}},
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
	if err == nil && opened.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %.200s", opened.Status, opened.Body)
	}
	return err
}

// announced waits until each agent's calls are answered by a server, and what that
// says on the agent's own event stream is heard.
func announced(t *testing.T, all []*agent, server string) {
	t.Helper()
	each(all, func(a *agent) {
		before := a.Do(words.Command{Do: "heard"}).Changes
		eventually(t, a, "hears from "+server, func() (words.Answer, bool) {
			got := a.Call("announce", nil)
			return got, got.Text == server && a.Do(words.Command{Do: "heard"}).Changes > before
		})
	})
}

func eventually(t *testing.T, a *agent, what string, good func() (words.Answer, bool)) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var got words.Answer
	met := map[string]bool{}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		var ok bool
		if got, ok = good(); ok {
			return
		}
		met[got.Error+got.Text] = true
	}
	t.Errorf("it is not so that %s %s: %+v; before: %q", a, what, got, slices.Collect(maps.Keys(met)))
}
