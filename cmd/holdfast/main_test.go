package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outcome is what one command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// text is the outcome as golden files have it.
func (o outcome) text() string {
	return "exit " + strconv.Itoa(o.code) + "\n--- stdout\n" + o.stdout + "--- stderr\n" + o.stderr
}

func testEnvironment(stdin string, stdout, stderr io.Writer, variables map[string]string) *environment {
	return &environment{
		Getenv:     func(name string) string { return variables[name] },
		Executable: os.Args[0], Invoked: "holdfast",
		Stdin: strings.NewReader(stdin), Stdout: stdout, Stderr: stderr,
	}
}

func execute(ctx context.Context, stdin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	env := testEnvironment(stdin, &stdout, &stderr, map[string]string{"HOME": "/home/you"})
	code := run(ctx, args, env)
	return outcome{code, stdout.String(), stderr.String()}
}

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: write it with -update", err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (rewrite it with -update):\n%s", path, got)
	}
}

// commandLines are golden: arguments, and standard input where there is any.
var commandLines = []struct {
	name  string
	stdin string
	args  []string
}{
	{"help", "", nil},
	{"help-up", "", []string{"up", "--help"}},
	{"help-demo", "", []string{"demo", "--help"}},
	{"help-status", "", []string{"status", "--help"}},
	{"help-validate", "", []string{"validate", "--help"}},
	{"help-explain", "", []string{"explain", "--help"}},
	{"help-parts", "", []string{"parts", "envoy", "--help"}},
	{"usage-unknown-command", "", []string{"frobnicate"}},
	{"usage-unknown-flag", "", []string{"up", "--frobnicate"}},
	{"usage-up-argument", "", []string{"up", "now"}},
	{"usage-up-processors", "", []string{"up", "--processors", "17"}},
	{"usage-demo-rate", "", []string{"demo", "--rate", "0"}},
	{"usage-validate-nothing", "", []string{"validate"}},
	{"usage-validate-mixed", "", []string{"validate", "testdata/valid", "testdata/invalid/a.yaml"}},
	{"usage-status-output", "", []string{"status", "-o", "xml"}},
	{"usage-parts", "", []string{"parts"}},
	{"usage-demo-server", "", []string{"demo-server", "billing"}},
	{"demo-not-up", "", []string{"demo", "--state", "testdata/nothing"}},
	{"validate-valid", "", []string{"validate", "testdata/valid"}},
	{"validate-files", "", []string{"validate", "testdata/valid/servers.yaml", "testdata/valid/routes.yaml"}},
	{"validate-invalid", "", []string{"validate", "testdata/invalid"}},
	{"validate-missing", "", []string{"validate", "testdata/nothing"}},
	{"usage-explain-nothing", "", []string{"explain"}},
	{"usage-explain-header", "", []string{"explain", "-H", "x", `{}`}},
}

func TestCommandLines(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range commandLines {
		seen[line.name+".golden"] = true
		t.Run(line.name, func(t *testing.T) {
			golden(t, line.name, execute(t.Context(), line.stdin, line.args...).text())
		})
	}
	for _, more := range []string{"status-good", "status-bad"} {
		seen[more+".golden"] = true
	}
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !seen[filepath.Base(file)] {
			t.Errorf("%s belongs to no test", file)
		}
	}
}

func TestExplain(t *testing.T) {
	const getOrder = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`
	tests := []struct {
		name  string
		stdin string
		args  []string
		code  int
		want  []string
	}{
		{"a tool", "", []string{getOrder}, 0, []string{
			`request +POST /mcp`, `revision +2025-11-25`, `rule +tools\[1\]`, `not tools\[0\]`, `server +orders `, `2 tries`, `timeout +2s`,
			`if all down +HTTP 200 .*"isError":true`, `regions +asia-south1 \(primary-mumbai\), then asia-south2 \(standby-delhi\)`,
		}},
		{"standard input", `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"create_order"}}` + "\n", []string{"-"}, 0, []string{
			`rule +unmatched tool`, `only when provably unsent`, `if all down +.*not_executed`,
		}},
		{"a file of the modern era", "", []string{"testdata/modern.json"}, 0, []string{`revision +2026-07-28`, `rule +tools\[1\]`}},
		{"a header that differs", "", []string{"-H", "Mcp-Name: other", "testdata/modern.json"}, 0, []string{`refused +HTTP 400 .*-32020`}},
		{"the nearest region", "", []string{"--path", "/near", "--region", "asia-south2", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`}, 0, []string{
			`server +near `, `regions +asia-south2 \(near-delhi\), then asia-south1 \(near-mumbai\)`,
		}},
		{
			"initialize", "",
			[]string{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`},
			0,
			[]string{`revision +2025-06-18`, `rule +other method`},
		},
		{"a stream", "", []string{"--verb", "get"}, 0, []string{`request +GET /mcp`, `rule +stream`, `timeout +none`}},
		{"another path", "", []string{"--path", "/other", `{"jsonrpc":"2.0","id":1,"method":"ping"}`}, 0, []string{`refused +HTTP 404`}},
		{"two ids", "", []string{`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`}, 0, []string{`refused +HTTP 400 .*-32600`}},
		{"a batch", "", []string{`[]`}, 0, []string{`refused +HTTP 400 .*-32600`}},
		{"no message", "", []string{"-"}, 1, []string{`there is no message`}},
		{"no file", "", []string{"testdata/nothing"}, 1, []string{`no such file`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t.Context(), test.stdin, append([]string{"explain", "--config", "testdata/valid"}, test.args...)...)
			if got.code != test.code {
				t.Errorf("exit %d, want %d", got.code, test.code)
			}
			for _, want := range test.want {
				if !regexp.MustCompile(want).MatchString(got.stdout + got.stderr) {
					t.Errorf("it does not say %s:\n%s", want, got.text())
				}
			}
		})
	}
	bad := execute(t.Context(), "", "explain", "--config", "testdata/invalid", `{}`)
	if bad.code != 1 || !strings.Contains(bad.stderr, "a.yaml:6:29") {
		t.Errorf("a configuration that is not valid: %s", bad.text())
	}
}

func TestHeaderValue(t *testing.T) {
	for value, want := range map[string]string{
		"echo": "echo", "a b": "a b", " a": "=?base64?IGE=?=", "héllo": "=?base64?aMOpbGxv?=", "=?base64?x": "=?base64?PT9iYXNlNjQ/eA==?=", "": "",
	} {
		if got := headerValue(value); got != want {
			t.Errorf("%q becomes %q, want %q", value, got, want)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for word, want := range map[string]string{"http://127.0.0.1:1/mcp": "http://127.0.0.1:1/mcp", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'"} {
		if got := shellQuote(word); got != want {
			t.Errorf("%q becomes %s, want %s", word, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	got := execute(t.Context(), "", "version")
	if want := regexp.MustCompile(`^holdfast \S+\ngo       go1\.\S+ \w+/\w+\nenvoy    1\.40\.0\n$`); got.code != 0 || !want.MatchString(got.stdout) {
		t.Errorf("%+v", got)
	}
}

func TestSchema(t *testing.T) {
	got := execute(t.Context(), "", "validate", "--schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &schema); err != nil || got.code != 0 || schema["$schema"] == nil {
		t.Errorf("exit %d, %v: %.200s", got.code, err, got.stdout)
	}
}

// TestPartsEnvoy finds, or fetches, the Envoy that the other tests use.
func TestPartsEnvoy(t *testing.T) {
	var stdout, stderr bytes.Buffer
	variables := map[string]string{}
	for _, name := range []string{"HOLDFAST_ENVOY", "HOME", "XDG_CACHE_HOME"} {
		variables[name] = os.Getenv(name)
	}
	code := run(t.Context(), []string{"parts", "envoy"}, testEnvironment("", &stdout, &stderr, variables))
	if want := stacktest.Envoy(t) + "\n"; code != 0 || stdout.String() != want {
		t.Errorf("exit %d, %q, want %q; %s", code, stdout.String(), want, stderr.String())
	}
}

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	good := status.Status{
		Ready: true, Revision: &status.Revision{Version: "1f3a9c0d5e7b8899aabb", Phase: "done", Since: now.Add(-3 * time.Minute)},
		Nodes: []status.Node{{
			ID: "envoy-mumbai-1", Kind: "envoy", Region: "asia-south1", Sync: status.Synced, ConnectedSince: now.Add(-50 * time.Hour),
			Types: map[string]status.Type{"routes": {Acked: "99ab01cdef"}, "clusters": {Acked: "0102030405"}, "listeners": {}},
		}},
		Servers: []status.Server{{Name: "orders", Regions: []status.Region{
			{Name: "asia-south1", Endpoints: []status.Endpoint{{Name: "primary-mumbai", Address: "127.0.0.1:7101"}}},
		}}},
	}
	silent := now.Add(-7 * time.Second)
	bad := good
	bad.Refused = &status.Refused{Error: "a.yaml:1:2: spec: first\na.yaml:3:4: spec: second\n", At: now.Add(-time.Hour), Standing: true}
	bad.Rejected = &status.Rejected{Version: "ffffffffffffffff", Node: "envoy-\x1b[31m", Type: "routes", Detail: "no such cluster\n", At: now}
	bad.Problems = []string{"the state folder is full"}
	bad.Nodes = append([]status.Node{
		{ID: "envoy-2", Kind: "envoy", Sync: status.Silent, SilentSince: &silent, Late: true, ConnectedSince: now},
		{ID: "envoy-3", Kind: "envoy", Sync: status.Rejecting, ConnectedSince: now, Nack: &status.Nack{Type: "routes", Detail: "no such cluster\nor so", At: now, Standing: true}},
	}, good.Nodes...)
	for name, s := range map[string]*status.Status{"status-good": &good, "status-bad": &bad} {
		var out bytes.Buffer
		writeStatus(&out, s, now)
		golden(t, name, out.String())
	}
	var out bytes.Buffer
	writeStatus(&out, &status.Status{Reason: "waiting for the first valid configuration"}, now)
	if want := "configuration  none yet: waiting for the first valid configuration\n\nNo Envoy and no processor is connected.\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestStatusAsks(t *testing.T) {
	answer, code := `{"ready":true,"nodes":[],"servers":[]}`, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/status" {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	admin := strings.TrimPrefix(server.URL, "http://")
	if got := execute(t.Context(), "", "status", "--admin", admin, "-o", "json"); got.code != 0 || got.stdout != answer+"\n" {
		t.Errorf("%+v", got)
	}
	if got := execute(t.Context(), "", "status", "--admin", admin); got.code != 0 || got.stdout == "" {
		t.Errorf("%+v", got)
	}
	for what, bad := range map[string]string{
		"not ready": `{"ready":false}`, "silence": `{"ready":true,"nodes":[{"sync":"silent"}]}`,
		"a rejection": `{"ready":true,"rejected":{}}`, "a refusal": `{"ready":true,"refused":{"standing":true}}`, "not JSON": `{`,
	} {
		answer = bad
		if got := execute(t.Context(), "", "status", "--admin", admin); got.code != 1 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	server.Close()
	if got := execute(t.Context(), "", "status", "--admin", admin); got.code != 1 || !strings.Contains(got.stderr, "is 'holdfast up' running?") {
		t.Errorf("%+v", got)
	}
}
