package revisions

import (
	"fmt"
	"iter"
	"strings"
)

// MaxChanges bounds what Changes gives; one more line counts the rest.
const MaxChanges = 1000

// Changes gives one line for each resource that differs from a to b, in order of
// kind and name: "+ Kind/name" for a new one, "- …" for one that is gone, "~ …" for
// another text. What else has changed about it follows in brackets. There is no
// line exactly if the sets are equal but for lines of files.
func Changes(a, b Set) []string {
	var out []string
	more := 0
	for c := range pairs(a, b) {
		line := c.line()
		switch {
		case line == "":
		case len(out) < MaxChanges:
			out = append(out, line)
		default:
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("… and %d more", more))
	}
	return out
}

// change is what two sets have under one name; nil for nothing.
type change struct {
	ref       Ref
	old, new  *Resource
	oldAbsent *Absence
	newAbsent *Absence
}

// pairs gives every name of two sets, in order.
func pairs(a, b Set) iter.Seq[change] {
	return func(yield func(change) bool) {
		for len(a.Resources)+len(a.Absent)+len(b.Resources)+len(b.Absent) > 0 {
			c := change{ref: first(a, b)}
			a.Resources, c.old = take(a.Resources, c.ref)
			b.Resources, c.new = take(b.Resources, c.ref)
			a.Absent, c.oldAbsent = take(a.Absent, c.ref)
			b.Absent, c.newAbsent = take(b.Absent, c.ref)
			if !yield(c) {
				return
			}
		}
	}
}

// first gives the least name of two sets, one of which has any.
func first(sets ...Set) Ref {
	var least *Ref
	consider := func(ref *Ref) {
		if least == nil || ref.Compare(*least) < 0 {
			least = ref
		}
	}
	for _, s := range sets {
		if len(s.Resources) > 0 {
			consider(&s.Resources[0].Ref)
		}
		if len(s.Absent) > 0 {
			consider(&s.Absent[0].Ref)
		}
	}
	return *least
}

// take gives the head of a sorted list if it has this name, and what comes after it.
func take[T interface{ Compare(other Ref) int }](list []T, ref Ref) ([]T, *T) {
	if len(list) == 0 || list[0].Compare(ref) != 0 {
		return list, nil
	}
	return list[1:], &list[0]
}

func (c change) line() string {
	sign := "~"
	switch {
	case c.old == nil && c.new != nil:
		sign = "+"
	case c.old != nil && c.new == nil:
		sign = "-"
	}
	notes := c.notes()
	if sign == "~" && len(notes) == 0 && !c.rewritten() {
		return ""
	}
	line := sign + " " + c.ref.String()
	if len(notes) > 0 {
		line += " (" + strings.Join(notes, ", ") + ")"
	}
	return line
}

func (c change) rewritten() bool {
	return c.old != nil && c.new != nil && c.old.YAML != c.new.YAML
}

// notes says what has changed besides the text.
func (c change) notes() []string {
	var out []string
	note := func(is bool, words string) {
		if is {
			out = append(out, words)
		}
	}
	var before, after Resource
	if c.old != nil {
		before = *c.old
	}
	if c.new != nil {
		after = *c.new
	}
	if c.old != nil && c.new != nil {
		note(before.Owner != after.Owner, "now of the "+after.Owner.String())
		note(before.Owner == after.Owner && before.File != after.File, "moved to "+after.File)
		note(before.Pinned && !after.Pinned, "no longer pinned")
	}
	note(after.Pinned && (!before.Pinned || before.Overrides != after.Overrides), "pinned")
	note(c.newAbsent != nil && (c.oldAbsent == nil || c.oldAbsent.Overrides != c.newAbsent.Overrides), "kept out")
	note(c.newAbsent != nil && c.oldAbsent != nil && c.oldAbsent.File != c.newAbsent.File, "kept out, moved to "+fileOf(c.newAbsent))
	note(c.newAbsent == nil && c.oldAbsent != nil, "no longer kept out")
	return out
}

func fileOf(a *Absence) string {
	if a == nil {
		return ""
	}
	return a.File
}
