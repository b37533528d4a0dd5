package thirdparty_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
	"github.com/holdfast-mcp/holdfast/test/thirdparty"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

// serversConfig has Go's server where the testbed looks whether the gateway works.
const serversConfig = `
kind: Gateway
metadata: {name: thirdparty}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: go}
spec: {path: /, regions: [{name: local, endpoints: [{name: go, address: "GO"}]}]}
---
kind: MCPServer
metadata: {name: typescript}
spec: {path: /mcp, regions: [{name: local, endpoints: [{name: typescript, address: "TYPESCRIPT"}]}]}
---
kind: MCPServer
metadata: {name: python}
spec: {path: /mcp, regions: [{name: local, endpoints: [{name: python, address: "PYTHON"}]}]}
---
kind: MCPRoute
metadata: {name: go}
spec: {path: /mcp, servers: [{name: go}]}
---
kind: MCPRoute
metadata: {name: typescript}
spec: {path: /typescript, servers: [{name: typescript}]}
---
kind: MCPRoute
metadata: {name: python}
spec: {path: /python, servers: [{name: python}]}
`

// script is what a client does with a server.
type script struct {
	tools           []string
	echo, said      string
	message         map[string]any
	work            string
	steps           map[string]any
	progress        int
	broken          string
	brokenArguments map[string]any
	versions        map[string]string
}

// TestServersOfOthers: every client gets through Holdfast what it gets from the
// servers of others without it: lists, answers, progress and both kinds of errors.
func TestServersOfOthers(t *testing.T) {
	goServer, typescript, python := thirdparty.GoEverything(t, true), thirdparty.TypeScriptEverything(t), thirdparty.PythonTools(t)
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer(
		"GO", goServer.Address, "TYPESCRIPT", typescript.Address, "PYTHON", python.Address,
	).Replace(serversConfig)})
	for name, s := range map[string]struct {
		direct string
		script script
	}{
		"typescript": {"http://" + typescript.Address + "/mcp", script{
			tools: []string{"echo", "get-sum"}, echo: "echo", message: map[string]any{"message": "hello"}, said: "Echo: hello",
			work: "trigger-long-running-operation", steps: map[string]any{"duration": 0.3, "steps": 3}, progress: 3,
			broken: "get-sum", brokenArguments: map[string]any{"a": "x"},
			// It speaks the revisions up to 2025-11-25.
			versions: map[string]string{words.Legacy: "2025-11-25", words.Modern: "2025-11-25"},
		}},
		"python": {"http://" + python.Address + "/mcp", script{
			tools: []string{"echo", "work", "broken"}, echo: "echo", message: map[string]any{"message": "hello"}, said: "Echo: hello",
			work: "work", steps: map[string]any{"steps": 3}, progress: 3, broken: "broken",
			versions: map[string]string{words.Legacy: "2025-11-25", words.Modern: "2026-07-28"},
		}},
	} {
		for _, kind := range []string{thirdparty.Go, thirdparty.TypeScriptSDK, thirdparty.TypeScriptClient, thirdparty.Python} {
			for _, era := range []string{words.Legacy, words.Modern} {
				if !thirdparty.Speaks(kind, era) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", name, kind, era), func(t *testing.T) {
					direct := s.script.play(t, kind, era, s.direct)
					through := s.script.play(t, kind, era, "http://"+bed.Gateway+"/"+name)
					if !slices.Equal(direct, through) {
						t.Errorf("without Holdfast %q, through it %q", direct, through)
					}
				})
			}
		}
	}
}

// play returns what the client was told, in words.
func (s script) play(t *testing.T, kind, era, url string) []string {
	t.Helper()
	c := thirdparty.Open(t, kind)
	connected := c.Connect(url, era)
	if !connected.OK || (connected.Version != "" && connected.Version != s.versions[era]) {
		t.Fatalf("connecting to %s: %+v, want version %s", url, connected, s.versions[era])
	}
	listed := c.Do(words.Command{Do: "list"})
	for _, tool := range s.tools {
		if !slices.Contains(listed.Tools, tool) {
			t.Errorf("%s lists no %q: %+v", url, tool, listed)
		}
	}
	echoed := c.Call(s.echo, s.message)
	if !echoed.OK || echoed.IsError || echoed.Text != s.said {
		t.Errorf("%s to %s: %+v", url, s.echo, echoed)
	}
	worked := c.Do(words.Command{Do: "call", Tool: s.work, Arguments: s.steps, Progress: true})
	// Clients stop to listen when the result is there, so the last one may be lost.
	if !worked.OK || worked.IsError || worked.Progress < s.progress-1 || worked.Progress > s.progress {
		t.Errorf("%s to %s: %+v, want %d notifications", url, s.work, worked, s.progress)
	}
	broken := c.Call(s.broken, s.brokenArguments)
	if broken.OK && !broken.IsError {
		t.Errorf("%s to %s: %+v", url, s.broken, broken)
	}
	unknown := c.Call("no-such-tool", nil)
	if unknown.OK && !unknown.IsError {
		t.Errorf("%s to an unknown tool: %+v", url, unknown)
	}
	again := c.Call(s.echo, s.message)
	if !again.OK || again.Text != s.said {
		t.Errorf("%s after errors: %+v", url, again)
	}
	if closed := c.Do(words.Command{Do: "close"}); !closed.OK {
		t.Errorf("closing: %+v", closed)
	}
	return []string{
		connected.Version, strings.Join(listed.Tools, " "), echoed.Text, worked.Text,
		told(broken), told(unknown), again.Text,
	}
}

func told(a words.Answer) string {
	return fmt.Sprintf("%v %v %d %s%s", a.OK, a.IsError, a.Code, a.Text, a.Error)
}
