package docscheck

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDegradeTableIsTheTest: each cell of the table in docs/DEGRADE.md is one of TestDegradeTable, and the other
// way round.
func TestDegradeTableIsTheTest(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "test", "e2e", "degradetable_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tested := map[[2]string]string{}
	for _, m := range regexp.MustCompile(`\{"([^"]+)", "([^"]+)", "([^"]+)"\},`).FindAllStringSubmatch(string(source), -1) {
		tested[[2]string{m[1], m[2]}] = m[3]
	}
	if len(tested) < 48 {
		t.Fatalf("%d cells are tested", len(tested))
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "DEGRADE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "\n| method |")
	head, rows, found := strings.Cut(table, "\n| --- |")
	if !found {
		t.Fatal("docs/DEGRADE.md has no table of methods")
	}
	conditions := cellsOf(head)
	_, rows, _ = strings.Cut(rows, "\n")
	rows, _, _ = strings.Cut(rows, "\n\n")
	for row := range strings.Lines(rows) {
		cells := cellsOf(strings.TrimPrefix(strings.TrimSpace(row), "|"))
		if len(cells) != len(conditions)+1 {
			t.Fatalf("%q has %d cells", row, len(cells))
		}
		for i, condition := range conditions {
			key := [2]string{condition, strings.Trim(cells[0], "`")}
			if got := tested[key]; got != cells[i+1] {
				t.Errorf("%s, %s: the page says %q, the test %q", condition, key[1], cells[i+1], got)
			}
			delete(tested, key)
		}
	}
	for key := range tested {
		t.Errorf("the page has no cell for %v", key)
	}
}

func cellsOf(row string) []string {
	var out []string
	for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(row), "|"), "|") {
		out = append(out, strings.TrimSpace(cell))
	}
	return out
}
