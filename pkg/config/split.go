package config

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Document is one resource as it stands in a file.
type Document struct {
	// Kind is one of the kinds of resources, Name a valid metadata.name.
	Kind, Name string
	// File is the name of the file.
	File string
	// Line of the file on which Text begins, from 1.
	Line int
	// Text of the document, byte for byte: with the comments in it and before it,
	// without a separator line (---) that says nothing else.
	Text []byte
}

// Split cuts files into their documents without reading more of them than their kinds
// and names; each file may have limit bytes (MaxFileBytes for the files of a
// directory), all together MaxTotalBytes. Documents without content are left
// out. An error is Problems, in the words of Parse: what is no YAML, has no kind or no
// name, or has the name of another one. Split is pure and safe for concurrent use.
func Split(files []File, limit int) ([]Document, error) {
	p, problems := newParser(files)
	if problems != nil {
		return nil, problems
	}
	var out []Document
	seen := map[[2]string]bool{}
	clear := true
	for _, f := range files {
		var cut []piece
		p.read(f, limit, func(root *yaml.Node, doc *document) {
			part := piece{line: root.Line, blank: doc == nil}
			if doc != nil {
				part.kind, part.name = identity(root.Content[0])
				id := [2]string{part.kind, part.name}
				clear = clear && part.name != "" && !seen[id]
				seen[id] = true
			}
			cut = append(cut, part)
		})
		out = append(out, texts(f, cut)...)
	}
	if p.result() != nil || !clear {
		return nil, unclear(files, limit)
	}
	if len(out) > MaxDocuments {
		return nil, Problems{{Message: fmt.Sprintf("%d documents are more than the allowed %d", len(out), MaxDocuments)}}
	}
	return out, nil
}

// unclear says why documents cannot be told apart, and what else is wrong with each of them.
func unclear(files []File, limit int) Problems {
	p, problems := newParser(files)
	if problems != nil {
		return problems
	}
	for _, f := range files {
		p.read(f, limit, func(root *yaml.Node, doc *document) {
			if doc != nil {
				p.document(doc, root.Content[0])
			}
		})
	}
	// Whether they are complete together is not the question here.
	p.incomplete = true
	p.validate()
	if problems := p.result(); problems != nil {
		return problems
	}
	return Problems{{Message: "the documents cannot be told apart by kind and name"}}
}

// identity gives the kind and name of a resource, or no name where anything is wrong with them.
func identity(n *yaml.Node) (kind, name string) {
	if n.Kind != yaml.MappingNode {
		return "", ""
	}
	kind, name = only(n, "kind"), ""
	if metadata := member(n, "metadata"); metadata != nil {
		name = only(metadata, "name")
	}
	if problem, _ := badName(name, maxNameBytes); problem != "" || !slices.Contains(kinds(), kind) {
		return "", ""
	}
	return kind, name
}

// only gives the text of a member.
func only(n *yaml.Node, key string) string {
	if value := member(n, key); value != nil {
		if text, ok := textOf(value); ok {
			return text
		}
	}
	return ""
}

// member gives the value of a key that a mapping has exactly once.
func member(n *yaml.Node, key string) *yaml.Node {
	var found *yaml.Node
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != key {
			continue
		}
		if found != nil {
			return nil
		}
		found = n.Content[i+1]
	}
	return found
}

// piece is a YAML document of a file.
type piece struct {
	kind, name string
	// line of its directives, its separator or, where it has neither, its content.
	line  int
	blank bool
}

// texts gives the documents of a file that are not blank. The first begins with the file.
func texts(f File, pieces []piece) []Document {
	var out []Document
	lines := lineStarts(f.Data)
	start := func(line int) int { return lines[min(line, len(lines))-1] }
	for i, p := range pieces {
		if p.blank {
			continue
		}
		line, end := p.line, len(f.Data)
		if i == 0 {
			line = 1
		}
		if i+1 < len(pieces) {
			end = start(pieces[i+1].line)
		}
		text := f.Data[start(line):end]
		if rest := afterSeparator(text); rest != nil {
			text, line = rest, line+1
		}
		out = append(out, Document{Kind: p.kind, Name: p.name, File: f.Name, Line: f.at(line, 0).Line, Text: bytes.Clone(text)})
	}
	return out
}

const byteOrderMark = "\uFEFF"

// afterSeparator gives what follows a separator line that begins the text and says nothing
// else, or nil. A byte order mark after it means something else where it begins a text.
func afterSeparator(text []byte) []byte {
	rest, ok := bytes.CutPrefix(text, []byte("---"))
	if !ok {
		return nil
	}
	rest = bytes.TrimLeft(rest, " \t")
	n := lineBreak(rest)
	if n == 0 || bytes.HasPrefix(rest[n:], []byte(byteOrderMark)) {
		return nil
	}
	return rest[n:]
}

// lineStarts gives the offset of every line as the YAML reader counts them.
func lineStarts(data []byte) []int {
	out := []int{0}
	for i := 0; i < len(data); {
		at := bytes.IndexAny(data[i:], "\n\r\u0085\u2028\u2029")
		if at < 0 {
			break
		}
		i += at + lineBreak(data[i+at:])
		out = append(out, i)
	}
	return out
}

// lineBreak gives the length of the line break that begins data, 0 when there is none
// (YAML 1.1, section 4.1.4).
func lineBreak(data []byte) int {
	if bytes.HasPrefix(data, []byte("\r\n")) {
		return 2
	}
	switch r, size := utf8.DecodeRune(data); r {
	case '\n', '\r', '\u0085', '\u2028', '\u2029':
		return size
	}
	return 0
}
