// Package catalog remembers the last good answers to list requests and server/discover,
// for the time when their server is down. It is memory only; sharing between processors
// and copies on disk are its callers' business.
package catalog

import (
	"bytes"
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
)

// Options bound a Store; zero values mean the defaults.
type Options struct {
	// MaxEntries and MaxBytes (of results) bound the answers that all callers share,
	// and once more those that are one caller's alone: callers who make up credentials
	// push out only each other. Defaults 4,096 entries and 64 MiB.
	MaxEntries int
	MaxBytes   int
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Changed is told of tools that a list defines differently than the one before of the same key, or has no
	// more; nil for nobody. It must not block, nor call the Store.
	Changed func(server, tool string)
}

// Store holds CatalogEntries by key. It is safe for concurrent use. Entries are shared
// with their givers and takers and are not to be changed.
type Store struct {
	now     func() time.Time
	changed func(server, tool string)
	tools   toolNames
	// privatePuts counts the answers of single callers that were taken.
	privatePuts atomic.Uint64
	fits        fits

	mu      sync.Mutex
	byKey   map[string]*list.Element
	shared  segment
	private segment
}

// segment is a bounded part of the store, most recently put or taken first.
type segment struct {
	order                *list.List
	bytes                int
	maxEntries, maxBytes int
}

type item struct {
	entry *policyv1.CatalogEntry
	asOf  time.Time
}

// New returns an empty Store.
func New(o Options) *Store {
	if o.MaxEntries <= 0 {
		o.MaxEntries = 4096
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	part := func() segment {
		return segment{order: list.New(), maxEntries: o.MaxEntries, maxBytes: o.MaxBytes}
	}
	return &Store{now: o.Now, changed: o.Changed, byKey: map[string]*list.Element{}, shared: part(), private: part()}
}

// HasTool says whether a server has listed a tool, to anybody, since the Store began.
func (s *Store) HasTool(server, tool string) bool { return s.tools.has(server, tool) }

// OutputSchema of a tool as its server last listed it, to anybody; nil where it has none. known is
// false for a tool that was not listed since the Store began.
func (s *Store) OutputSchema(server, tool string) (schema []byte, known bool) {
	return s.tools.outputSchema(server, tool)
}

// Tools is how many tools a server has listed.
func (s *Store) Tools(server string) int { return s.tools.count(server) }

// Put remembers an entry unless it knows one of the same key that is at least as new by
// as_of (a time in the future counts as now), and reports whether it did. The least
// recently used entries make room. An entry without a key, a time or a result, or one
// larger than the bound, is not taken. Put does not judge results: see Acceptable.
func (s *Store) Put(entry *policyv1.CatalogEntry) bool {
	if entry.GetKey() == "" || len(entry.GetResult()) == 0 || !entry.GetAsOf().IsValid() {
		return false
	}
	asOf := entry.GetAsOf().AsTime()
	if now := s.now(); asOf.After(now) {
		asOf = now
	}
	took, changed, before := s.put(entry, asOf)
	if took && Private(entry.GetKey()) {
		s.privatePuts.Add(1)
	}
	if changed && entry.GetMethod() == method.ToolsList {
		s.tools.learn(entry.GetServer(), entry.GetResult())
		s.tellChanges(before, entry)
	}
	return took
}

// tellChanges tells of the tools that were defined otherwise before.
func (s *Store) tellChanges(before, now *policyv1.CatalogEntry) {
	if s.changed == nil || before == nil {
		return
	}
	defined := map[string][]byte{}
	eachTool(now.GetResult(), func(name string, _, whole jsontext.Value) { defined[name] = bytes.Clone(whole) })
	eachTool(before.GetResult(), func(name string, _, whole jsontext.Value) {
		if !bytes.Equal(defined[name], whole) {
			s.changed(now.GetServer(), name)
		}
	})
}

// put says whether it took the entry, and whether its result differs from what was known, which
// it gives.
func (s *Store) put(entry *policyv1.CatalogEntry, asOf time.Time) (took, changed bool, before *policyv1.CatalogEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = true
	part := s.part(entry.GetKey())
	if size(entry) > part.maxBytes {
		return false, false, nil
	}
	if known, ok := s.byKey[entry.GetKey()]; ok {
		if !asOf.After(known.Value.(*item).asOf) {
			return false, false, nil
		}
		before = known.Value.(*item).entry
		changed = !bytes.Equal(before.GetResult(), entry.GetResult())
		s.drop(known)
	}
	s.byKey[entry.GetKey()] = part.order.PushFront(&item{entry: entry, asOf: asOf})
	part.bytes += size(entry)
	for part.order.Len() > part.maxEntries || part.bytes > part.maxBytes {
		s.drop(part.order.Back())
	}
	return true, changed, before
}

// Get returns the entry of a key and its age, if it is at most maxAge old. A maxAge of
// 0 or less finds nothing.
func (s *Store) Get(key string, maxAge time.Duration) (entry *policyv1.CatalogEntry, age time.Duration, ok bool) {
	if key == "" || maxAge <= 0 {
		return nil, 0, false
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.byKey[key]
	if !ok {
		return nil, 0, false
	}
	found := element.Value.(*item)
	if age = max(now.Sub(found.asOf), 0); age > maxAge {
		return nil, 0, false
	}
	s.part(key).order.MoveToFront(element)
	return found.entry, age, true
}

// Remove forgets a key.
func (s *Store) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if element, ok := s.byKey[key]; ok {
		s.drop(element)
	}
}

// Shared returns the entries that all callers share, in no particular order.
func (s *Store) Shared() []*policyv1.CatalogEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]*policyv1.CatalogEntry, 0, s.shared.order.Len())
	for element := s.shared.order.Front(); element != nil; element = element.Next() {
		entries = append(entries, element.Value.(*item).entry)
	}
	return entries
}

func (s *Store) part(key string) *segment {
	if Private(key) {
		return &s.private
	}
	return &s.shared
}

func (s *Store) drop(element *list.Element) {
	entry := element.Value.(*item).entry
	part := s.part(entry.GetKey())
	part.order.Remove(element)
	part.bytes -= size(entry)
	delete(s.byKey, entry.GetKey())
}

// size is what an entry counts for: its result, its key and a round figure for the rest.
func size(entry *policyv1.CatalogEntry) int {
	return len(entry.GetResult()) + len(entry.GetKey()) + 256
}
