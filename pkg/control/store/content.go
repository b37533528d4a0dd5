package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// entry is a name in the content of a revision, its text by digest. One without an
// owner is a document that is kept out.
type entry struct {
	ref             revisions.Ref
	owner           revisions.Owner
	file            string
	line            int
	text, overrides revisions.Digest
	pinned          bool
}

func (e entry) absent() bool { return e.owner == 0 }

// equal passes over the line, which says where the file of today has the document and nothing about the revision.
func (e entry) equal(other entry) bool {
	other.line = e.line
	return e == other
}

// content is what a revision consists of.
type content map[revisions.Ref]entry

// contentOf takes a set apart into entries and texts.
func contentOf(s revisions.Set) (content, map[revisions.Digest]string) {
	entries, texts := content{}, map[revisions.Digest]string{}
	for _, r := range s.Resources {
		digest := revisions.DigestOf(r.YAML)
		texts[digest] = r.YAML
		entries[r.Ref] = entry{ref: r.Ref, owner: r.Owner, file: r.File, line: r.Line, text: digest, pinned: r.Pinned, overrides: r.Overrides}
	}
	for _, a := range s.Absent {
		entries[a.Ref] = entry{ref: a.Ref, file: a.File, line: a.Line, overrides: a.Overrides}
	}
	return entries, texts
}

// set puts entries together again; text gives the text of a digest.
func (c content) set(text func(revisions.Digest) (string, error)) (revisions.Set, error) {
	var s revisions.Set
	for _, ref := range slices.SortedFunc(maps.Keys(c), revisions.Ref.Compare) {
		e := c[ref]
		if e.absent() {
			s.Absent = append(s.Absent, revisions.Absence{Ref: ref, File: e.file, Line: e.line, Overrides: e.overrides})
			continue
		}
		yaml, err := text(e.text)
		if err != nil {
			return revisions.Set{}, fmt.Errorf("reading %s: %w", ref, err)
		}
		s.Resources = append(s.Resources, revisions.Resource{
			Ref: ref, Owner: e.owner, File: e.file, Line: e.line, YAML: yaml, Pinned: e.pinned, Overrides: e.overrides,
		})
	}
	return s, nil
}

// digest tells contents apart, but for lines.
func (c content) digest() []byte {
	h := sha256.New()
	for _, ref := range slices.SortedFunc(maps.Keys(c), revisions.Ref.Compare) {
		e := c[ref]
		pinned := byte(0)
		if e.pinned {
			pinned = 1
		}
		for _, text := range []string{ref.Kind, ref.Name, e.file} {
			frame(h, text)
		}
		h.Write([]byte{byte(e.owner), pinned})
		h.Write(e.text[:])
		h.Write(e.overrides[:])
	}
	return h.Sum(nil)
}

func frame(h hash.Hash, text string) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
	h.Write([]byte(text))
}

// undo leads from one content to the one before it.
type undo struct {
	was  []entry
	gone []revisions.Ref
}

// undoing tells what leads back from after to before.
func undoing(before, after content) undo {
	var u undo
	for ref, old := range before {
		if now, ok := after[ref]; !ok || !old.equal(now) {
			u.was = append(u.was, old)
		}
	}
	for ref := range after {
		if _, ok := before[ref]; !ok {
			u.gone = append(u.gone, ref)
		}
	}
	slices.SortFunc(u.was, func(a, b entry) int { return a.ref.Compare(b.ref) })
	slices.SortFunc(u.gone, revisions.Ref.Compare)
	return u
}

func (u undo) apply(c content) {
	for _, ref := range u.gone {
		delete(c, ref)
	}
	for _, e := range u.was {
		c[e.ref] = e
	}
}
