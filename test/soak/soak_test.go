// Package soak runs many clients of four SDKs through Holdfast for a long time, while
// servers die and come back.
package soak

import (
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/test/testbed"
	"github.com/holdfast-mcp/holdfast/test/thirdparty"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

// The short form is what CI runs; `make soak` is the long one.
var (
	clients  = flag.Int("clients", 48, "connections in all")
	duration = flag.Duration("for", 80*time.Second, "how long servers die and come back")
)

// restartEvery is the time between two deaths, downFor how long a server is away.
const (
	restartEvery = 20 * time.Second
	downFor      = 2 * time.Second
)

// config has a server that keeps nothing, and one with sessions that may go on elsewhere.
const config = `
kind: Gateway
metadata: {name: soak}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: primary-mumbai, address: "${primary-mumbai}"}]
    - name: asia-south2
      endpoints: [{name: standby-delhi, address: "${standby-delhi}"}]
  healthCheck: {interval: 1s, timeout: 1s}
---
kind: MCPServer
metadata: {name: sessions}
spec:
  path: /
  sessions: reinitialize
  regions:
    - name: asia-south1
      endpoints: [{name: sessions-mumbai, address: "MUMBAI"}]
    - name: asia-south2
      endpoints: [{name: sessions-delhi, address: "DELHI"}]
  healthCheck: {interval: 1s, timeout: 1s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 31s
  retry: {attempts: 3, perTryTimeout: 10s}
  tools: [{match: {name: "get_*"}, safe: true}]
---
kind: MCPRoute
metadata: {name: sessions}
spec:
  path: /sessions
  servers: [{name: sessions}]
  timeout: 31s
  retry: {attempts: 3, perTryTimeout: 10s}
  tools: [{match: {name: "test_*"}, safe: true}]
`

// crew is many connections of one client, in one era, to one server.
type crew struct {
	kind, era, path, tool string
	client                *thirdparty.Client
	tally                 words.Tally
}

func (c *crew) String() string { return fmt.Sprintf("%s %s %s", c.kind, c.era, c.path) }

// crews are all clients in all eras that they speak, to both servers.
func crews() []*crew {
	var all []*crew
	for _, kind := range []string{thirdparty.Go, thirdparty.TypeScriptSDK, thirdparty.TypeScriptClient, thirdparty.Python} {
		for _, era := range []string{words.Modern, words.Legacy, "2025-06-18", "2025-03-26"} {
			if !thirdparty.Speaks(kind, era) {
				continue
			}
			all = append(all, &crew{kind: kind, era: era, path: "/mcp", tool: "get_order"})
			if era != words.Modern {
				all = append(all, &crew{kind: kind, era: era, path: "/sessions", tool: "test_simple_text"})
			}
		}
	}
	return all
}

// TestSoak: clients of four SDKs in all eras call while one server after the other dies
// and comes back. No connection ends, hardly a call fails, and nothing in Envoy, the
// processors or the control plane grows.
func TestSoak(t *testing.T) {
	mumbai, delhi := thirdparty.GoEverything(t, false), thirdparty.GoEverything(t, false)
	bed := testbed.Start(t, testbed.Options{Config: strings.NewReplacer("MUMBAI", mumbai.Address, "DELHI", delhi.Address).Replace(config)})
	before := measure(t, bed)
	all := crews()
	open(t, bed, all)
	series := soak(t, bed, mumbai)
	dismiss(all)
	judge(t, all)
	series.steady(t)
	for _, c := range all {
		c.client.End()
	}
	bed.Eventually(time.Minute, "everything is as idle as before", func() error {
		return measure(t, bed).asIdleAs(before)
	})
}

// reopening: one connection of so many opens anew now and then.
const reopening = 5

// open starts the crews.
func open(t *testing.T, bed *testbed.Bed, all []*crew) {
	t.Helper()
	for i, c := range all {
		size := *clients / len(all)
		if i < *clients%len(all) {
			size++
		}
		c.client = thirdparty.Open(t, c.kind)
		c.client.Do(words.Command{
			Do: "crew", URL: "http://" + bed.Gateway + c.path, Era: c.era, Tool: c.tool, Arguments: map[string]any{"order_id": "ORD-7701"},
			Size: size, PauseMs: 2000, Reopen: (size + reopening - 1) / reopening,
		})
	}
}

// soak has servers die, by turns the one of orders and the one with sessions, and
// measures meanwhile.
func soak(t *testing.T, bed *testbed.Bed, sessions thirdparty.Process) series {
	t.Helper()
	var s series
	measuring := time.NewTicker(max(time.Second, *duration/120))
	defer measuring.Stop()
	dying := time.NewTicker(restartEvery)
	defer dying.Stop()
	over := time.NewTimer(*duration)
	defer over.Stop()
	servers := []*supervise.Child{bed.Child("primary-mumbai"), sessions.Child}
	var dead *supervise.Child
	var back <-chan time.Time
	for deaths := 0; ; {
		select {
		case <-measuring.C:
			s = append(s, measure(t, bed))
		case <-dying.C:
			dead = servers[deaths%len(servers)]
			if _, err := dead.Kill(); err != nil {
				t.Fatal(err)
			}
			deaths++
			back = time.After(downFor)
		case <-back:
			if err := dead.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		case <-over.C:
			t.Logf("%d deaths, %d measurements", deaths, len(s))
			return s
		}
	}
}

// dismiss ends the crews at the same time.
func dismiss(all []*crew) {
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			if tally := c.client.Do(words.Command{Do: "dismiss"}).Tally; tally != nil {
				c.tally = *tally
			}
		})
	}
	wg.Wait()
}

// enough is the share of calls that must be good: calls of a session are tried once, so
// those that are under way when its endpoint dies fail.
const enough = 0.98

func judge(t *testing.T, all []*crew) {
	t.Helper()
	connections := 0
	for _, c := range all {
		t.Logf("%s: %+v", c, c.tally)
		connections += c.tally.Opened
		if c.tally.Dead > 0 {
			t.Errorf("%s: %d of %d connections are dead: %v", c, c.tally.Dead, c.tally.Opened, c.tally.Errors)
		}
		if c.tally.Calls == 0 || float64(c.tally.Good) < enough*float64(c.tally.Calls) {
			t.Errorf("%s: %d of %d calls were good: %v", c, c.tally.Good, c.tally.Calls, c.tally.Errors)
		}
	}
	if connections < *clients {
		t.Errorf("%d connections, want %d at least", connections, *clients)
	}
}
