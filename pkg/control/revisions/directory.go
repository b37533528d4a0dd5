package revisions

import (
	"bytes"
	"errors"
	"fmt"
	"maps"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// ErrOwner says that a resource belongs to the other owner, who alone changes it. The
// errors that are ErrOwner say what to do instead.
var ErrOwner = errors.New("the resource belongs to another owner")

// ownerError is an ErrOwner with words of its own.
type ownerError string

func ownedf(format string, args ...any) error { return ownerError(fmt.Sprintf(format, args...)) }

func (e ownerError) Error() string { return string(e) }

func (e ownerError) Is(target error) bool { return target == ErrOwner }

// FromDirectory gives the set after the files of the directory were read: they replace what the
// directory owned. Resources of the API stay. A pinned resource stays, and a document that is kept
// out stays out, until its file changes: while the file in which it stands has the same documents
// as when the rollback was made, under whatever name. Once anything in it is new, be it another
// document, the file rules: whoever mends one document of a change would else find the rest of
// it held back. A resource that a rollback brought back and that no file has stays until one has it.
//
// Errors: config.Problems for documents that cannot be read or told apart; ErrOwner for names that
// the API owns; config.ErrEmpty where documents are known and the files say nothing at all any
// more, as a directory does that is not mounted. Files with only a comment are somebody's
// word that the directory is to be empty.
func FromDirectory(current Set, files []config.File) (Set, error) {
	documents, err := config.Split(files, config.MaxFileBytes)
	if err != nil {
		return Set{}, err
	}
	known := current.directory()
	if len(documents) == 0 && len(known) > 0 && wordless(files) {
		return Set{}, fmt.Errorf("%w in the directory, which had %d; to take them away on purpose, leave a file with a comment there", config.ErrEmpty, len(known))
	}
	before, next := current.draft(), newDraft()
	for ref, r := range before.resources {
		// What the directory does not have, it cannot change by still not having it.
		if r.inDirectory().IsZero() {
			next.resources[ref] = r
		}
	}
	was, is := filesOf(known), filesOf(standings(documents))
	var errs []error
	for _, d := range documents {
		r := fromFile(d)
		settled := maps.Equal(was[known[r.Ref].file], is[r.File])
		if err := next.read(before, r, settled); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return Set{}, told(errs)
	}
	return next.set(), nil
}

// wordless tells whether files hold nothing but white space.
func wordless(files []config.File) bool {
	for _, f := range files {
		if len(bytes.TrimSpace(f.Data)) > 0 {
			return false
		}
	}
	return true
}

// standings gives what documents say, by name.
func standings(documents []config.Document) map[Ref]standing {
	out := make(map[Ref]standing, len(documents))
	for _, d := range documents {
		out[Ref{d.Kind, d.Name}] = standing{file: d.File, digest: DigestOf(string(d.Text))}
	}
	return out
}

// filesOf gives the documents of each file.
func filesOf(all map[Ref]standing) map[string]map[Ref]Digest {
	out := map[string]map[Ref]Digest{}
	for ref, s := range all {
		if out[s.file] == nil {
			out[s.file] = map[Ref]Digest{}
		}
		out[s.file][ref] = s.digest
	}
	return out
}

// read takes a document of the directory into the next set. Its file is settled when it says
// what it said before.
func (d draft) read(before draft, r Resource, settled bool) error {
	if r.File == "" {
		return fmt.Errorf("%s stands in a file without a name", r.Ref)
	}
	digest := DigestOf(r.YAML)
	if out, ok := before.absent[r.Ref]; ok && settled && out.Overrides == digest {
		out.File, out.Line = r.File, r.Line
		d.absent[r.Ref] = out
		return nil
	}
	was, ok := before.resources[r.Ref]
	switch {
	case ok && was.Owner == API:
		return ownedf("%s:%d: %s belongs to the API; take it out of the file, or remove it by the API first", r.File, r.Line, r.Ref)
	case ok && settled && was.Pinned && was.Overrides == digest:
		was.File, was.Line = r.File, r.Line
		d.resources[r.Ref] = was
	default:
		d.resources[r.Ref] = r
	}
	return nil
}
