package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../../.."

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say: run go run ./internal/gen/configref\n%s", name, cmp.Diff(string(got), string(want)))
		}
	}
}

// The page names every field, with its default or that it is required.
func TestReferenceIsComplete(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	page := string(files[referencePath])
	for _, row := range []string{
		"| `spec.address` | text | 127.0.0.1:10000 |",
		"| `spec.regions[].endpoints[].address` | text | required |",
		"| `spec.failover.mode` | activePassive, activeActive, nearest | activePassive |",
		"| `spec.tools[].match.arguments[].in[]` | list of scalar |",
		"| `spec.tools[].retry.attempts` | whole number | 3, or",
		"| `spec.degrade.staleLists.maxAge` | duration | 24h |",
		"| `spec.errors` | mcp, http | mcp |",
	} {
		if !strings.Contains(page, row) {
			t.Errorf("there is no row %s", row)
		}
	}
}

func TestParseTypesRefuses(t *testing.T) {
	for name, source := range map[string]string{
		"no doc comment": "package p\ntype T struct {\n\tA string `yaml:\"a\"`\n}\n",
		"a map":          "package p\ntype T struct {\n\t// A is.\n\tA map[string]string `yaml:\"a\"`\n}\n",
		"no Go":          "pakcage p",
	} {
		if _, err := parseTypes([]byte(source)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
