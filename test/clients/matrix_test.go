package clients

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
	"github.com/holdfast-mcp/holdfast/test/thirdparty"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

const config = `
kind: Gateway
metadata: {name: matrix}
spec: {address: "${gateway}", maxBodyBytes: 64KiB, processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  path: /mcp
  regions:
    - name: asia-south1
      endpoints: [{name: primary-mumbai, address: "MUMBAI"}]
    - name: asia-south2
      endpoints: [{name: standby-delhi, address: "DELHI"}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPServer
metadata: {name: sessions}
spec:
  path: /mcp
  regions: [{name: asia-south1, endpoints: [{name: sessions, address: "SESSIONS"}]}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  path: /mcp
  servers: [{name: orders}]
  timeout: 17s
  retry: {attempts: 2, perTryTimeout: 8s}
  # The Python SDK's client gives this up after ten seconds, and takes the server for an old one.
  methods: [{match: {name: server/discover}, timeout: 7s, retry: {attempts: 2, perTryTimeout: 3s}}]
  tools:
    - {match: {name: "get_*"}, safe: true}
---
kind: MCPRoute
metadata: {name: sessions}
spec: {path: /sessions, servers: [{name: sessions}]}
`

// world is a gateway before two regions of a server and one with sessions.
type world struct {
	*testbed.Bed
	mumbai, delhi, sessions *upstream
}

func startWorld(t *testing.T) *world {
	t.Helper()
	w := &world{mumbai: newUpstream(t, false), delhi: newUpstream(t, false), sessions: newUpstream(t, true)}
	w.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer(
		"MUMBAI", w.mumbai.address(), "DELHI", w.delhi.address(), "SESSIONS", w.sessions.address(),
	).Replace(config)})
	return w
}

// both puts an answer in the place of both regions' answers to tools/call.
func (w *world) both(answer http.HandlerFunc) {
	w.mumbai.set(&fault{"tools/call", answer})
	w.delhi.set(&fault{"tools/call", answer})
}

// heal takes the faults away and waits until the gateway uses a server again, whichever processor decides.
func (w *world) heal(t *testing.T) {
	t.Helper()
	const inARow = 8
	w.mumbai.set(nil)
	w.delhi.set(nil)
	w.Eventually(limit, "the servers are used again", func() error {
		for range inARow {
			answer, err := w.Post("/mcp", testbed.ModernHeaders("tools/call", "get_order"), testbed.CallTool("1", "get_order", "{}"))
			if err != nil {
				return err
			}
			if !strings.Contains(string(answer.Body), `"good"`) {
				return fmt.Errorf("status %d: %s", answer.Status, answer.Body)
			}
		}
		return nil
	})
}

// agent is one client with one era.
type agent struct {
	kind, era string
	*thirdparty.Client
}

func (a *agent) String() string { return a.kind + " " + a.era }

// agents are all clients in all eras that they speak.
func agents(eras ...string) []*agent {
	var all []*agent
	for _, kind := range []string{thirdparty.Go, thirdparty.TypeScriptSDK, thirdparty.TypeScriptClient, thirdparty.Python} {
		for _, era := range eras {
			if thirdparty.Speaks(kind, era) {
				all = append(all, &agent{kind: kind, era: era})
			}
		}
	}
	return all
}

// each has all agents do something at the same time.
func each(all []*agent, do func(*agent)) {
	var wg sync.WaitGroup
	for _, a := range all {
		wg.Go(func() { do(a) })
	}
	wg.Wait()
}

// connect opens the agents' connections and checks that they speak their era.
func connect(t *testing.T, all []*agent, url string) {
	t.Helper()
	for _, a := range all {
		a.Client = thirdparty.Open(t, a.kind)
	}
	each(all, func(a *agent) {
		if got := a.Connect(url, a.era); !got.OK || !ofEra(got.Version, a.era) {
			t.Errorf("%s connects: %+v", a, got)
		}
	})
}

func ofEra(version, era string) bool {
	return version == "" || (version == testbed.Modern) == (era == words.Modern)
}

// row is one fault and what it does to clients.
type row struct {
	name string
	// breaks breaks something; heals mends what the world's own heal does not.
	breaks, heals func(*world)
	arguments     map[string]any
	progress      bool
	// own: the agent gets the server's own words, which say this; empty: it does not.
	own string
	// good: the agent notices nothing. Otherwise it is told of a failure.
	good bool
	// dies are the clients whose connection does not live on.
	dies []string
}

const progressEvent = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n"

func rows() []row {
	both := func(answer http.HandlerFunc) func(*world) { return func(w *world) { w.both(answer) } }
	return []row{
		{name: "one region dies", good: true, breaks: func(w *world) { w.mumbai.set(&fault{"", dies}) }},
		{name: "one region fails inside HTTP 200", good: true, breaks: func(w *world) {
			w.mumbai.set(&fault{"tools/call", says(200, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"x"}}`)})
		}},
		{name: "all regions die", breaks: both(dies)},
		{name: "all regions hang", breaks: both(hangs)},
		{name: "error pages", breaks: both(says(500, "text/html", "<h1>oops</h1>"))},
		{name: "overloaded", breaks: both(says(429, "text/plain", "too many"))},
		{name: "an error", own: "no such order", breaks: both(answers(200, "application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"no such order"}}`))},
		{name: "a tool's error", own: "no such order", breaks: both(answers(200, "application/json",
			`{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","isError":true,"content":[{"type":"text","text":"no such order"}]}}`))},
		{name: "an error in 400", own: "no such order", breaks: both(answers(400, "application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"no such order"}}`))},
		{name: "400", breaks: both(says(400, "text/plain", "what?"))},
		{name: "403", breaks: both(says(403, "text/html", "<h1>no</h1>"))},
		{name: "404", breaks: both(says(404, "text/plain", "404 page not found"))},
		{name: "404 without words", breaks: both(says(404, "", ""))},
		{name: "405", breaks: both(says(405, "text/plain", "not so"))},
		{name: "413 without an id", breaks: both(says(413, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"too large"}}`))},
		{name: "502", breaks: both(says(502, "text/plain", "bad gateway"))},
		{name: "503", breaks: both(says(503, "", ""))},
		{name: "504", breaks: both(says(504, "application/json", `{"error":"late"}`))},
		{name: "moved, on the same server", good: true, breaks: func(w *world) {
			for _, u := range []*upstream{w.mumbai, w.delhi} {
				u.set(&fault{"tools/call", movesTo(u)})
			}
		}},
		{name: "the id as a text", breaks: both(answers(200, "application/json", `{"jsonrpc":"2.0","id":"ID","result":{"content":[]}}`))},
		{name: "a page in HTTP 200", breaks: both(says(200, "text/html", "<h1>maintenance</h1>"))},
		{name: "accepted and forgotten", breaks: both(says(202, "", ""))},
		{name: "nothing at all", breaks: both(says(200, "application/json", ""))},
		{name: "the answer to another request", breaks: both(says(200, "application/json", `{"jsonrpc":"2.0","id":"other","result":{}}`))},
		{name: "a stream without an answer", breaks: both(speaks(": hello\n\n"))},
		{name: "a stream that breaks", breaks: both(speaksAndDies(progressEvent + "event: message\ndata: {\"json"))},
		{name: "a stream that ends after a notification", progress: true, breaks: both(speaks(progressEvent))},
		{
			name:   "no processor",
			breaks: func(w *world) { w.Kill(testbed.Extproc1); w.Kill(testbed.Extproc2) },
			heals:  func(w *world) { w.Restart(testbed.Extproc1); w.Restart(testbed.Extproc2) },
		},
		// What no gateway can put in words that every client lives through.
		{name: "the server asks for credentials", breaks: both(says(401, "text/plain", "who are you?")), dies: []string{thirdparty.Go}},
		{
			name: "refused before the id is known", arguments: map[string]any{"padding": strings.Repeat("x", 80<<10)}, breaks: func(*world) {},
			dies: []string{thirdparty.Go},
		},
	}
}

// patience is longer than any call of the matrix may take, and shorter than the time
// after which the clients give up by themselves.
const patience = 50 * time.Second

// TestMatrix: every client is told of every fault, none waits for ever, and every
// connection lives on but where no answer exists by which it would.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	all := agents(words.Legacy, words.Modern)
	connect(t, all, "http://"+w.Gateway+"/mcp")
	// The clients outlive the rows.
	outer := t
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			r.breaks(w)
			each(all, func(a *agent) {
				start := time.Now()
				got := a.Do(words.Command{Do: "call", Tool: "get_order", Arguments: r.arguments, Progress: r.progress})
				if good := got.OK && !got.IsError && got.Text == "good"; good != r.good {
					t.Errorf("%s: %+v", a, got)
				}
				if r.own != "" && !strings.Contains(got.Error+got.Text, r.own) {
					t.Errorf("%s was not told %q: %+v", a, r.own, got)
				}
				if took := time.Since(start); took > patience {
					t.Errorf("%s waited for %v: %+v", a, took, got)
				}
			})
			if r.heals != nil {
				r.heals(w)
			}
			w.heal(t)
			each(all, func(a *agent) {
				if dies := slices.Contains(r.dies, a.kind); !dies {
					recovers(t, a)
				}
			})
			each(all, func(a *agent) {
				if got := a.Call("get_order", nil); slices.Contains(r.dies, a.kind) && got.OK {
					t.Errorf("%s lives on: %+v", a, got)
				}
			})
			if len(r.dies) > 0 {
				connect(outer, slices.DeleteFunc(slices.Clone(all), func(a *agent) bool { return !slices.Contains(r.dies, a.kind) }), "http://"+w.Gateway+"/mcp")
			}
		})
	}
}

// recovers waits until the agent's calls are answered by a server again: breakers that a
// fault has opened let one call after the other try.
func recovers(t *testing.T, a *agent) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var got words.Answer
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		if got = a.Call("get_order", nil); got.OK && got.Text == "good" {
			return
		}
	}
	t.Errorf("%s does not live on: %+v", a, got)
}

// TestLostSessions: no SDK's client opens a new session by itself; each says so at
// once, and an application that connects again goes on.
func TestLostSessions(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	all := agents(words.Legacy)
	url := "http://" + w.Gateway + "/sessions"
	connect(t, all, url)
	each(all, func(a *agent) {
		if got := a.Call("get_order", nil); got.Text != "good" {
			t.Errorf("%s: %+v", a, got)
		}
	})
	w.sessions.forget(true)
	for range 2 {
		each(all, func(a *agent) {
			if got := a.Call("get_order", nil); got.OK {
				t.Errorf("%s with a lost session: %+v", a, got)
			}
		})
	}
	connect(t, all, url)
	each(all, func(a *agent) {
		if got := a.Call("get_order", nil); got.Text != "good" {
			t.Errorf("%s again: %+v", a, got)
		}
	})
}

// TestOpening: what a client finds when it opens its connection decides about its era
// for as long as that lives, so a failure must never look like an old server.
func TestOpening(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	url := "http://" + w.Gateway + "/mcp"
	fail := func(answer http.HandlerFunc) func() {
		return func() {
			w.mumbai.set(&fault{"", answer})
			w.delhi.set(&fault{"", answer})
		}
	}
	t.Run("nothing known", func(t *testing.T) {
		fail(dies)()
		all := agents(words.Legacy, words.Modern)
		for _, a := range all {
			a.Client = thirdparty.Open(t, a.kind)
		}
		each(all, func(a *agent) {
			if got := a.Connect(url, a.era); got.OK {
				t.Errorf("%s connects to nobody: %+v", a, got)
			}
		})
		w.heal(t)
	})
	connect(t, agents(words.Modern), url)
	for name, breaks := range map[string]func(){
		"one region dead": func() { w.mumbai.set(&fault{"", dies}) },
		"all dead":        fail(dies),
		"all hang":        fail(hangs),
		"error pages":     fail(says(503, "text/html", "oops")),
		"overloaded":      fail(says(429, "text/plain", "too many")),
		"internal errors": fail(says(200, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"x"}}`)),
	} {
		t.Run(name, func(t *testing.T) {
			breaks()
			connect(t, agents(words.Modern), url)
			w.heal(t)
		})
	}
}
