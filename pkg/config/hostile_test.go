package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// Files of the largest size, made to cost as much as they can, end in problems
// and in bounded time.
func TestHostileFilesAreBounded(t *testing.T) {
	full := func(unit string) string { return strings.Repeat(unit, config.MaxFileBytes/len(unit)) }
	for name, text := range map[string]string{
		"lists in lists":       full("["),
		"mappings in mappings": full("{a: "),
		"many values":          "[" + full("a,")[2:],
		"many documents":       full("---\na: b\n"),
		"one long word":        full("x"),
		"one long key":         full("k")[4:] + ": 1",
		"comments":             "a:\n" + full(" #x\n")[8:],
		"anchors":              full("- &a b\n"),
		"unknown fields":       "kind: Gateway\nmetadata: {name: a}\nspec:\n" + full("  kindred: 1\n")[64:],
		"escapes":              `a: "` + full(`\u0041`)[16:] + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := config.Parse([]config.File{{Name: "a.yaml", Data: []byte(text)}})
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) > config.MaxProblems+1 {
				t.Errorf("got %.200v", err)
			}
			if len(err.Error()) > 64<<10 {
				t.Errorf("%d bytes of problems", len(err.Error()))
			}
		})
	}
}
