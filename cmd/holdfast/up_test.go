package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// output is a buffer that tells when a word has been written to it.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	word  string
	found chan struct{}
}

func (o *output) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(data)
	if o.word != "" && strings.Contains(o.text.String(), o.word) {
		o.word = ""
		close(o.found)
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// changeTheConfiguration does what somebody does who works with revisions: look at the
// difference, apply, wait, look at what Envoy runs, go back.
func changeTheConfiguration(t *testing.T, inside func(out, err *output) *environment, state string) {
	route := writeFile(t, "route.yaml", "kind: MCPRoute\nmetadata: {name: second}\nspec: {path: /second/mcp, servers: [{name: orders}]}\n")
	for _, step := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"diff", route}, 1, []string{`\+metadata: {name: second}`}},
		{[]string{"apply", route, "--wait", "--reason", "a second door"}, 0, []string{
			`Revision 2 .*: a second door\n  \+ MCPRoute/second\n`, `✓ All 3 nodes run revision 2`,
		}},
		{[]string{"diff", route}, 0, nil},
		{[]string{"get", "envoy"}, 0, []string{`✓ envoy-mumbai-1 runs what it is meant to run`, `same +listeners`}},
		{[]string{"status", "orders"}, 0, []string{`orders +asia-south1 +primary-mumbai +\S+ +healthy`, `second +/second/mcp`}},
		{[]string{"apply", route, "--base", "1"}, 1, []string{`is not the newest`, `\+metadata: {name: second}`}},
		{[]string{"rollback", "1", "--wait"}, 0, []string{`back to the content of revision 1\n  - MCPRoute/second`, `✓ All 3 nodes run revision 3`}},
		{[]string{"history"}, 0, []string{`(?m)^3 .* back to 1$`, `(?m)^2 .* a second door$`, `(?m)^1 .* directory `}},
	} {
		said, failed := &output{}, &output{}
		code := run(t.Context(), append(step.args, "--state", state), inside(said, failed))
		if code != step.code {
			t.Errorf("%v: exit %d, want %d", step.args, code, step.code)
		}
		for _, want := range step.says {
			if !regexp.MustCompile(want).MatchString(said.String() + failed.String()) {
				t.Errorf("%v does not say %s:\n%s%s", step.args, want, said, failed)
			}
		}
	}
}

// TestUpAndDemo does what a newcomer does: up, a status, the demo, Ctrl-C.
func TestUpAndDemo(t *testing.T) {
	root := stacktest.Root(t)
	variables := map[string]string{"HOLDFAST_ENVOY": stacktest.Envoy(t), jaegerBinVariable: stacktest.Jaeger(t)}
	programs := stacktest.Programs(t)
	inside := func(out, err *output) *environment {
		env := testEnvironment("", out, err, variables)
		env.Executable = programs.Holdfast
		return env
	}
	state := filepath.Join(t.TempDir(), "state")
	ctx, ctrlC := context.WithCancel(t.Context())
	defer ctrlC()
	out, problems := &output{word: "Ctrl-C stops everything", found: make(chan struct{})}, &output{}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{
			"up", "--state", state, "--config", filepath.Join(root, "examples", "shopmax"),
			"--bootstrap", filepath.Join(root, "envoy", "bootstrap.yaml"),
		}, inside(out, problems))
	}()
	select {
	case <-out.found:
	case code := <-ended:
		t.Fatalf("up ended with %d: %s%s", code, out, problems)
	case <-time.After(2 * time.Minute):
		t.Fatalf("it is not up after two minutes: %s%s", out, problems)
	}
	info, err := stack.ReadRunInfo(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"✓ control plane", "claude mcp add --transport http shopmax " + info.Endpoints["orders"], `"mcpServers"`,
		"curl -s " + info.Endpoints["orders"], "holdfast demo --state " + state,
		"Traces\n  " + info.Tracing.Query, "holdfast trace --last --state " + state,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the welcome does not say %q:\n%s", want, out)
		}
	}
	t.Run("status", func(t *testing.T) {
		said, failed := &output{}, &output{}
		if code := run(t.Context(), []string{"status", "--state", state}, inside(said, failed)); code != 0 {
			t.Errorf("exit %d: %s%s", code, said, failed)
		}
		if !regexp.MustCompile(`envoy-mumbai-1 +envoy +asia-south1 +synced`).MatchString(said.String()) {
			t.Errorf("it says\n%s", said)
		}
	})
	t.Run("revisions", func(t *testing.T) { changeTheConfiguration(t, inside, state) })
	t.Run("demo", func(t *testing.T) {
		said, failed := &output{}, &output{}
		if code := run(t.Context(), []string{"demo", "--state", state, "--act", "1s"}, inside(said, failed)); code != 0 {
			t.Errorf("exit %d: %s%s", code, said, failed)
		}
		for _, want := range []string{
			`→ SHIPPED, 78000  \[via primary-mumbai\] +\d+ ms`, `-- primary-mumbai killed --`,
			`→ CONFIRMED, 34500  \[via standby-delhi\] +\d+ ms`, `-- standby-delhi killed --`,
			`→ Service unavailable - all orders endpoints are down\. Please retry later\.`, `failed +0\n`, `As promised`,
		} {
			if !regexp.MustCompile(want).MatchString(said.String()) {
				t.Errorf("the play has no %s:\n%s", want, said)
			}
		}
	})
	t.Run("demo of a tool", func(t *testing.T) {
		said, failed := &output{}, &output{}
		if code := run(t.Context(), []string{"demo", "--tool", "--state", state, "--act", "1s"}, inside(said, failed)); code != 0 {
			t.Errorf("exit %d: %s%s", code, said, failed)
		}
		for _, want := range []string{
			`-- get_order broken in primary-mumbai: `, `→ [A-Z]+, \d+  \[via standby-delhi\] +\d+ ms   \(2 attempts\)`, `-- breaker open: `,
			`list_orders\(\{\}\) +→ \d+ orders  \[via primary-mumbai\]`, `-- get_order mended in primary-mumbai; `, `failed +0\n`, `As promised: one broken tool moved alone`,
		} {
			if !regexp.MustCompile(want).MatchString(said.String()) {
				t.Errorf("the play has no %s:\n%s", want, said)
			}
		}
		t.Logf("\n%s", said)
	})
	t.Run("trace", func(t *testing.T) {
		for _, step := range []struct {
			args []string
			says []string
		}{
			{[]string{"--failed", "--tool", "get_order"}, []string{`(?m)^Trace [0-9a-f]{32}\b`, `holdfast-envoy`, `✗ try 1, tool_failed, tool_error`, `try 2, good`, `shopmax-orders`}},
			{[]string{"--last"}, []string{`(?m)^ingress +holdfast-envoy +\S+, asia-south`, `try 1, good`}},
		} {
			said, failed := &output{}, &output{}
			if code := run(t.Context(), append([]string{"trace", "--state", state}, step.args...), inside(said, failed)); code != 0 {
				t.Errorf("%v: exit %d: %s%s", step.args, code, said, failed)
			}
			for _, want := range step.says {
				if !regexp.MustCompile(want).MatchString(said.String()) {
					t.Errorf("%v does not say %s:\n%s", step.args, want, said)
				}
			}
		}
	})
	t.Run("demos that end early", func(t *testing.T) { demoEnds(t, programs.Holdfast, state, info) })
	t.Run("a second up", func(t *testing.T) {
		said, failed := &output{}, &output{}
		if code := run(t.Context(), []string{"up", "--state", state, "--config", filepath.Join(root, "examples", "shopmax")}, inside(said, failed)); code != 1 {
			t.Errorf("exit %d: %s%s", code, said, failed)
		}
		if !strings.Contains(failed.String(), "it is up already") {
			t.Errorf("it says %q", failed)
		}
	})
	ctrlC()
	if code := <-ended; code != 0 {
		t.Errorf("up ended with %d: %s%s", code, out, problems)
	}
	if !strings.HasSuffix(out.String(), "nothing is left running.\n") {
		t.Errorf("it ends\n%s", out)
	}
	for _, gone := range []string{info.RunDir, filepath.Join(state, "run.json")} {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("%s is left behind", gone)
		}
	}
	for _, child := range info.Children {
		if _, err := os.Stat("/proc/" + strconv.Itoa(child.PID)); err == nil {
			t.Errorf("%s, process %d, is left running", child.Name, child.PID)
		}
	}
}
