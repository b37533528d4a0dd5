// Package docscheck keeps the documentation's references true: tests that it
// names exist, and so do the files that it links to.
package docscheck

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

func files(t *testing.T, match func(string) bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !match(path) {
			return nil
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPagesNameTestsThatExist(t *testing.T) {
	var all strings.Builder
	for _, text := range files(t, func(p string) bool { return strings.HasSuffix(p, "_test.go") }) {
		all.WriteString(text)
	}
	for _, page := range []string{"INVARIANTS.md", "ENVOY.md", "PROTOCOL.md", "DEGRADE.md"} {
		doc, err := os.ReadFile(filepath.Join(root, "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)").FindAllStringSubmatch(string(doc), -1)
		if len(named) == 0 {
			t.Fatalf("docs/%s names no test", page)
		}
		for _, m := range named {
			if !strings.Contains(all.String(), "func "+m[1]+"(") {
				t.Errorf("docs/%s names %s, which does not exist", page, m[1])
			}
		}
	}
}

// TestTricksAreRows: docs/PROTOCOL.md names every row of the test of parsers, and no other.
func TestTricksAreRows(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "test", "e2e", "tricks_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "PROTOCOL.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## Messages that parsers read in two ways\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, table, found := strings.Cut(section, "| --- | --- |\n")
	if !found {
		t.Fatal("docs/PROTOCOL.md has no table of tricks")
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1) {
		named[m[1]] = true
	}
	rows := regexp.MustCompile(`\{name: "([^"]+)", body: `).FindAllStringSubmatch(string(source), -1)
	for _, m := range rows {
		if !named[m[1]] && m[1] != "not JSON at all" && m[1] != "empty body" {
			t.Errorf("docs/PROTOCOL.md does not name the row %q", m[1])
		}
		delete(named, m[1])
	}
	for name := range named {
		t.Errorf("docs/PROTOCOL.md names the row %q, which is not there", name)
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	for path, text := range files(t, func(p string) bool { return strings.HasSuffix(p, ".md") }) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}

// TestInvariantsCountUp: each has a number of its own.
func TestInvariantsCountUp(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "INVARIANTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range regexp.MustCompile(`(?m)^(\d+)\. `).FindAllStringSubmatch(string(doc), -1) {
		if want := strconv.Itoa(i + 1); m[1] != want {
			t.Fatalf("docs/INVARIANTS.md numbers an invariant %s, want %s", m[1], want)
		}
	}
}
