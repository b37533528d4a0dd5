package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/store/record"
)

// key of an entry in the head bucket. No kind has a NUL.
func key(ref revisions.Ref) []byte { return []byte(ref.Kind + "\x00" + ref.Name) }

func (e entry) record() *record.Entry {
	out := &record.Entry{Kind: e.ref.Kind, Name: e.ref.Name, Owner: uint32(e.owner), File: e.file, Line: uint64(max(0, e.line)), Pinned: e.pinned}
	if !e.absent() {
		out.Text = e.text[:]
	}
	if !e.overrides.IsZero() {
		out.Overrides = e.overrides[:]
	}
	return out
}

// entryOf checks and takes over what was recorded.
func entryOf(r *record.Entry) (entry, error) {
	e := entry{ref: revisions.Ref{Kind: r.GetKind(), Name: r.GetName()}, owner: revisions.Owner(min(r.GetOwner(), math.MaxUint8)), file: r.GetFile(), pinned: r.GetPinned()}
	if r.GetLine() > math.MaxInt32 {
		return entry{}, corruptf("an entry has line %d", r.GetLine())
	}
	e.line = int(r.GetLine()) //nolint:gosec // no more than MaxInt32
	if e.ref.Kind == "" || e.ref.Name == "" || strings.Contains(e.ref.Kind, "\x00") {
		return entry{}, corruptf("an entry has the name %q", e.ref)
	}
	if e.owner > revisions.API {
		return entry{}, corruptf("%s has %s", e.ref, e.owner)
	}
	textBytes, overridesBytes := len(e.text), len(r.GetOverrides())
	if e.absent() {
		textBytes, overridesBytes = 0, len(e.overrides)
	}
	if len(r.GetText()) != textBytes || overridesBytes != 0 && overridesBytes != len(e.overrides) || overridesBytes != len(r.GetOverrides()) {
		return entry{}, corruptf("%s has a digest of the wrong size", e.ref)
	}
	copy(e.text[:], r.GetText())
	copy(e.overrides[:], r.GetOverrides())
	return e, nil
}

func (u undo) record() *record.Undo {
	out := &record.Undo{}
	for _, e := range u.was {
		out.Was = append(out.Was, e.record())
	}
	for _, ref := range u.gone {
		out.Gone = append(out.Gone, &record.Name{Kind: ref.Kind, Name: ref.Name})
	}
	return out
}

func undoOf(r *record.Undo) (undo, error) {
	var u undo
	for _, was := range r.GetWas() {
		e, err := entryOf(was)
		if err != nil {
			return undo{}, err
		}
		u.was = append(u.was, e)
	}
	for _, name := range r.GetGone() {
		u.gone = append(u.gone, revisions.Ref{Kind: name.GetKind(), Name: name.GetName()})
	}
	return u, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts a checksum before a message, over its key too: bbolt has none for its data.
func seal(key []byte, m proto.Message) ([]byte, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", m, err)
	}
	return append(binary.BigEndian.AppendUint32(nil, checksum(key, body)), body...), nil
}

func checksum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// unseal reads a message back.
func unseal(key, sealed []byte, m proto.Message) error {
	if len(sealed) < crc32.Size {
		return corruptf("the value of %q is cut short", key)
	}
	body := sealed[crc32.Size:]
	if binary.BigEndian.Uint32(sealed) != checksum(key, body) {
		return corruptf("the checksum of %q is wrong", key)
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return corruptf("the value of %q: %w", key, err)
	}
	return nil
}

func decodeEntry(k, v []byte) (entry, error) {
	var r record.Entry
	if err := unseal(k, v, &r); err != nil {
		return entry{}, err
	}
	e, err := entryOf(&r)
	if err == nil && !bytes.Equal(key(e.ref), k) {
		err = corruptf("%s is under the name %q", e.ref, k)
	}
	return e, err
}

func decodeUndo(k, v []byte) (undo, error) {
	var r record.Undo
	if err := unseal(k, v, &r); err != nil {
		return undo{}, err
	}
	return undoOf(&r)
}

// decodeRevision gives a header and the digest of the content that belongs to it.
func decodeRevision(k, v []byte) (revisions.Header, []byte, error) {
	var r record.Revision
	if err := unseal(k, v, &r); err != nil {
		return revisions.Header{}, nil, err
	}
	n, err := decodeNumber(k)
	if err != nil {
		return revisions.Header{}, nil, err
	}
	if r.GetNumber() != n || r.GetTime().CheckValid() != nil {
		return revisions.Header{}, nil, corruptf("revision %d is not what it says", n)
	}
	return revisions.Header{
		Number: n, Version: r.GetVersion(), Author: r.GetAuthor(), Reason: r.GetReason(), Time: r.GetTime().AsTime(),
		RollbackOf: r.GetRollbackOf(), Base: r.GetBase(), Changes: r.GetChanges(),
	}, r.GetContent(), nil
}

func revisionRecord(h revisions.Header, content []byte) *record.Revision {
	return &record.Revision{
		Number: h.Number, Version: h.Version, Author: h.Author, Reason: h.Reason, Time: timestamppb.New(h.Time),
		RollbackOf: h.RollbackOf, Base: h.Base, Changes: h.Changes, Content: content,
	}
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decodeNumber(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, corruptf("%q is not a number", b[:min(len(b), 16)])
	}
	return binary.BigEndian.Uint64(b), nil
}
