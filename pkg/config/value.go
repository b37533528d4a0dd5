package config

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// Bounds on a Value.
const (
	maxValueBytes = 16 << 10
	maxValueDepth = 16
	maxValueText  = 4096
)

// json turns a YAML node into JSON; what JSON has no word for is reported at its own place.
func (d *decoder) json(n *yaml.Node, target *Value, path string) {
	w := valueWriter{decoder: d}
	if !w.write(n, path, 0) {
		return
	}
	if len(w.out) > maxValueBytes {
		d.doc.report(path, "", "has %d bytes as JSON, at most %d are taken", len(w.out), maxValueBytes)
		return
	}
	target.JSON = string(w.out)
}

type valueWriter struct {
	*decoder
	out []byte
}

// write appends one value; false: it is reported, or too large to go on.
func (w *valueWriter) write(n *yaml.Node, path string, depth int) bool {
	pos := w.doc.position(n)
	switch {
	case depth > maxValueDepth:
		w.doc.reportAt(pos, path, "", "is nested more than %d deep", maxValueDepth)
		return false
	case len(w.out) > maxValueBytes:
		return true
	}
	switch n.Kind {
	case yaml.MappingNode:
		return w.object(n, path, depth)
	case yaml.SequenceNode:
		w.out = append(w.out, '[')
		for i, element := range n.Content {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			if !w.write(element, item(path, i), depth+1) {
				return false
			}
		}
		w.out = append(w.out, ']')
		return true
	case yaml.ScalarNode:
		return w.scalar(n, path)
	}
	w.doc.reportAt(pos, path, "write the value out", "got %s, want a value that JSON has", got(n))
	return false
}

func (w *valueWriter) object(n *yaml.Node, path string, depth int) bool {
	w.out = append(w.out, '{')
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		pos := w.doc.position(key)
		if key.Kind != yaml.ScalarNode || key.Tag != "!!str" {
			w.doc.reportAt(pos, path, "put it in quotes if it is text", "got %s for the name of a member", got(key))
			return false
		}
		if line, twice := seen[key.Value]; twice {
			w.doc.reportAt(pos, join(path, shorten(key.Value)), "", "is written twice, first on line %d", line)
			return false
		}
		seen[key.Value] = pos.Line
		if i > 0 {
			w.out = append(w.out, ',')
		}
		name, err := jsontext.AppendQuote(w.out, key.Value)
		if err != nil {
			w.doc.reportAt(pos, path, "", "the name of a member is not valid UTF-8")
			return false
		}
		w.out = append(name, ':')
		if !w.write(n.Content[i+1], join(path, shorten(key.Value)), depth+1) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

func (w *valueWriter) scalar(n *yaml.Node, path string) bool {
	if text, ok := textOf(n); ok && len(n.Value) > maxScalarBytes {
		// Texts for people are longer than what arguments are compared with.
		quoted, err := jsontext.AppendQuote(w.out, text)
		if err == nil && len(text) <= maxValueText {
			w.out = quoted
			return true
		}
		w.doc.reportAt(w.doc.position(n), path, "", "is longer than %d bytes, or not valid UTF-8", maxValueText)
		return false
	}
	s, problem, hint := scalarOf(n)
	if problem != "" {
		w.doc.reportAt(w.doc.position(n), path, hint, "%s", problem)
		return false
	}
	w.out = append(w.out, s.JSON...)
	return true
}

// String gives the JSON text.
func (v Value) String() string { return v.JSON }

// MarshalJSON gives the JSON text; a Value without one is null.
func (v Value) MarshalJSON() ([]byte, error) { return Scalar(v).MarshalJSON() }

// MarshalYAML writes the value so that every part of it keeps its JSON type.
func (v Value) MarshalYAML() (any, error) {
	if v.JSON == "" {
		return Scalar{}.MarshalYAML()
	}
	d := jsontext.NewDecoder(strings.NewReader(v.JSON))
	n, err := nodeOf(d)
	if err != nil {
		return nil, fmt.Errorf("writing a value: %w", err)
	}
	return n, nil
}

func nodeOf(d *jsontext.Decoder) (*yaml.Node, error) {
	switch d.PeekKind() {
	case '{', '[':
	default:
		raw, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		n := &yaml.Node{}
		encoded, err := Scalar{JSON: string(raw)}.MarshalYAML()
		if err != nil {
			return nil, err
		}
		if already, ok := encoded.(*yaml.Node); ok {
			return already, nil
		}
		return n, n.Encode(encoded)
	}
	open, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if open.Kind() == '{' {
		n.Kind = yaml.MappingNode
	}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		// The names of members are texts, and read as such.
		child, err := nodeOf(d)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, child)
	}
	_, err = d.ReadToken()
	return n, err
}
