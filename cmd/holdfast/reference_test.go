package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const referencePath = "../../docs/reference/cli.md"

const referenceIntro = "# Command line\n\n" +
	"<!-- Written by the tests of cmd/holdfast from the commands themselves; `make golden` writes it anew. -->\n\n"

// TestReferenceIsUpToDate: docs/reference/cli.md says what --help says.
func TestReferenceIsUpToDate(t *testing.T) {
	got := reference()
	if *update {
		if err := os.WriteFile(referencePath, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatalf("%v: write it with -update", err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the commands say: run the tests of cmd/holdfast with -update", referencePath)
	}
}

// TestEveryCommandDocumentsItsExitCodes, those for people at least.
func TestEveryCommandDocumentsItsExitCodes(t *testing.T) {
	for _, command := range shownCommands() {
		switch command.CommandPath() {
		case "holdfast version", "holdfast parts", "holdfast parts envoy", "holdfast up":
			continue // the root's codes are theirs
		}
		if !strings.Contains(command.Long, "Exit codes: 0 ") {
			t.Errorf("%s does not", command.CommandPath())
		}
	}
}

// shownCommands are those that people see, but for cobra's own.
func shownCommands() []*cobra.Command {
	env := testEnvironment("", &bytes.Buffer{}, &bytes.Buffer{}, map[string]string{"HOME": "/home/you"})
	root := newRoot(env)
	out := []*cobra.Command{root}
	for i := 0; i < len(out); i++ {
		for _, sub := range out[i].Commands() {
			if !sub.Hidden {
				out = append(out, sub)
			}
		}
	}
	return out
}

func reference() string {
	var out strings.Builder
	out.WriteString(referenceIntro)
	for _, command := range shownCommands() {
		var help bytes.Buffer
		command.SetOut(&help)
		_ = command.Help() // it is written to memory
		fmt.Fprintf(&out, "## %s\n%s.\n\n```text\n%s```\n\n", command.CommandPath(), command.Short, trimmedLines(help.String()))
	}
	out.WriteString("## holdfast completion\nPrints the completion script of bash, zsh, fish or PowerShell, such as\n`source <(holdfast completion bash)`. Kinds, names, node ids and numbers of revisions are completed by asking the control plane.\n")
	// The folder depends on who asks.
	return strings.ReplaceAll(out.String(), "/home/you/", "~/")
}

func trimmedLines(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}
