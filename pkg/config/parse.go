package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// ErrEmpty says that there was no resource at all. It is never a reason to
// replace a configuration that works.
var ErrEmpty = errors.New("no resources found")

// File is one file of a configuration. Data holds any number of YAML documents.
type File struct {
	// Name as problems show it, without its directory.
	Name string
	Data []byte
	// Line of the file on which Data begins, from 1, where Data is a part of a file.
	// 0 for a whole one.
	Line int
}

// at gives the position in the file of a place in Data, both counted from 1.
func (f File) at(line, column int) Position {
	return Position{File: f.Name, Line: line + max(0, f.Line-1), Column: column}
}

// resource is a document as people write it.
type resource[T any] struct {
	// APIVersion is holdfast/v1alpha1. May be left out.
	APIVersion string `yaml:"apiVersion,omitempty"`
	Kind       string `yaml:"kind"`
	Body       T      `yaml:",inline"`
}

// loaded ties a decoded resource to where its values were written.
type loaded[T any] struct {
	*document
	value *T
}

// parser gathers the documents of all files.
type parser struct {
	collector
	gateways []loaded[Gateway]
	servers  []loaded[MCPServer]
	routes   []loaded[MCPRoute]
	// count of documents, readable or not.
	count int
	// incomplete: a document could not be read, so names may be missing that are not the fault of those who refer to them.
	incomplete bool
}

// Parse reads and checks one whole configuration and fills in its defaults. An error
// is ErrEmpty when no file has a document (test with errors.Is), else Problems. Parse is
// pure and safe for concurrent use.
func Parse(files []File) (*Config, error) {
	p, problems := newParser(files)
	if problems != nil {
		return nil, problems
	}
	for _, f := range files {
		p.file(f)
	}
	if p.count == 0 && len(p.problems) == 0 {
		return nil, fmt.Errorf("%w: %d files, none with a Gateway, MCPServer or MCPRoute", ErrEmpty, len(files))
	}
	p.validate()
	if problems := p.result(); problems != nil {
		return nil, problems
	}
	return p.config(), nil
}

// newParser is ready to read files that are not too many and not too large together.
func newParser(files []File) (*parser, Problems) {
	p := &parser{collector: collector{order: map[string]int{}}}
	total, whole, parts := 0, 0, 0
	for i, f := range files {
		if f.Line == 0 {
			whole++
		} else {
			parts++
		}
		if _, known := p.order[f.Name]; !known {
			p.order[f.Name] = i
		}
		if total += len(f.Data); total > MaxTotalBytes {
			return nil, Problems{{Pos: Position{File: f.Name}, Message: fmt.Sprintf("all files together are larger than %s", ByteSize(MaxTotalBytes))}}
		}
	}
	if whole > MaxFiles {
		return nil, Problems{{Message: fmt.Sprintf("%d files are more than the allowed %d", whole, MaxFiles)}}
	}
	if parts > MaxDocuments {
		return nil, Problems{{Message: fmt.Sprintf("%d documents are more than the allowed %d", parts, MaxDocuments)}}
	}
	return p, nil
}

// config assembles the result, resources in order of name.
func (p *parser) config() *Config {
	c := &Config{Gateway: defaultGateway()}
	for _, g := range p.gateways {
		c.Gateway = *g.value
	}
	for _, s := range p.servers {
		c.Servers = append(c.Servers, *s.value)
	}
	for _, r := range p.routes {
		c.Routes = append(c.Routes, *r.value)
	}
	slices.SortFunc(c.Servers, func(a, b MCPServer) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	slices.SortFunc(c.Routes, func(a, b MCPRoute) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	return c
}

// unreadable notes a problem that hides resources.
func (p *parser) unreadable(pos Position, hint, format string, args ...any) {
	p.incomplete = true
	p.add(Problem{Pos: pos, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *parser) file(f File) {
	p.read(f, MaxFileBytes, func(root *yaml.Node, doc *document) {
		if doc != nil {
			p.document(doc, root.Content[0])
		}
	})
}

// read calls visit for each document of a file that is no larger than limit; without a
// *document for those that are blank. Those that are no plain data are reported and passed over.
func (p *parser) read(f File, limit int, visit func(root *yaml.Node, doc *document)) {
	if len(f.Data) > limit {
		p.unreadable(Position{File: f.Name}, "split it", "is larger than %s", ByteSize(limit))
		return
	}
	if at := invalidUTF8(f.Data); at >= 0 {
		line := bytes.Count(f.Data[:at], []byte("\n"))
		column := utf8.RuneCount(f.Data[bytes.LastIndexByte(f.Data[:at], '\n')+1 : at])
		p.unreadable(f.at(line+1, column+1), "", "is not UTF-8 text")
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(f.Data))
	nodes := 0
	for {
		root, err := nextDocument(dec)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.syntax(f, err)
			return
		}
		if blank(root) {
			visit(root, nil)
			continue
		}
		p.count++
		doc := newDocument(f, &p.collector)
		check := shape{doc: doc, nodes: &nodes, told: map[string]bool{}}
		if !check.check(root, 0) {
			p.incomplete = true
			continue
		}
		visit(root, doc)
	}
}

// invalidUTF8 gives the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// nextDocument reads one YAML document. The YAML reader panics on a few inputs
// that it does not expect; they are errors like any other.
func nextDocument(dec *yaml.Decoder) (root *yaml.Node, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: %v", v)
		}
	}()
	root = &yaml.Node{}
	return root, dec.Decode(root)
}

// blank tells whether a document holds nothing but comments.
func blank(root *yaml.Node) bool {
	if len(root.Content) == 0 {
		return true
	}
	n := root.Content[0]
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == ""
}

// syntax reports what the YAML reader says, at the line that it means.
func (p *parser) syntax(f File, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		number, text, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			line, message = n, text
			// Errors of its parser, unlike those of its scanner, count lines from 0.
			if strings.HasPrefix(message, "did not find expected") || strings.HasPrefix(message, "found undefined") || strings.HasPrefix(message, "found duplicate") {
				line++
			}
		}
	}
	// The reader notices a tab on its line or, where a line should go on, on the one before.
	for at := line; at <= line+1; at++ {
		if column := tabColumn(f.Data, at); column > 0 {
			p.unreadable(f.at(at, column), "indent with spaces", "a tab cannot indent YAML")
			return
		}
	}
	p.unreadable(f.at(line, 0), "", "not YAML: %s", message)
}

// tabColumn gives the column of a tab in the indentation of a line, 0 when there is none.
func tabColumn(data []byte, line int) int {
	lines := bytes.SplitN(data, []byte("\n"), line+1)
	if len(lines) < line {
		return 0
	}
	text := lines[line-1]
	indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
	return bytes.IndexByte(indent, '\t') + 1
}

// document decodes one resource, told apart by its kind.
func (p *parser) document(doc *document, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.incomplete = true
		doc.reportAt(doc.position(n), "", "", "got %s, want a resource: a mapping with kind, metadata and spec", got(n))
		return
	}
	kinds := kinds()
	kind := lookup(n, "kind")
	if kind == nil {
		p.incomplete = true
		doc.reportAt(doc.position(n), "kind", "it is "+oneOf(kinds), "is missing")
		return
	}
	switch text, _ := textOf(kind); text {
	case KindGateway:
		p.gateways = append(p.gateways, decode[Gateway](doc, n))
	case KindMCPServer:
		p.servers = append(p.servers, decode[MCPServer](doc, n))
	case KindMCPRoute:
		p.routes = append(p.routes, decode[MCPRoute](doc, n))
	default:
		p.incomplete = true
		doc.reportAt(doc.position(kind), "kind", cmp.Or(didYouMean(kind.Value, kinds), "it is "+oneOf(kinds)), "got %s, which is no kind", got(kind))
	}
}

func kinds() []string { return []string{KindGateway, KindMCPServer, KindMCPRoute} }

func lookup(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func decode[T any](doc *document, n *yaml.Node) loaded[T] {
	var r resource[T]
	d := decoder{doc: doc}
	d.value(n, reflect.ValueOf(&r).Elem(), "")
	if source := reflect.ValueOf(&r.Body).Elem().FieldByName("Source"); source.IsValid() {
		source.Set(reflect.ValueOf(doc.position(n)))
	}
	if r.APIVersion != "" && r.APIVersion != APIVersion {
		doc.report("apiVersion", meant(APIVersion), "there is no version %s", quote(r.APIVersion))
	}
	return loaded[T]{doc, &r.Body}
}
