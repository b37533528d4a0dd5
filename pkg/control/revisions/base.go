package revisions

import (
	"errors"
	"fmt"
)

// ErrStale says that changes were made against a revision that is not the newest one any more.
var ErrStale = errors.New("the base revision is not the newest one")

// StaleError tells what has happened since the base. It is ErrStale.
type StaleError struct {
	// Base is what the caller's changes were made against, Newest what there is now.
	Base, Newest uint64
	// Changes and Diff between the two; empty where Known is false.
	Changes []string
	Diff    string
	// Known: the base is still in the history.
	Known bool
}

// Error tells the numbers and, where it is known, the diff in between.
func (e *StaleError) Error() string {
	text := fmt.Sprintf("%v: it is %d, the newest is %d", ErrStale, e.Base, e.Newest)
	switch {
	case e.Base > e.Newest:
		return text + "; there is no such revision"
	case !e.Known:
		return text + "; the base is not in the history any more, so what has changed since is not known"
	case e.Diff == "":
		return text + "; nothing differs between their documents"
	default:
		return text + ", and this has changed since:\n" + e.Diff
	}
}

// Is tells that e is ErrStale.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// CheckBase compares the number that changes were made against with the newest revision; 0 is not checked.
// An error is a *StaleError. base is the revision of that number, nil where it is not kept any more.
func CheckBase(number uint64, base *Revision, newest Revision) error {
	if number == 0 || number == newest.Number {
		return nil
	}
	e := &StaleError{Base: number, Newest: newest.Number}
	if base != nil && base.Number == number {
		e.Known, e.Changes, e.Diff = true, Changes(base.Set, newest.Set), Diff(base.Set, newest.Set)
	}
	return e
}
