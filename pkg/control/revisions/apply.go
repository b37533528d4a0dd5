package revisions

import (
	"errors"
	"fmt"
)

// ErrNotFound says that there is no such resource.
var ErrNotFound = errors.New("no such resource")

// Apply gives the set after documents, as Documents cuts them, were created or replaced and others
// removed by the API. What is not named stays as it is.
//
// Errors, all of them told at once: ErrOwner for names that a file of the directory holds, pinned or
// kept out though they may be; ErrNotFound for removals of what is not there; and names that are given twice. A resource
// that a rollback brought back although no file holds it any more has nobody in the directory to
// change it, so the API may take it over.
func Apply(current Set, documents []Resource, remove []Ref) (Set, error) {
	next := current.draft()
	var errs []error
	given := map[Ref]bool{}
	for _, d := range documents {
		err := next.foreign(d.Ref)
		if given[d.Ref] {
			err = fmt.Errorf("%s is given twice", d.Ref)
		}
		given[d.Ref] = true
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.resources[d.Ref] = Resource{Ref: d.Ref, Owner: API, YAML: d.YAML}
	}
	removed := map[Ref]bool{}
	for _, ref := range remove {
		if removed[ref] {
			continue
		}
		removed[ref] = true
		if err := next.remove(ref, given[ref]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return Set{}, told(errs)
	}
	return next.set(), nil
}

func (d draft) remove(ref Ref, given bool) error {
	if given {
		return fmt.Errorf("%s is given and removed at once", ref)
	}
	if err := d.foreign(ref); err != nil {
		return err
	}
	if _, ok := d.resources[ref]; !ok {
		return fmt.Errorf("%w: %s", ErrNotFound, ref)
	}
	delete(d.resources, ref)
	return nil
}

// foreign says why the API must not touch a name.
func (d draft) foreign(ref Ref) error {
	if out, ok := d.absent[ref]; ok {
		return ownedf("%s belongs to the directory: %s holds it, and a rollback keeps it out until it is changed there", ref, out.File)
	}
	r, ok := d.resources[ref]
	switch {
	case !ok || r.inDirectory().IsZero():
		return nil
	case r.Pinned:
		return ownedf("%s belongs to the directory, pinned by a rollback or a promotion; change it in %s, which ends that, or take it out there first", ref, r.File)
	default:
		return ownedf("%s belongs to the directory; change it in %s, or take it out there first", ref, r.File)
	}
}
