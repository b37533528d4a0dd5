package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const lateConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 1s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions: [{name: asia-south1, endpoints: [{name: primary-mumbai, address: "SERVER"}]}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 5s
`

// ownSession is the id that the server of TestLateProcessors gives its sessions; servers of
// some SDKs repeat it with every answer.
const ownSession = "the-servers-own"

// TestLateProcessors: a processor that decided on calls hangs when their answers come. Envoy goes
// on without it, and what a server calls its session stays here all the same: clients have
// another id, and some end their connection when they are told of two.
func TestLateProcessors(t *testing.T) {
	t.Parallel()
	var (
		asked   atomic.Int32
		release = make(chan struct{})
		server  = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Mcp-Session-Id", ownSession)
			w.Header().Set("X-Holdfast-Session-Token", ownSession)
			w.Header().Set("Content-Type", "application/json")
			if strings.Contains(string(body), `"where"`) {
				asked.Add(1)
				<-release
			}
			var m struct {
				ID json.RawMessage `json:"id"`
			}
			if err := json.Unmarshal(body, &m); err != nil {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{},"content":[]}}`, m.ID)
		}))
	)
	t.Cleanup(server.Close)
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer("SERVER", strings.TrimPrefix(server.URL, "http://")).Replace(lateConfig)})
	opened, err := bed.Post("/mcp", legacyHeaders(""), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	id := opened.Header.Get("Mcp-Session-Id")
	if id == "" || id == ownSession {
		t.Fatalf("the session's id is %q: %d %s", id, opened.Status, opened.Body)
	}
	const calls = 24
	answers := make([]testbed.Answer, calls)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			if answers[i], err = bed.Post("/mcp", legacyHeaders(id), whereBody); err != nil {
				t.Error(err)
			}
		})
	}
	bed.Until(testbed.Patience, "all calls are at the server", func() bool { return asked.Load() == calls })
	if err := bed.Child(testbed.Extproc1).Pause(); err != nil {
		t.Fatal(err)
	}
	close(release)
	all.Wait()
	same := 0
	for _, answer := range answers {
		switch given := answer.Header.Get("Mcp-Session-Id"); given {
		case id:
			same++
		case "":
		default:
			t.Errorf("%d under the session %q: %s", answer.Status, given, answer.Body)
		}
		for name := range answer.Header {
			if strings.HasPrefix(name, "X-Holdfast-Endpoint") {
				t.Errorf("the answer has %s", name)
			}
		}
	}
	if same == 0 {
		t.Error("no answer has passed a processor that works")
	}
}
