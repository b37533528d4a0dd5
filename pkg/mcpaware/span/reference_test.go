package span

import (
	"os"
	"regexp"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// TestReferenceHasAll: every attribute that is declared is described once.
func TestReferenceHasAll(t *testing.T) {
	t.Parallel()
	described := map[string]int{}
	for _, d := range Reference() {
		described[string(d.Key)]++
		if d.On == "" || d.Means == "" {
			t.Errorf("%s is not described", d.Key)
		}
	}
	source, err := os.ReadFile("span.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := []string{names.AttributeRegion, names.AttributeEndpoint}
	for _, m := range regexp.MustCompile(`= attribute\.Key\("([^"]+)"\)`).FindAllStringSubmatch(string(source), -1) {
		declared = append(declared, m[1])
	}
	for _, key := range declared {
		if described[key] != 1 {
			t.Errorf("%s is described %d times", key, described[key])
		}
	}
	if len(described) != len(declared) {
		t.Errorf("%d attributes are declared, %d described", len(declared), len(described))
	}
}
