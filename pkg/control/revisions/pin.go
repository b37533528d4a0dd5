package revisions

import "fmt"

// Rewrite gives the set with another text of one resource, whoever owns it. One of the directory is pinned to it until
// its file changes, as by a rollback; see FromDirectory. ErrNotFound: there is no such resource.
func Rewrite(current Set, ref Ref, text string) (Set, error) {
	next := current.draft()
	r, ok := next.resources[ref]
	if !ok {
		return Set{}, fmt.Errorf("%w: %s", ErrNotFound, ref)
	}
	if r.Owner == Directory {
		in := r.inDirectory()
		r.Pinned, r.Overrides = true, in
		if in == DigestOf(text) {
			r.Pinned, r.Overrides = false, Digest{}
		}
	}
	r.YAML = text
	next.resources[ref] = r
	return next.set(), nil
}
