package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

const someDiff = `--- MCPServer/orders
+++ MCPServer/orders
@@ -1,3 +1,3 @@
 kind: MCPServer
-metadata: {name: orders}
+metadata: {name: orders} # now
 spec: {}
`

func madeRevision12() *adminv1.ApplyResponse {
	return &adminv1.ApplyResponse{Revision: revision12(), Diff: someDiff}
}

func refused(code connect.Code, text string) error { return connect.NewError(code, errors.New(text)) }

// apiLine is golden: what the control plane answers, and the command line.
type apiLine struct {
	name  string
	plane func() *plane
	stdin string
	args  []string
}

func allAPILines() []apiLine {
	return slices.Concat(apiLines, breakerLines, drainLines, promoteLines, cacheLines, measuredLines)
}

var apiLines = []apiLine{
	{"apply", func() *plane { return &plane{apply: madeRevision12()} }, "", []string{"apply", "testdata/valid"}},
	{"apply-dry-run", func() *plane { return &plane{apply: madeRevision12()} }, "", []string{"apply", "testdata/valid", "--dry-run"}},
	{
		"apply-dry-run-unchanged",
		func() *plane { return &plane{apply: &adminv1.ApplyResponse{Revision: revision12(), Unchanged: true}} },
		"",
		[]string{"apply", "testdata/valid", "--dry-run"},
	},
	{
		"apply-unchanged",
		func() *plane { return &plane{apply: &adminv1.ApplyResponse{Revision: revision12(), Unchanged: true}} },
		"",
		[]string{"apply", "testdata/valid"},
	},
	{
		"apply-wrong",
		func() *plane {
			return &plane{refuse: refused(connect.CodeInvalidArgument, "api:MCPServer/orders:3:9: spec.path: no\ndocuments:2:1: kind: odd\ngateway.yaml:1:2: spec: kept")}
		},
		"",
		[]string{"apply", "testdata/valid"},
	},
	{
		"apply-stale",
		func() *plane {
			return &plane{refuse: refused(connect.CodeFailedPrecondition, "the base revision is not the newest one: it is 9, the newest is 12, and this has changed since:\n"+someDiff)}
		},
		"",
		[]string{"apply", "testdata/valid", "--base", "9"},
	},
	{
		"apply-foreign",
		func() *plane {
			return &plane{refuse: refused(connect.CodeFailedPrecondition, "MCPServer/orders belongs to the directory; change it in orders.yaml")}
		},
		"",
		[]string{"apply", "testdata/valid"},
	},
	{
		"apply-full",
		func() *plane { return &plane{refuse: refused(connect.CodeResourceExhausted, "the disk is full")} },
		"",
		[]string{"apply", "testdata/valid"},
	},
	{
		"apply-unauthenticated",
		func() *plane { return &plane{refuse: refused(connect.CodeUnauthenticated, "no credentials")} },
		"",
		[]string{"apply", "testdata/valid"},
	},
	{
		"apply-reader",
		func() *plane { return &plane{refuse: refused(connect.CodePermissionDenied, "meera may only read")} },
		"",
		[]string{"apply", "testdata/valid"},
	},
	{
		"apply-broken",
		func() *plane { return &plane{refuse: refused(connect.CodeInternal, "the store is closed")} },
		"",
		[]string{"apply", "testdata/valid"},
	},
	{
		"wait-done",
		func() *plane {
			return &plane{apply: madeRevision12(), statuses: []*adminv1.StatusResponse{underWay("add"), underWay("switch"), underWay("policies"), goodStatus()}}
		},
		"",
		[]string{"apply", "testdata/valid", "--wait"},
	},
	{
		"wait-nobody",
		func() *plane { return &plane{apply: madeRevision12(), statuses: []*adminv1.StatusResponse{nobody()}} },
		"",
		[]string{"apply", "testdata/valid", "--wait"},
	},
	{
		"wait-refused",
		func() *plane {
			return &plane{apply: madeRevision12(), statuses: []*adminv1.StatusResponse{underWay("add"), withNack("add", newVersion12)}}
		},
		"",
		[]string{"apply", "testdata/valid", "--wait"},
	},
	{
		"wait-taken-back",
		func() *plane {
			return &plane{apply: madeRevision12(), statuses: []*adminv1.StatusResponse{underWay("add"), takenBack()}}
		},
		"",
		[]string{"apply", "testdata/valid", "--wait", "--atomic"},
	},
	{
		"wait-overtaken",
		func() *plane {
			return &plane{apply: madeRevision12(), statuses: []*adminv1.StatusResponse{underWay("add"), overtaken()}}
		},
		"",
		[]string{"apply", "testdata/valid", "--wait"},
	},
	{
		"wait-late",
		func() *plane {
			return &plane{apply: madeRevision12(), statuses: []*adminv1.StatusResponse{badStatusOf12()}}
		},
		"",
		[]string{"apply", "testdata/valid", "--wait", "--timeout", "200ms"},
	},
	{"rollback", func() *plane { return &plane{apply: rolledBack()} }, "", []string{"rollback", "8"}},
	{
		"rollback-unknown",
		func() *plane {
			return &plane{refuse: refused(connect.CodeNotFound, "there is no revision 8 in the history")}
		},
		"",
		[]string{"rollback", "8"},
	},
	{"diff-revisions", func() *plane { return &plane{diff: someDiff} }, "", []string{"diff", "--from", "11", "--to", "12"}},
	{"diff-none", func() *plane { return &plane{} }, "", []string{"diff"}},
	{"diff-files", func() *plane { return &plane{apply: madeRevision12()} }, "", []string{"diff", "testdata/valid"}},
	{
		"diff-files-wrong",
		func() *plane {
			return &plane{refuse: refused(connect.CodeInvalidArgument, "api:MCPServer/orders:3:9: spec.path: no")}
		},
		"",
		[]string{"diff", "testdata/valid"},
	},
	{
		"diff-files-foreign",
		func() *plane {
			return &plane{
				refuse:    refused(connect.CodeFailedPrecondition, "MCPServer/orders belongs to the directory; change it in orders.yaml"),
				resources: shopResources(),
			}
		},
		"kind: MCPServer\nmetadata: {name: orders}\nspec: {path: /mcp}\n",
		[]string{"diff", "-"},
	},
	{"get", func() *plane { return &plane{resources: shopResources()} }, "", []string{"get"}},
	{"get-kind", func() *plane { return &plane{resources: shopResources()} }, "", []string{"get", "SERVERS"}},
	{"get-none", func() *plane { return &plane{} }, "", []string{"get", "routes"}},
	{"get-one", func() *plane { return &plane{resources: shopResources()} }, "", []string{"get", "mcpserver/orders"}},
	{"get-yaml", func() *plane { return &plane{resources: shopResources()} }, "", []string{"get", "-o", "yaml"}},
	{"get-one-yaml", func() *plane { return &plane{resources: shopResources()} }, "", []string{"get", "rt", "shop", "-o", "yaml"}},
	{"get-one-json", func() *plane { return &plane{resources: shopResources()} }, "", []string{"get", "route", "shop", "-o", "json"}},
	{"get-unknown", func() *plane { return &plane{} }, "", []string{"get", "server", "billing"}},
	{"history", func() *plane { return &plane{revisions: history12()} }, "", []string{"history"}},
	{"history-page", func() *plane { return &plane{revisions: history12()} }, "", []string{"history", "--before", "12", "--limit", "1"}},
	{"history-yaml", func() *plane { return &plane{revisions: history12()} }, "", []string{"history", "-o", "yaml", "--limit", "1"}},
	{"history-none", func() *plane { return &plane{} }, "", []string{"history"}},
	{"status-good", func() *plane { return &plane{statuses: []*adminv1.StatusResponse{goodStatus()}} }, "", []string{"status"}},
	{"status-bad", func() *plane { return &plane{revisions: history12(), statuses: []*adminv1.StatusResponse{badStatus()}} }, "", []string{"status"}},
	{"status-crowd", func() *plane { return &plane{statuses: []*adminv1.StatusResponse{crowd()}} }, "", []string{"status"}},
	{"status-json", func() *plane { return &plane{statuses: []*adminv1.StatusResponse{goodStatus()}} }, "", []string{"status", "-o", "json"}},
	{"status-yaml", func() *plane { return &plane{statuses: []*adminv1.StatusResponse{badStatus()}} }, "", []string{"status", "-o", "yaml"}},
	{"status-none", func() *plane {
		return &plane{statuses: []*adminv1.StatusResponse{{Reason: "waiting for the first valid configuration"}}}
	}, "", []string{"status"}},
	{"status-server-unknown", func() *plane { return &plane{statuses: []*adminv1.StatusResponse{goodStatus()}} }, "", []string{"status", "billing"}},
	{"status-envoy-away", func() *plane { return &plane{statuses: []*adminv1.StatusResponse{goodStatus()}} }, "", []string{"status", "--envoy-admin", "127.0.0.1:1"}},
}

func TestAPICommandLines(t *testing.T) {
	for _, line := range allAPILines() {
		t.Run(line.name, func(t *testing.T) {
			p := line.plane()
			startPlane(t, p)
			apiGolden(t, line.name, ask(t, p, line.stdin, line.args...))
		})
	}
}

func TestEveryGoldenBelongsToATest(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range allAPILines() {
		seen[line.name] = true
	}
	for _, more := range []string{"status-envoy", "status-server", "get-envoy", "get-envoy-yaml", "get-envoy-other", "get-envoy-unknown", "watch", "reference"} {
		seen[more] = true
	}
	files, err := filepath.Glob("testdata/api/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".golden"); !seen[name] {
			t.Errorf("%s belongs to no test", file)
		}
	}
}

// TestApplySends looks at what reaches the control plane.
func TestApplySends(t *testing.T) {
	p := &plane{apply: madeRevision12()}
	startPlane(t, p)
	one := writeFile(t, "one.yaml", "# first\n---\nkind: MCPServer\nmetadata: {name: a}")
	ask(t, p, "kind: MCPRoute\nmetadata: {name: b}\n", "apply", one, "-", "--remove", "Servers/x", "--remove", "gw/y", "--base", "7",
		"--reason", "why not", "--canary-nodes", "10%", "--atomic", "--dry-run")
	if len(p.applied) != 1 {
		t.Fatalf("%d calls", len(p.applied))
	}
	sameMessage(t, p.applied[0], &adminv1.ApplyRequest{
		Documents: "# first\n\nkind: MCPServer\nmetadata: {name: a}\n---\nkind: MCPRoute\nmetadata: {name: b}\n",
		Remove:    []*adminv1.ResourceRef{{Kind: "MCPServer", Name: "x"}, {Kind: "Gateway", Name: "y"}}, BaseRevision: 7,
		Reason: "why not", Author: "akhil", DryRun: true, Atomic: true, CanaryNodesPercent: 10,
	})
	ask(t, p, "", "apply", "--remove", "route/b", "--author", "meera")
	sameMessage(t, p.applied[1], &adminv1.ApplyRequest{Remove: []*adminv1.ResourceRef{{Kind: "MCPRoute", Name: "b"}}, Author: "meera"})
	ask(t, p, "", "rollback", "8", "--reason", "back", "--dry-run")
	sameMessage(t, p.rolled[0], &adminv1.RollbackRequest{Revision: 8, Reason: "back", Author: "akhil", DryRun: true})
	ask(t, p, "", "diff", "--from", "3", "--to", "5")
	sameMessage(t, p.diffed[0], &adminv1.DiffRequest{From: 3, To: 5})
}

// TestStructuredOutput is what programs read.
func TestStructuredOutput(t *testing.T) {
	p := &plane{statuses: []*adminv1.StatusResponse{goodStatus()}, revisions: history12(), resources: shopResources()}
	startPlane(t, p)
	for _, command := range [][]string{{"status"}, {"history"}, {"get"}, {"get", "server", "orders"}} {
		var fromJSON, fromYAML any
		asJSON := ask(t, p, "", append(command, "-o", "json")...)
		if err := json.Unmarshal([]byte(asJSON.stdout), &fromJSON); err != nil || asJSON.code != 0 {
			t.Errorf("%v: exit %d, %v\n%s", command, asJSON.code, err, asJSON.stdout)
		}
		asYAML := ask(t, p, "", append(command, "-o", "yaml")...)
		decoder := yaml.NewDecoder(strings.NewReader(asYAML.stdout))
		if err := decoder.Decode(&fromYAML); err != nil || asYAML.code != 0 {
			t.Errorf("%v: exit %d, %v\n%s", command, asYAML.code, err, asYAML.stdout)
		}
	}
}

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	const text = `{"a":"7","b":7,"c":"true","d":[],"e":{"f":"x\ny\n","g":"","h":"~","i":null},"j":"- k: #"}`
	out, err := jsonToYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := errors.Join(yaml.Unmarshal([]byte(text), &want), yaml.Unmarshal(out, &got)); err != nil {
		t.Fatal(err)
	}
	wantText, _ := json.Marshal(want, json.Deterministic(true))
	gotText, _ := json.Marshal(got, json.Deterministic(true))
	if string(wantText) != string(gotText) {
		t.Errorf("%s becomes\n%s", text, out)
	}
}

func TestEnvoys(t *testing.T) {
	envoy := fakeEnvoy(t)
	p := &plane{
		statuses: []*adminv1.StatusResponse{goodStatus()},
		node: &adminv1.GetNodeResponse{Node: goodStatus().Nodes[0], Resources: []*adminv1.NodeResource{
			{Type: "clusters", Name: "orders", Version: "c1"},
			{Type: "clusters", Name: "inventory", Version: "c2"},
			{Type: "endpoints", Name: "orders@1", Version: "e1"},
			{Type: "listeners", Name: "holdfast", Version: "l1"},
		}},
	}
	startPlane(t, p)
	apiGolden(t, "status-envoy", ask(t, p, "", "status", "--envoy-admin", envoy))
	p.statuses = []*adminv1.StatusResponse{goodStatus()}
	apiGolden(t, "status-server", ask(t, p, "", "status", "orders", "--envoy-admin", envoy, "-o", "yaml"))
	apiGolden(t, "get-envoy", ask(t, p, "", "get", "envoy", "--envoy-admin", envoy))
	apiGolden(t, "get-envoy-yaml", ask(t, p, "", "get", "envoy", "envoy-mumbai-1", "--envoy-admin", envoy, "-o", "yaml"))
	p.node.Resources = p.node.Resources[:1]
	apiGolden(t, "get-envoy-unknown", ask(t, p, "", "get", "envoy", "envoy-9", "--envoy-admin", envoy))
	p.node.Node.Id = "envoy-9"
	got := ask(t, p, "", "get", "envoy", "envoy-9", "--envoy-admin", envoy)
	got.stderr = strings.ReplaceAll(got.stderr, envoy, "ENVOY")
	apiGolden(t, "get-envoy-other", got)
	if got := ask(t, p, "", "get", "envoy", "envoy-9"); got.code != exitUsage || !strings.Contains(got.stderr, "--envoy-admin") {
		t.Errorf("without an address: %s", got.text())
	}
}

// TestConnectionRefused: whoever is told so is told what to do.
func TestConnectionRefused(t *testing.T) {
	for _, command := range [][]string{{"apply", "testdata/valid"}, {"get"}, {"history"}, {"rollback", "3"}, {"watch"}, {"status"}, {"get", "envoy"}} {
		got := execute(t.Context(), "", append(command, "--server", "127.0.0.1:1")...)
		if got.code != exitFailed || !strings.Contains(got.stderr, "nobody answers at 127.0.0.1:1") || !strings.Contains(got.stderr, "is the control plane running? 'holdfast up' starts one") {
			t.Errorf("%v: %s", command, got.text())
		}
	}
	if got := execute(t.Context(), "", "diff", "--server", "127.0.0.1:1"); got.code != exitTrouble {
		t.Errorf("diff: %s", got.text())
	}
}

// TestWaitInterrupted: Ctrl-C ends the wait, and does not say that it worked.
func TestWaitInterrupted(t *testing.T) {
	p := &plane{apply: madeRevision12(), statuses: []*adminv1.StatusResponse{underWay("add")}}
	startPlane(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &output{word: "rollout: add", found: make(chan struct{})}
	problems := &output{}
	env := testEnvironment("", out, problems, map[string]string{"HOME": "/home/you"})
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"apply", "testdata/valid", "--wait", "--server", p.url}, env) }()
	<-out.found
	cancel()
	if code := <-ended; code != exitFailed || !strings.Contains(problems.String(), "revision 12 is applied, but waiting for it ended: interrupted") {
		t.Errorf("exit %d: %s%s", code, out, problems)
	}
}
