package revisions

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// MaxDiffBytes bounds what Diff gives, but for a last line that says so.
const MaxDiffBytes = 256 << 10

// nowhere stands in a diff for a resource that does not exist.
const nowhere = "/dev/null"

// Diff gives the unified diff of the texts from a to b, resource by resource in order of kind
// and name, with Kind/name in place of file names. It is empty when no text differs.
// A diff that is too long ends with whole lines and a line in brackets that says how much is missing.
// It takes O(n log n) time in the size of the texts.
func Diff(a, b Set) string {
	var out strings.Builder
	missing := 0
	for c := range pairs(a, b) {
		text := c.diff()
		switch room := MaxDiffBytes - out.Len(); {
		case len(text) == 0:
		case missing == 0 && len(text) <= room:
			out.Write(text)
		case missing == 0:
			out.Write(text[:1+bytes.LastIndexByte(text[:room], '\n')])
			missing++
		default:
			missing++
		}
	}
	if missing > 0 {
		fmt.Fprintf(&out, "[cut at %s: %d resources not shown, or not whole]\n", config.ByteSize(MaxDiffBytes), missing)
	}
	return out.String()
}

func (c change) diff() []byte {
	from, to := nowhere, nowhere
	var before, after []byte
	if c.old != nil {
		from, before = c.ref.String(), []byte(c.old.YAML)
	}
	if c.new != nil {
		to, after = c.ref.String(), []byte(c.new.YAML)
	}
	text := diff.Diff(from, before, to, after)
	// Its first line repeats the next two.
	_, text, _ = bytes.Cut(text, []byte("\n"))
	return text
}
