package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const tableConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: primary-mumbai, address: "MUMBAI"}]}
    - {name: asia-south2, endpoints: [{name: standby-delhi, address: "DELHI"}]}
  breaker: {disabled: true}
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 17s
  retry: {attempts: 2, perTryTimeout: 8s}
  tools:
    - {match: {name: remembered}, safe: true, degrade: {cachedResult: {maxAge: 1h}, staticAnswer: {text: "Later."}}}
    - {match: {name: written}, safe: true, degrade: {cachedResult: {maxAge: 1h}, staticAnswer: {text: "Later."}}}
    - {match: {name: written_once}, degrade: {staticAnswer: {text: "It was not done."}}}
    - {match: {name: bare}, safe: true}
`

// cell is one of the table in docs/DEGRADE.md: what the caller of a method gets under a condition, as
// x-holdfast-degraded says; "own" is the server's own answer.
type cell struct{ condition, method, answer string }

// degradeTable is held against docs/DEGRADE.md by internal/docscheck.
var degradeTable = []cell{
	{"all endpoints are down", "tools/call remembered", "cache"},
	{"all endpoints are down", "tools/call written", "static"},
	{"all endpoints are down", "tools/call written_once", "static"},
	{"all endpoints are down", "tools/call bare", "error"},
	{"all endpoints are down", "tools/list", "stale"},
	{"all endpoints are down", "prompts/list", "stale"},
	{"all endpoints are down", "resources/list", "stale"},
	{"all endpoints are down", "server/discover", "stale"},
	{"all endpoints are down", "prompts/get", "error"},
	{"all endpoints are down", "resources/read", "error"},
	{"all endpoints are down", "initialize", "error"},
	{"all endpoints are down", "notifications/roots/list_changed", "error"},

	{"no answer comes in time", "tools/call remembered", "cache"},
	{"no answer comes in time", "tools/call written", "static"},
	{"no answer comes in time", "tools/call written_once", "error"},
	{"no answer comes in time", "tools/call bare", "error"},
	{"no answer comes in time", "tools/list", "stale"},
	{"no answer comes in time", "prompts/list", "stale"},
	{"no answer comes in time", "resources/list", "stale"},
	{"no answer comes in time", "server/discover", "stale"},
	{"no answer comes in time", "prompts/get", "error"},
	{"no answer comes in time", "resources/read", "error"},
	{"no answer comes in time", "initialize", "error"},
	{"no answer comes in time", "notifications/roots/list_changed", "error"},

	{"the connection breaks", "tools/call remembered", "cache"},
	{"the connection breaks", "tools/call written", "static"},
	{"the connection breaks", "tools/call written_once", "error"},
	{"the connection breaks", "tools/call bare", "error"},
	{"the connection breaks", "tools/list", "stale"},
	{"the connection breaks", "prompts/list", "stale"},
	{"the connection breaks", "resources/list", "stale"},
	{"the connection breaks", "server/discover", "stale"},
	{"the connection breaks", "prompts/get", "error"},
	{"the connection breaks", "resources/read", "error"},
	{"the connection breaks", "initialize", "error"},
	{"the connection breaks", "notifications/roots/list_changed", "error"},

	{"every region answers with an error", "tools/call remembered", "cache"},
	{"every region answers with an error", "tools/call written", "static"},
	{"every region answers with an error", "tools/call written_once", "own"},
	{"every region answers with an error", "tools/call bare", "own"},
	{"every region answers with an error", "tools/list", "stale"},
	{"every region answers with an error", "prompts/list", "stale"},
	{"every region answers with an error", "resources/list", "stale"},
	{"every region answers with an error", "server/discover", "stale"},
	{"every region answers with an error", "prompts/get", "own"},
	{"every region answers with an error", "resources/read", "own"},
	{"every region answers with an error", "initialize", "own"},
	{"every region answers with an error", "notifications/roots/list_changed", "own"},
}

// message is a request of a cell's method, with the id exactID unless it is a notification.
func (c cell) message() (http.Header, string) {
	verb, tool, _ := strings.Cut(c.method, " ")
	name, member := tool, `"name":"`+tool+`","arguments":{},`
	switch verb {
	case "prompts/get":
		name, member = "greeting", `"name":"greeting",`
	case "resources/read":
		name, member = "x://y", `"uri":"x://y",`
	case "tools/call":
	case "initialize":
		return http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}},
			`{"jsonrpc":"2.0","id":` + exactID + `,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	case "notifications/roots/list_changed":
		return http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"}},
			`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`
	default:
		member = ""
	}
	body := strings.Replace(testbed.CallTool(exactID, "x", "{}"), `"name":"x","arguments":{},`, member, 1)
	return testbed.ModernHeaders(verb, name), strings.Replace(body, `"tools/call"`, `"`+verb+`"`, 1)
}

// well answers every message well.
func well(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	member := map[string]string{
		"tools/list": `"tools":[{"name":"bare"}]`, "prompts/list": `"prompts":[{"name":"greeting"}]`, "resources/list": `"resources":[{"uri":"x://y"}]`,
		"server/discover": `"supportedVersions":["2026-07-28"],"capabilities":{}`, "resources/read": `"contents":[]`, "prompts/get": `"messages":[]`,
		"initialize": `"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"t","version":"1"}`,
	}[m.Method]
	if member == "" {
		member = `"content":[{"type":"text","text":"well"}]`
	}
	jsonAnswer(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{%s,"resultType":"complete","ttlMs":60000,"cacheScope":"public"}}`, m.ID, member))(w, r)
}

// TestDegradeTable: each cell of the table of degraded answers, on a real Envoy.
func TestDegradeTable(t *testing.T) {
	t.Parallel()
	redis, _ := stacktest.StartRedis(t)
	p := &standIns{providers: &providers{pair: &pair{mumbai: newUpstream(t, well), delhi: newUpstream(t, well)}}}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address()).Replace(tableConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config, ExtprocArgs: []string{"--redis", redis}})
	p.set(well, well)
	for _, c := range degradeTable[:12] {
		if c.method == "tools/call written" {
			continue // nothing is remembered of it
		}
		header, body := c.message()
		for range 8 { // both processors see each list
			got, err := p.Post("/mcp", header, body)
			if err != nil || got.Status != http.StatusOK && got.Status != http.StatusAccepted || got.Header.Get("x-holdfast-degraded") != "" {
				t.Fatalf("%s while all is well: %v, %d %s", c.method, err, got.Status, got.Body)
			}
		}
	}
	p.Eventually(testbed.Patience, "the result is in Redis", func() error {
		if p.sum(t, written) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	reset := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for _, c := range []struct {
		condition string
		answer    http.HandlerFunc
	}{
		{"every region answers with an error", jsonAnswer(broken)},
		{"the connection breaks", reset},
		{"no answer comes in time", hang},
		{"all endpoints are down", nil},
	} {
		t.Run(c.condition, func(t *testing.T) {
			if c.answer == nil {
				p.mumbai.Close()
				p.delhi.Close()
			} else {
				p.set(c.answer, c.answer)
			}
			// All are asked at the same time, whatever number of tests may run side by side: where no answer comes each waits
			// for as long as it may.
			type reply struct {
				cell
				testbed.Answer
				err error
			}
			replies := make([]reply, 0, len(degradeTable))
			for _, one := range degradeTable {
				if one.condition == c.condition {
					replies = append(replies, reply{cell: one})
				}
			}
			var asked sync.WaitGroup
			for i := range replies {
				asked.Go(func() {
					header, body := replies[i].message()
					replies[i].Answer, replies[i].err = p.Post("/mcp", header, body)
				})
			}
			asked.Wait()
			for _, r := range replies {
				t.Run(r.method, func(t *testing.T) {
					if r.err != nil {
						t.Fatal(r.err)
					}
					r.hold(t, r.Answer)
				})
			}
		})
	}
}

// hold holds an answer against the cell, and against what every degraded answer has to be.
func (c cell) hold(t *testing.T, got testbed.Answer) {
	source := got.Header.Get("x-holdfast-degraded")
	if c.answer == "own" {
		if source != "" || !strings.Contains(string(got.Body), "database gone") {
			t.Errorf("%s: %d %v %s", c.method, got.Status, got.Header, got.Body)
		}
		return
	}
	if source != c.answer {
		t.Fatalf("%q, want %q: %d %s", source, c.answer, got.Status, got.Body)
	}
	if strings.HasPrefix(c.method, "notifications/") {
		// There is no id that a client could find its answer by.
		if got.Status < http.StatusInternalServerError || !strings.Contains(string(got.Body), `"id":null`) {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		return
	}
	if got.Status != http.StatusOK || !strings.Contains(string(got.Body), `"id":`+exactID) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if strings.HasPrefix(c.method, "tools/call") || c.answer != "error" {
		if !strings.Contains(string(got.Body), `"holdfast/degraded":{"reason":`) || !strings.Contains(string(got.Body), `"source":"`+c.answer+`"`) {
			t.Errorf("no mark: %s", got.Body)
		}
	}
}
