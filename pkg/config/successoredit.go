package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

var errNoSpec = errors.New("the document has no spec that something could be written into")

// SuccessorOf reads what a document of an MCPServer says of its successor; nil where that is nothing.
func SuccessorOf(document string) (*Successor, error) {
	var server struct {
		Spec struct {
			Successor *struct {
				Server string
				Share  string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(document), &server); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	next := server.Spec.Successor
	if next == nil {
		return nil, nil
	}
	share, ok := parsePercent(next.Share)
	if !ok {
		return nil, fmt.Errorf("%s is not a percentage", quote(next.Share))
	}
	return &Successor{Server: next.Server, Share: &share}, nil
}

// WithSuccessor gives the document of an MCPServer with another successor, or with none where next is nil. All else stays as it was
// written, so that the text before comes back with the successor that was there.
func WithSuccessor(document string, next *Successor) (string, error) {
	spec, found, err := specOf(document)
	if err != nil {
		return "", err
	}
	if found != nil {
		if document, err = without(document, spec, found); err != nil {
			return "", err
		}
		if spec, _, err = specOf(document); err != nil {
			return "", err
		}
	}
	if next == nil {
		return document, nil
	}
	text := fmt.Sprintf("successor: {server: %s, share: %s}", next.Server, next.Share)
	first := spec.Content[0]
	at := offset(document, first.Line, first.Column)
	if spec.Style&yaml.FlowStyle != 0 {
		return document[:at] + text + ", " + document[at:], nil
	}
	return document[:at] + text + "\n" + strings.Repeat(" ", first.Column-1) + document[at:], nil
}

// specOf finds the spec, and in it the key of the successor, nil where there is none.
func specOf(document string) (spec, found *yaml.Node, err error) {
	var root yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader([]byte(document))).Decode(&root); err != nil {
		return nil, nil, fmt.Errorf("reading the document: %w", err)
	}
	if len(root.Content) == 1 {
		spec = lookup(root.Content[0], "spec")
	}
	if spec == nil || spec.Kind != yaml.MappingNode || len(spec.Content) == 0 {
		return nil, nil, errNoSpec
	}
	for i := 0; i < len(spec.Content); i += 2 {
		if spec.Content[i].Value == "successor" {
			return spec, spec.Content[i], nil
		}
	}
	return spec, nil, nil
}

// without cuts a key out, and its value.
func without(document string, spec, key *yaml.Node) (string, error) {
	from := offset(document, key.Line, key.Column)
	for i := 0; i < len(spec.Content); i += 2 {
		if spec.Content[i] == key && i+2 < len(spec.Content) {
			// Up to the next key.
			next := spec.Content[i+2]
			return document[:from] + document[offset(document, next.Line, next.Column):], nil
		}
	}
	if len(spec.Content) == 2 || spec.Style&yaml.FlowStyle != 0 {
		return "", fmt.Errorf("the successor is the last that the spec holds; write it first: %w", errNoSpec)
	}
	// The last of a block: up to what stands further to the left than it, from the beginning of its line.
	from -= key.Column - 1
	end := from
	for i, line := range strings.SplitAfter(document[from:], "\n") {
		if indent := len(line) - len(strings.TrimLeft(line, " ")); i > 0 && strings.TrimSpace(line) != "" && indent < key.Column {
			break
		}
		end += len(line)
	}
	return document[:from] + document[end:], nil
}

// offset of a place in a text; lines and columns (of characters) begin with 1.
func offset(text string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		at += strings.IndexByte(text[at:], '\n') + 1
	}
	for ; column > 1; column-- {
		for at++; at < len(text) && text[at]&0xC0 == 0x80; at++ {
		}
	}
	return at
}
