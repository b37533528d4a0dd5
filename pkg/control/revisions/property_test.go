package revisions_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// placed is a document of a directory.
type placed struct{ file, text string }

// world is a directory and a history, driven by chance.
type world struct {
	*rand.Rand
	t         *testing.T
	directory map[string]placed // by name of the resource
	history   []revisions.Set
	steps     []string
}

const (
	worldNames = 5
	worldFiles = 3
	worldTexts = 3
)

func (w *world) name() string { return fmt.Sprintf("s%d", w.IntN(worldNames)) }
func (w *world) text(name string) string {
	return doc(name, fmt.Sprint("text ", w.IntN(worldTexts)))
}

func (w *world) now() revisions.Set { return w.history[len(w.history)-1] }

// files gives the directory as it is read. A file stays when its documents go.
func (w *world) files() []config.File {
	var out []config.File
	for i := range worldFiles {
		f := config.File{Name: fmt.Sprintf("f%d.yaml", i), Data: []byte("---\n# here\n---\n")}
		for _, name := range slices.Sorted(maps.Keys(w.directory)) {
			if in := w.directory[name]; in.file == f.Name {
				f.Data = append(f.Data, in.text+"---\n"...)
			}
		}
		out = append(out, f)
	}
	return out
}

// step does one thing at random. What is refused changes nothing.
func (w *world) step() {
	before := clone(w.history)
	var next revisions.Set
	var err error
	switch w.IntN(5) {
	case 0, 1:
		next, err = w.edit()
	case 2:
		next, err = w.apply()
	case 3:
		next, err = w.remove()
	default:
		next, err = w.rollback()
	}
	if !reflect.DeepEqual(before, w.history) {
		w.fail("an operation changed what it was given")
	}
	if err != nil {
		w.steps = append(w.steps, "  refused: "+err.Error())
		if !errors.Is(err, revisions.ErrOwner) && !errors.Is(err, revisions.ErrNotFound) || len(next.Resources)+len(next.Absent) > 0 {
			w.fail("an error of the wrong sort, or a set with it: %v", err)
		}
		return
	}
	w.check(next)
	w.history = append(w.history, next)
}

func clone(history []revisions.Set) []revisions.Set {
	out := make([]revisions.Set, len(history))
	for i, s := range history {
		out[i] = revisions.Set{Resources: slices.Clone(s.Resources), Absent: slices.Clone(s.Absent)}
	}
	return out
}

func (w *world) edit() (revisions.Set, error) {
	old := maps.Clone(w.directory)
	for range 1 + w.IntN(2) {
		name := w.name()
		if w.IntN(3) == 0 {
			delete(w.directory, name)
			w.steps = append(w.steps, "delete "+name)
			continue
		}
		w.directory[name] = placed{fmt.Sprintf("f%d.yaml", w.IntN(worldFiles)), w.text(name)}
		w.steps = append(w.steps, fmt.Sprintf("write %s %q", name, w.directory[name]))
	}
	next, err := revisions.FromDirectory(w.now(), w.files())
	if err != nil {
		// Whoever is told so takes the change back.
		w.directory = old
		return next, err
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		w.checkEdited(next, name, old[name], w.directory[name])
	}
	w.checkPins(next, old)
	return next, nil
}

// checkEdited makes sure that what the directory says anew is what holds.
func (w *world) checkEdited(next revisions.Set, name string, old, now placed) {
	r, present := next.Get(ref(name))
	switch {
	case old.text == now.text:
	case now.text == "" && present:
		w.fail("%s was deleted and is still there", name)
	case now.text != "" && (!present || r.YAML != now.text || r.Pinned):
		w.fail("%s was rewritten and does not hold", name)
	}
}

// checkPins makes sure that pins are there as before in files that have not changed, and in no other.
func (w *world) checkPins(next revisions.Set, old map[string]placed) {
	texts := func(directory map[string]placed, file string) string {
		var out string
		for _, name := range slices.Sorted(maps.Keys(directory)) {
			if directory[name].file == file {
				out += name + directory[name].text
			}
		}
		return out
	}
	was, is := w.now().Pinned(), next.Pinned()
	for name, in := range w.directory {
		before, had := old[name]
		settled := had && texts(old, before.file) == texts(w.directory, in.file)
		if now := slices.Contains(is, ref(name)); now != (settled && slices.Contains(was, ref(name))) {
			w.fail("%s is pinned: %t; its file is as it was: %t", name, now, settled)
		}
	}
}

func (w *world) apply() (revisions.Set, error) {
	name := w.name()
	w.steps = append(w.steps, "apply "+name)
	documents, err := revisions.Documents(w.text(name))
	if err != nil {
		return revisions.Set{}, err
	}
	next, err := revisions.Apply(w.now(), documents, nil)
	if _, has := w.directory[name]; has && err == nil {
		w.fail("the API took %s from the directory", name)
	}
	if r, _ := next.Get(ref(name)); err == nil && (r.Owner != revisions.API || r.YAML != documents[0].YAML) {
		w.fail("%s was applied and does not hold", name)
	}
	return next, err
}

func (w *world) remove() (revisions.Set, error) {
	name := w.name()
	w.steps = append(w.steps, "remove "+name)
	next, err := revisions.Apply(w.now(), nil, []revisions.Ref{ref(name)})
	if _, present := next.Get(ref(name)); err == nil && present {
		w.fail("%s was removed and is still there", name)
	}
	return next, err
}

func (w *world) rollback() (revisions.Set, error) {
	to := w.IntN(len(w.history))
	w.steps = append(w.steps, fmt.Sprint("roll back to ", to))
	next := revisions.Rollback(w.now(), w.history[to])
	if diff := revisions.Diff(w.history[to], next); diff != "" {
		w.fail("the content is not that of revision %d:\n%s", to, diff)
	}
	if len(next.Resources) != len(w.history[to].Resources) {
		w.fail("%d resources, not the %d of revision %d", len(next.Resources), len(w.history[to].Resources), to)
	}
	if len(revisions.Changes(next, revisions.Rollback(next, next))) > 0 {
		w.fail("rolling back to where one is changes something")
	}
	return next, nil
}

// check holds a set against the directory that it was made with.
func (w *world) check(s revisions.Set) {
	if err := s.Validate(); err != nil {
		w.fail("%v", err)
	}
	spoken := map[string]bool{}
	for _, r := range s.Resources {
		in, has := w.directory[r.Name]
		spoken[r.Name] = true
		switch {
		case r.Owner == revisions.API && has:
			w.fail("%s has two owners", r.Ref)
		case r.Owner == revisions.API:
		case !r.Pinned && (r.YAML != in.text || r.File != in.file):
			w.fail("%s is not what the directory says", r.Ref)
		case r.Pinned && has && r.Overrides != revisions.DigestOf(in.text), r.Pinned && has == r.Overrides.IsZero():
			w.fail("%s is pinned against what the directory does not say", r.Ref)
		case r.Pinned && has && r.YAML == in.text:
			w.fail("%s is pinned and does not differ", r.Ref)
		}
		if has && !strings.HasPrefix(lineOf(w.files(), in.file, r.Line), "kind: MCPServer") {
			w.fail("%s does not begin on line %d of %s", r.Ref, r.Line, in.file)
		}
	}
	for _, a := range s.Absent {
		spoken[a.Name] = true
		if in := w.directory[a.Name]; a.Overrides != revisions.DigestOf(in.text) || a.File != in.file {
			w.fail("%s is kept out against what the directory does not say", a.Ref)
		}
	}
	for name := range w.directory {
		if !spoken[name] {
			w.fail("%s of the directory is lost", name)
		}
	}
	again, err := revisions.FromDirectory(s, w.files())
	if diff := cmp.Diff(s, again); err != nil || diff != "" {
		w.fail("reading the same directory again changes something: %v\n%s", err, diff)
	}
	w.checkChanges(s)
}

func lineOf(files []config.File, name string, line int) string {
	for _, f := range files {
		if lines := strings.Split(string(f.Data), "\n"); f.Name == name && line > 0 && line <= len(lines) {
			return lines[line-1]
		}
	}
	return ""
}

// checkChanges makes sure that no difference is passed over, and none is made up.
func (w *world) checkChanges(s revisions.Set) {
	for _, old := range w.history {
		lines := revisions.Changes(old, s)
		if equal := reflect.DeepEqual(withoutLines(old), withoutLines(s)); equal != (len(lines) == 0) {
			w.fail("sets that are equal: %t; changes between them: %q", equal, lines)
		}
	}
}

func withoutLines(s revisions.Set) revisions.Set {
	s = clone([]revisions.Set{s})[0]
	for i := range s.Resources {
		s.Resources[i].Line = 0
	}
	for i := range s.Absent {
		s.Absent[i].Line = 0
	}
	return s
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n%s\nwith:\n%s", fmt.Sprintf(format, args...), strings.Join(w.steps, "\n"), show(w.now()))
}

// Whatever the directory, the API and rollbacks do in whatever order: every name has one owner, pins
// stand for differences that exist and end when the directory speaks, and a rollback
// brings back exactly what was.
func TestAnyHistory(t *testing.T) {
	refused, pinned := 0, 0
	for seed := range uint64(150) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, directory: map[string]placed{}, history: []revisions.Set{{}}}
		for range 30 {
			w.step()
			pinned += len(w.now().Pinned())
		}
		refused += 31 - len(w.history)
	}
	if refused < 100 || pinned < 1000 {
		t.Errorf("%d steps were refused and %d names pinned: too few to say anything", refused, pinned)
	}
}
