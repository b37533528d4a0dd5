package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/drill"
)

// TestDrillRefuses: nothing is broken before everything is said, and somebody has said yes.
func TestDrillRefuses(t *testing.T) {
	state := t.TempDir()
	touched := filepath.Join(state, "touched")
	staging := []string{"drill", "crash", "--url", "http://127.0.0.1:1/mcp", "--call", "get", "--break", "touch " + touched, "--mend", "true"}
	for name, c := range map[string]struct {
		args  []string
		stdin string
		code  int
		says  string
	}{
		"another word":        {[]string{"drill", "crush"}, "", 2, `there is no drill "crush"; there are region-loss, crash`},
		"nothing runs":        {[]string{"drill", "crash"}, "", 1, `it is not up: .*; run 'holdfast up' in another terminal first, or say what to call with --url`},
		"nothing to call":     {[]string{"drill", "crash", "--url", "http://127.0.0.1:1/mcp"}, "", 2, `--call is missing`},
		"no URL":              {[]string{"drill", "crash", "--url", "staging", "--call", "get"}, "", 2, `--url "staging" is not the URL`},
		"no way to break":     {staging[:6], "", 1, `the drill crash cannot be played here: nothing says how to break it`},
		"no way back":         {staging[:8], "", 1, `broken by a command has to be mended by one`},
		"too many":            {append(staging, "--rate", "9999"), "", 2, `--rate 9999 is not between 1 and 5000`},
		"journals alone":      {append(staging, "--journal", "x"), "", 2, `--call-id-key is missing`},
		"no":                  {staging, "n\n", 1, `crash: the server that calls go to crashes\n.*Go on\? \[y/N\] .*nothing was broken`},
		"not a word":          {staging, "", 1, `nothing was broken`},
		"yes, and it is sick": {append(staging, "--yes", "--before", "1s", "--patience", "1s"), "", 1, `the system is not well before the drill, so nothing was broken: no call was answered well within 1s`},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems bytes.Buffer
			env := testEnvironment(c.stdin, &out, &problems, map[string]string{"HOME": state})
			if code := run(t.Context(), c.args, env); code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			if said := out.String() + problems.String(); !regexp.MustCompile(`(?s)` + c.says).MatchString(said) {
				t.Errorf("it says %q, not %s", said, c.says)
			}
		})
	}
	if _, err := os.Stat(touched); !os.IsNotExist(err) {
		t.Error("something was broken")
	}
}

func TestDrillReports(t *testing.T) {
	dir := t.TempDir()
	list := func() string {
		var out, problems bytes.Buffer
		if code := run(t.Context(), []string{"drill", "reports", "--reports", dir}, testEnvironment("", &out, &problems, nil)); code != 0 {
			t.Errorf("exit %d: %s", code, &problems)
		}
		return out.String()
	}
	if got := list(); !strings.HasPrefix(got, "No report is in ") {
		t.Errorf("it says %q", got)
	}
	if _, err := drill.Keep(dir, &drill.Report{Drill: drill.Hang, Endpoint: "http://x/mcp", Broken: []string{"it was aborted"}}); err != nil {
		t.Fatal(err)
	}
	if got := list(); !regexp.MustCompile(`TIME .*\n.* hang +http://x/mcp +not as promised: it was aborted\n`).MatchString(got) {
		t.Errorf("it says %q", got)
	}
}

// TestScheduledDrills: the command lines in deploy/drills are understood.
func TestScheduledDrills(t *testing.T) {
	for file, begin := range map[string]string{"holdfast-drill.service": "ExecStart=/usr/local/bin/holdfast ", "cronjob.yaml": "args: "} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "drills", file))
		if err != nil {
			t.Fatal(err)
		}
		_, after, ok := strings.Cut(string(text), begin)
		line, _, _ := strings.Cut(after, "\n")
		if !ok {
			t.Fatalf("%s has no %q", file, begin)
		}
		line = strings.NewReplacer("[", "", "]", "", ", ", " ").Replace(line)
		split, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+line).Output() //nolint:gosec // our own file
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Split(strings.TrimSpace(string(split)), "\n")
		root := newRoot(testEnvironment("", &bytes.Buffer{}, &bytes.Buffer{}, map[string]string{"HOME": "/home/you"}))
		command, rest, err := root.Find(args)
		if err != nil || command.Name() != "drill" {
			t.Fatalf("%s: %v is no drill: %v", file, args, err)
		}
		if err := command.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if err := command.Args(command, command.Flags().Args()); err != nil || len(command.Flags().Args()) == 0 {
			t.Errorf("%s: %v: %v", file, command.Flags().Args(), err)
		}
		if yes, err := command.Flags().GetBool("yes"); err != nil || !yes {
			t.Errorf("%s asks somebody", file)
		}
	}
}
