package config_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// cases gives the YAML files of a directory, and fails for goldens that belong to none.
func cases(t *testing.T, dir string) []string {
	t.Helper()
	inputs, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	known := map[string]bool{}
	for _, input := range inputs {
		known[goldenOf(input)] = true
	}
	goldens, err := filepath.Glob(filepath.Join(dir, "*.golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range goldens {
		if !known[golden] {
			t.Errorf("%s belongs to no case: remove it", golden)
		}
	}
	return inputs
}

func goldenOf(input string) string { return strings.TrimSuffix(input, ".yaml") + ".golden" }

func parseFile(t *testing.T, path string) (*config.Config, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return config.Parse([]config.File{{Name: filepath.Base(path), Data: data}})
}

func compare(t *testing.T, golden string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v: run the test with -update and look at what it writes", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-want +got):\n%s", golden, cmp.Diff(string(want), string(got)))
	}
}

// sameConfig compares two configurations without the positions of their resources.
func sameConfig(a, b *config.Config) string {
	return cmp.Diff(a, b, cmpopts.IgnoreTypes(config.Position{}))
}

func TestValid(t *testing.T) {
	for _, input := range cases(t, "testdata/valid") {
		t.Run(filepath.Base(input), func(t *testing.T) {
			c, err := parseFile(t, input)
			if err != nil {
				t.Fatal(err)
			}
			printed, err := c.YAML()
			if err != nil {
				t.Fatal(err)
			}
			compare(t, goldenOf(input), printed)
			again, err := config.Parse([]config.File{{Name: "printed.yaml", Data: printed}})
			if err != nil {
				t.Fatalf("what YAML prints does not parse: %v", err)
			}
			if diff := sameConfig(c, again); diff != "" {
				t.Errorf("what YAML prints means something else (-written +printed):\n%s", diff)
			}
		})
	}
}

func TestInvalid(t *testing.T) {
	for _, input := range cases(t, "testdata/invalid") {
		t.Run(filepath.Base(input), func(t *testing.T) {
			c, err := parseFile(t, input)
			if err == nil {
				t.Fatal("no problem was found")
			}
			if c != nil {
				t.Error("a configuration came with an error: nothing may be applied in part")
			}
			compare(t, goldenOf(input), []byte(err.Error()+"\n"))
		})
	}
}
