package config

import "sync"

// Index parses as Parse does, and reads again only what has changed since its last call:
// files (or parts of files) that it has seen under the same name, at the same line and with
// the same text are taken from memory. What concerns several resources is checked every time.
//
// It remembers only files without a fault of their own. Whenever anything at all is wrong, the
// whole is parsed once more by Parse, so that errors are Parse's own, word for word.
//
// The zero Index is ready. It is safe for concurrent use. What it returns shares values
// with what it remembers and must not be changed.
type Index struct {
	mu    sync.Mutex
	known map[fileKey]*parsed
}

// fileKey is everything that the reading of a file depends on.
type fileKey struct {
	name string
	line int
	data string
}

// parsed is what was read of one file, defaults filled in and each resource checked by itself.
type parsed struct {
	gateways []*Gateway
	servers  []*MCPServer
	routes   []*MCPRoute
	// documents in the file; coverSteps is what finding hidden rules took.
	documents, coverSteps int
}

// Parse gives what Parse gives for the same files, the same errors included.
func (x *Index) Parse(files []File) (*Config, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, problems := newParser(files)
	if problems != nil {
		return nil, problems
	}
	next := make(map[fileKey]*parsed, len(files))
	steps := 0
	for _, f := range files {
		key := fileKey{f.Name, f.Line, string(f.Data)}
		one, ok := x.known[key]
		if !ok {
			if one = parseAlone(f); one == nil {
				return Parse(files)
			}
		}
		next[key] = one
		steps += one.coverSteps
		p.join(one)
	}
	// The rules of all routes together have a bound, too.
	if p.count == 0 || steps > maxCoverSteps {
		return Parse(files)
	}
	p.validateTogether()
	if len(p.problems) > 0 {
		return Parse(files)
	}
	x.known = next
	return p.config(), nil
}

// parseAlone reads a file and checks its resources one by one; nil where anything is wrong
// with it.
func parseAlone(f File) *parsed {
	p := &parser{collector: collector{order: map[string]int{f.Name: 0}}}
	p.file(f)
	cover := newCoverage()
	p.validateEach(cover)
	if p.incomplete || len(p.problems) > 0 {
		return nil
	}
	out := &parsed{documents: p.count, coverSteps: maxCoverSteps - cover.steps}
	for _, g := range p.gateways {
		out.gateways = append(out.gateways, g.value)
	}
	for _, s := range p.servers {
		out.servers = append(out.servers, s.value)
	}
	for _, r := range p.routes {
		out.routes = append(out.routes, r.value)
	}
	return out
}

// join adds what was read of a file. Where its values stand is not known any more: that is of
// use only in words about a problem, which are Parse's.
func (p *parser) join(one *parsed) {
	nowhere := &document{to: &p.collector, nowhere: true}
	for _, g := range one.gateways {
		p.gateways = append(p.gateways, loaded[Gateway]{nowhere, g})
	}
	for _, s := range one.servers {
		p.servers = append(p.servers, loaded[MCPServer]{nowhere, s})
	}
	for _, r := range one.routes {
		p.routes = append(p.routes, loaded[MCPRoute]{nowhere, r})
	}
	p.count += one.documents
}
