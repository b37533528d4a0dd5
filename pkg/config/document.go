package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is one resource as written: where each of its values stands, and
// which of them are known to be wrong, so that checks that build on a wrong value stay silent.
type document struct {
	file File
	at   map[string]Position
	bad  []string
	to   *collector
	// nowhere: it is not known what of it was written, so that every check applies.
	nowhere bool
}

func newDocument(file File, to *collector) *document {
	return &document{file: file, at: map[string]Position{}, to: to}
}

func (d *document) position(n *yaml.Node) Position {
	return d.file.at(n.Line, n.Column)
}

// written tells whether the value at path stands in the file.
func (d *document) written(path string) bool {
	_, ok := d.at[path]
	return ok || d.nowhere
}

// where gives the position of path or of the nearest value around it that was written.
func (d *document) where(path string) Position {
	for {
		if pos, ok := d.at[path]; ok {
			return pos
		}
		if path == "" {
			return Position{File: d.file.Name}
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// report notes a problem of the value at path.
func (d *document) report(path, hint, format string, args ...any) {
	d.reportAt(d.where(path), path, hint, format, args...)
}

// reportAt is report for a place other than the value's own, such as a key.
func (d *document) reportAt(pos Position, path, hint, format string, args ...any) {
	if len(d.bad) < maxCollected {
		d.bad = append(d.bad, path)
	}
	d.to.add(Problem{Pos: pos, Field: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// clean tells whether no problem touches the values at paths: themselves, what
// is in them, or what they are in.
func (d *document) clean(paths ...string) bool {
	for _, bad := range d.bad {
		for _, path := range paths {
			if bad == path || within(bad, path) || within(path, bad) {
				return false
			}
		}
	}
	return true
}

// within tells whether the value at inner is a part of the one at outer.
func within(inner, outer string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (outer == "" || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "["))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func item(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// maxShown bounds how much of a value is repeated in a message.
const maxShown = 64

// quote shows a value from a file in a message, cut where it is long.
func quote(s string) string {
	if len(s) > maxShown {
		return strconv.Quote(strings.ToValidUTF8(s[:maxShown], "")) + "…"
	}
	return strconv.Quote(s)
}
