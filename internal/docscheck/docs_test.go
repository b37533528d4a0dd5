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
	for _, page := range []string{"INVARIANTS.md", "ENVOY.md"} {
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
