package config_test

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

func next(server string, share config.Percent) *config.Successor {
	return &config.Successor{Server: server, Share: &share}
}

// TestWithSuccessor: a successor is written into a document, changed and taken out again, and nothing else changes by a byte.
func TestWithSuccessor(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{
		"block":       "kind: MCPServer\nmetadata: {name: orders}\nspec: # what it is\n  # of two\n  path: /mcp\n  regions: []\n",
		"deep":        "spec:\n      regions:\n        - name: ä\nmetadata: {name: orders}\nkind: MCPServer",
		"flow":        `{kind: MCPServer, metadata: {name: "ö"}, spec: {path: /mcp, regions: []}}`,
		"flow spec":   "kind: MCPServer\nmetadata: {name: orders}\nspec: {regions: [{name: a}]}\n",
		"in a stream": "---\nkind: MCPServer\nspec:\n  path: /mcp\n",
	} {
		ten, err := config.WithSuccessor(document, next("orders-v2", 10))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := config.SuccessorOf(ten); err != nil || got == nil || got.Server != "orders-v2" || *got.Share != 10 {
			t.Errorf("%s: %+v, %v in\n%s", name, got, err, ten)
		}
		all, err := config.WithSuccessor(ten, next("orders-v3", 100))
		if err != nil || strings.Count(all, "successor") != 1 {
			t.Errorf("%s: %v:\n%s", name, err, all)
		}
		if got, err := config.SuccessorOf(all); err != nil || got == nil || got.Server != "orders-v3" || *got.Share != 100 {
			t.Errorf("%s: %+v, %v in\n%s", name, got, err, all)
		}
		if back, err := config.WithSuccessor(all, nil); err != nil || back != document {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, back, document)
		}
		if got, err := config.SuccessorOf(document); got != nil || err != nil {
			t.Errorf("%s: %+v, %v where nothing is written", name, got, err)
		}
	}
}

// TestWithoutSuccessorAsWritten: what people wrote is taken out wherever it stands.
func TestWithoutSuccessorAsWritten(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"spec:\n  path: /mcp\n  successor:\n    server: a\n    share: 10%\n  regions: []\n":         "spec:\n  path: /mcp\n  regions: []\n",
		"spec:\n  path: /mcp\n  successor:\n    server: a\n    share: 10%\n\nkind: MCPServer\n":     "spec:\n  path: /mcp\nkind: MCPServer\n",
		"spec:\n  path: /mcp\n  successor: {server: a, share: 10%}":                                 "spec:\n  path: /mcp\n",
		"spec: {path: /mcp, successor: {server: a, share: 10%}, regions: []}":                       "spec: {path: /mcp, regions: []}",
		"kind: MCPServer\nspec:\n  successor: {server: a, share: 10%} # for a week\n  path: /mcp\n": "kind: MCPServer\nspec:\n  path: /mcp\n",
	} {
		if got, err := config.WithSuccessor(written, nil); err != nil || got != want {
			t.Errorf("%q: %v, got %q, want %q", written, err, got, want)
		}
	}
	for _, document := range []string{"", "a: b", "spec: x", "spec: {}", "{", "spec: {successor: {server: a, share: 10%}}"} {
		if got, err := config.WithSuccessor(document, nil); err == nil {
			t.Errorf("%q became %q", document, got)
		}
	}
}
