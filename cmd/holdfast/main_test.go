package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

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
	{"help-apply", "", []string{"apply", "--help"}},
	{"help-diff", "", []string{"diff", "--help"}},
	{"help-get", "", []string{"get", "--help"}},
	{"help-history", "", []string{"history", "--help"}},
	{"help-rollback", "", []string{"rollback", "--help"}},
	{"help-watch", "", []string{"watch", "--help"}},
	{"usage-unknown-command", "", []string{"frobnicate"}},
	{"usage-unknown-flag", "", []string{"up", "--frobnicate"}},
	{"usage-up-argument", "", []string{"up", "now"}},
	{"usage-up-redis", "", []string{"up", "--redis", "localhost"}},
	{"usage-up-processors", "", []string{"up", "--processors", "17"}},
	{"usage-demo-rate", "", []string{"demo", "--rate", "0"}},
	{"usage-validate-nothing", "", []string{"validate"}},
	{"usage-validate-mixed", "", []string{"validate", "testdata/valid", "testdata/invalid/a.yaml"}},
	{"usage-status-output", "", []string{"status", "-o", "xml"}},
	{"usage-apply-nothing", "", []string{"apply"}},
	{"usage-apply-both", "", []string{"apply", "--dry-run", "--wait", "testdata/valid"}},
	{"usage-apply-canary", "", []string{"apply", "--canary-nodes", "100%", "testdata/valid"}},
	{"usage-apply-remove", "", []string{"apply", "--remove", "server"}},
	{"usage-apply-stdin", "", []string{"apply", "-", "-"}},
	{"usage-apply-server", "", []string{"apply", "--server", "ftp://x", "testdata/valid"}},
	{"usage-apply-timeout", "", []string{"apply", "--timeout", "0s", "testdata/valid"}},
	{"usage-diff-both", "", []string{"diff", "--from", "3", "testdata/valid"}},
	{"usage-get-kind", "", []string{"get", "tool"}},
	{"usage-get-twice", "", []string{"get", "server/orders", "orders"}},
	{"usage-get-nameless", "", []string{"get", "server/"}},
	{"usage-get-envoy-admin", "", []string{"get", "--envoy-admin", "127.0.0.1:1"}},
	{"usage-history-limit", "", []string{"history", "--limit", "0"}},
	{"usage-rollback-number", "", []string{"rollback", "latest"}},
	{"usage-rollback-nothing", "", []string{"rollback"}},
	{"usage-status-server", "", []string{"status", "a", "b"}},
	{"apply-missing", "", []string{"apply", "testdata/nothing"}},
	{"apply-invalid", "", []string{"apply", "testdata/torn.yaml", "testdata/valid"}},
	{"apply-empty", "  \n", []string{"apply", "-"}},
	{"apply-twice", "", []string{"apply", "testdata/valid", "testdata/valid/servers.yaml"}},
	{"apply-token-empty", "", []string{"apply", "--token-file", "testdata/blank", "testdata/valid"}},
	{"apply-token-clear", "", []string{"apply", "--token-file", "testdata/token", "--server", "http://192.0.2.1:18001", "testdata/valid"}},
	{"apply-cert-alone", "", []string{"apply", "--cert", "testdata/token", "testdata/valid"}},
	{"apply-ca-bad", "", []string{"apply", "--ca", "testdata/token", "testdata/valid"}},
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
			`if all down +HTTP 200: Service unavailable`, `regions +asia-south1 \(primary-mumbai\), then asia-south2 \(standby-delhi\)`,
		}},
		{"standard input", `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"create_order"}}` + "\n", []string{"-"}, 0, []string{
			`rule +unmatched tool`, `only when provably unsent`, `if all down +HTTP 200: .*The call was not carried out`,
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
		{"no file", "", []string{"testdata/nothing"}, 1, []string{`no such file`, `JSON-RPC that begins with`, `or - for standard input`}},
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
