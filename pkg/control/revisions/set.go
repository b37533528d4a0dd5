package revisions

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Resource is one document of the configuration.
type Resource struct {
	Ref
	// Owner may change it.
	Owner Owner
	// File of the directory that holds the document of this name, or held it last;
	// empty for resources of the API.
	File string
	// Line of File on which that document begins, from 1; 0 where no file holds it.
	Line int
	// YAML is the document as it was written.
	YAML string
	// Pinned: a rollback or a promotion keeps YAML as it is until its file changes; see FromDirectory.
	Pinned bool
	// Overrides is what the directory said when it was pinned, and still says; zero for no document.
	Overrides Digest
}

// Absence is a document of the directory that a rollback keeps out, since the older revision
// had no resource of this name. It lasts until its file changes.
type Absence struct {
	Ref
	// File and Line where the document stands.
	File string
	Line int
	// Overrides is the document's text.
	Overrides Digest
}

// Set is the content of a revision: Resources and Absent are sorted by Ref, and no
// Ref occurs twice. The zero Set is empty. Sets are never changed in place, so they
// may be shared.
type Set struct {
	Resources []Resource
	Absent    []Absence
}

// Get gives the resource of a name.
func (s Set) Get(ref Ref) (Resource, bool) {
	i, ok := slices.BinarySearchFunc(s.Resources, ref, func(r Resource, ref Ref) int { return r.Compare(ref) })
	if !ok {
		return Resource{}, false
	}
	return s.Resources[i], true
}

// Pinned gives the names that a rollback holds against what the directory says: resources
// with other content, and documents that are kept out.
func (s Set) Pinned() []Ref {
	var out []Ref
	for _, r := range s.Resources {
		if r.Pinned {
			out = append(out, r.Ref)
		}
	}
	for _, a := range s.Absent {
		out = append(out, a.Ref)
	}
	slices.SortFunc(out, Ref.Compare)
	return out
}

// Validate tells what is wrong with a Set that was put together by hand or read from somewhere.
func (s Set) Validate() error {
	var errs []error
	bad := func(ref Ref, what string) { errs = append(errs, fmt.Errorf("%s %s", ref, what)) }
	for i, r := range s.Resources {
		if i > 0 && s.Resources[i-1].Compare(r.Ref) >= 0 {
			bad(r.Ref, "is twice in the set, or not in its place")
		}
		if err := r.wrong(); err != "" {
			bad(r.Ref, err)
		}
	}
	for i, a := range s.Absent {
		if i > 0 && s.Absent[i-1].Compare(a.Ref) >= 0 {
			bad(a.Ref, "is kept out twice, or not in its place")
		}
		if _, present := s.Get(a.Ref); present {
			bad(a.Ref, "is in the set and kept out of it")
		}
		if a.Kind == "" || a.Name == "" || a.File == "" || a.Line < 0 || a.Overrides.IsZero() {
			bad(a.Ref, "is kept out of nowhere")
		}
	}
	return told(errs)
}

func (r Resource) wrong() string {
	switch {
	case r.Kind == "" || r.Name == "":
		return "has no kind or no name"
	case r.Owner != Directory && r.Owner != API:
		return "has no owner"
	case r.Line < 0:
		return "has a negative line"
	case r.Owner == Directory && r.File == "":
		return "belongs to the directory but to no file"
	case r.Owner == API && (r.File != "" || r.Line != 0 || r.Pinned):
		return "belongs to the API and to a file"
	case !r.Pinned && !r.Overrides.IsZero():
		return "overrides a document without being pinned"
	case r.Pinned && r.Overrides == DigestOf(r.YAML):
		return "is pinned to what the directory says"
	}
	return ""
}

// standing is what the directory says about a name.
type standing struct {
	file   string
	line   int
	digest Digest
}

// directory gives what the files held when s was made, wherever a pin overrides it.
func (s Set) directory() map[Ref]standing {
	out := map[Ref]standing{}
	for _, r := range s.Resources {
		if digest := r.inDirectory(); !digest.IsZero() {
			out[r.Ref] = standing{r.File, r.Line, digest}
		}
	}
	for _, a := range s.Absent {
		out[a.Ref] = standing{a.File, a.Line, a.Overrides}
	}
	return out
}

// inDirectory gives the digest of the document that a file holds under this name, zero for none.
func (r Resource) inDirectory() Digest {
	switch {
	case r.Owner != Directory:
		return Digest{}
	case r.Pinned:
		return r.Overrides
	default:
		return DigestOf(r.YAML)
	}
}

// draft is a Set being made.
type draft struct {
	resources map[Ref]Resource
	absent    map[Ref]Absence
}

func newDraft() draft {
	return draft{map[Ref]Resource{}, map[Ref]Absence{}}
}

func (s Set) draft() draft {
	d := newDraft()
	for _, r := range s.Resources {
		d.resources[r.Ref] = r
	}
	for _, a := range s.Absent {
		d.absent[a.Ref] = a
	}
	return d
}

func (d draft) set() Set {
	return Set{
		Resources: slices.SortedFunc(maps.Values(d.resources), func(a, b Resource) int { return a.Compare(b.Ref) }),
		Absent:    slices.SortedFunc(maps.Values(d.absent), func(a, b Absence) int { return a.Compare(b.Ref) }),
	}
}

// maxTold bounds how many errors of one sort are told at once.
const maxTold = 20

// told joins errors, and counts those that are too many to be told.
func told(errs []error) error {
	if more := len(errs) - maxTold; more > 0 {
		errs = append(errs[:maxTold:maxTold], fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}
