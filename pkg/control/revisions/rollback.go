package revisions

// Rollback gives a set with the content of an older one: the same resources with the same texts.
// Owners are those of now: the directory owns what its files hold, the API what it owned, and
// either what it owned then where nobody has it now. Where the directory says something else than
// the old set, the resource is pinned; where the old set had nothing, the document is kept out.
// See FromDirectory for how long.
func Rollback(current, old Set) Set {
	next, files := newDraft(), current.directory()
	for _, r := range old.Resources {
		next.resources[r.Ref] = broughtBack(current, files, r)
	}
	for ref, in := range files {
		if _, ok := next.resources[ref]; !ok {
			next.absent[ref] = Absence{Ref: ref, File: in.file, Line: in.line, Overrides: in.digest}
		}
	}
	return next.set()
}

func broughtBack(current Set, files map[Ref]standing, r Resource) Resource {
	out := Resource{Ref: r.Ref, Owner: Directory, YAML: r.YAML}
	if in, ok := files[r.Ref]; ok {
		out.File, out.Line = in.file, in.line
		if in.digest != DigestOf(r.YAML) {
			out.Pinned, out.Overrides = true, in.digest
		}
		return out
	}
	last := r
	if now, ok := current.Get(r.Ref); ok {
		last = now
	}
	if last.Owner == API {
		out.Owner = API
		return out
	}
	out.File, out.Pinned = last.File, true
	return out
}
