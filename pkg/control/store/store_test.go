package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child(os.Getenv(childEnv), os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string, opts store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func ref(name string) revisions.Ref { return revisions.Ref{Kind: "MCPServer", Name: name} }

func byAPI(name, text string) revisions.Resource {
	return revisions.Resource{Ref: ref(name), Owner: revisions.API, YAML: text}
}

var start = time.Date(2026, 11, 21, 6, 30, 0, 123456789, time.UTC)

// next makes the revision after prev.
func next(t *testing.T, prev *revisions.Revision, set revisions.Set) revisions.Revision {
	t.Helper()
	rev, err := revisions.Next(prev, set, revisions.Origin{Version: "v", Author: "test", Time: start})
	if err != nil {
		t.Fatal(err)
	}
	rev.Version = fmt.Sprint("v", rev.Number)
	rev.Time = start.Add(time.Duration(rev.Number) * time.Minute)
	return rev
}

func mustAppend(t *testing.T, s *store.Store, rev revisions.Revision) {
	t.Helper()
	n, err := s.Append(rev)
	if err != nil {
		t.Fatal(err)
	}
	if n != rev.Number {
		t.Fatalf("revision %d has got the number %d", rev.Number, n)
	}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s:\n%s", what, diff)
	}
}

func TestEveryFieldIsKept(t *testing.T) {
	set := revisions.Set{
		Resources: []revisions.Resource{
			{Ref: ref("a"), Owner: revisions.Directory, File: "a.yaml", Line: 7, YAML: "# ü\r\nkind: x"},
			{Ref: ref("b"), Owner: revisions.Directory, File: "a.yaml", Line: 9, YAML: "b", Pinned: true, Overrides: revisions.DigestOf("c")},
			{Ref: ref("c"), Owner: revisions.Directory, File: "gone.yaml", YAML: "c", Pinned: true},
			byAPI("d", ""),
		},
		Absent: []revisions.Absence{{Ref: ref("e"), File: "a.yaml", Line: 11, Overrides: revisions.DigestOf("e")}},
	}
	header := revisions.Header{
		Number: 2, Version: "v2", Author: "anu", Reason: "अच्छा", Time: start, RollbackOf: 1, Base: 1, Changes: []string{"+ MCPServer/a", "~ MCPServer/b"},
	}
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	mustAppend(t, s, next(t, nil, revisions.Set{}))
	want := revisions.Revision{Header: header, Set: set}
	mustAppend(t, s, want)
	shut(t, s)
	s = open(t, dir, store.Options{})
	got, err := s.Head()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the newest revision", want, got)
	if got, err = s.Get(1); err != nil {
		t.Fatal(err)
	}
	same(t, "an empty revision", next(t, nil, revisions.Set{}), got)
}

func TestNumbers(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	unnumbered := revisions.Revision{Header: revisions.Header{Author: "test", Time: start}}
	for want := range uint64(3) {
		if n, err := s.Append(unnumbered); err != nil || n != want+1 {
			t.Fatalf("got %d, %v, want %d", n, err, want+1)
		}
	}
	for _, n := range []uint64{1, 3, 5} {
		rev := unnumbered
		rev.Number = n
		if _, err := s.Append(rev); !errors.Is(err, store.ErrNumber) || !strings.Contains(err.Error(), fmt.Sprintf("it is %d, the newest is 3", n)) {
			t.Errorf("revision %d after 3: %v", n, err)
		}
	}
	for _, test := range []struct {
		bad  revisions.Revision
		want string
	}{
		{revisions.Revision{}, "a revision needs an author"},
		{revisions.Revision{Header: revisions.Header{Author: "a", Base: 4}}, "revision 4 cannot build on revision 4"},
		{revisions.Revision{Header: unnumbered.Header, Set: revisions.Set{Resources: []revisions.Resource{byAPI("a", ""), byAPI("a", "")}}}, "twice"},
	} {
		if _, err := s.Append(test.bad); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	if head, err := s.Head(); err != nil || head.Number != 3 {
		t.Errorf("the newest is %d, %v", head.Number, err)
	}
}

func TestNotFound(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{Keep: 2})
	check := func(want string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrNotFound) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err := s.Head()
	check("reading the newest revision: no such revision: there is none yet", err)
	_, err = s.Get(1)
	check("reading revision 1: no such revision: there is none yet", err)
	var rev revisions.Revision
	for range 4 {
		rev = next(t, &rev, revisions.Set{})
		mustAppend(t, s, rev)
	}
	_, err = s.Get(0)
	check("reading revision 0: no such revision: the newest is 4", err)
	_, err = s.Get(5)
	check("reading revision 5: no such revision: the newest is 4", err)
	_, err = s.Get(2)
	check("reading revision 2: no such revision: the oldest that is kept is 3", err)
}

func TestList(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{Keep: 25})
	if got, err := s.List(0, 5); err != nil || len(got) > 0 {
		t.Errorf("an empty store lists %v, %v", got, err)
	}
	var rev revisions.Revision
	for range 30 {
		rev = next(t, &rev, revisions.Set{})
		mustAppend(t, s, rev)
	}
	for _, test := range []struct {
		before      uint64
		limit       int
		first, last uint64
	}{
		{0, 3, 30, 28}, {0, 0, 30, 11}, {28, 2, 27, 26}, {8, 100, 7, 6}, {0, 100_000, 30, 6}, {99, 1, 30, 30}, {6, 5, 0, 0}, {1, 5, 0, 0},
	} {
		got, err := s.List(test.before, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		var want []uint64
		for n := test.first; n >= test.last && n > 0; n-- {
			want = append(want, n)
		}
		var numbers []uint64
		for _, h := range got {
			numbers = append(numbers, h.Number)
		}
		if !slices.Equal(numbers, want) {
			t.Errorf("before %d, at most %d: got %v, want %v", test.before, test.limit, numbers, want)
		}
	}
	got, err := s.List(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a header", []revisions.Header{rev.Header}, got)
}

// randomSet changes a few of the names of a set.
func randomSet(r *rand.Rand, s revisions.Set) revisions.Set {
	byName := map[string]revisions.Resource{}
	for _, res := range s.Resources {
		byName[res.Name] = res
	}
	for range 1 + r.IntN(3) {
		name := fmt.Sprintf("s%d", r.IntN(8))
		text := fmt.Sprintf("text %d", r.IntN(4))
		switch r.IntN(5) {
		case 0:
			delete(byName, name)
		case 1:
			byName[name] = revisions.Resource{Ref: ref(name), Owner: revisions.Directory, File: "a.yaml", Line: r.IntN(9), YAML: text}
		case 2:
			byName[name] = revisions.Resource{Ref: ref(name), Owner: revisions.Directory, File: "a.yaml", Line: 1, YAML: text, Pinned: true}
		default:
			byName[name] = byAPI(name, text)
		}
	}
	out := revisions.Set{}
	for i := range 8 {
		if res, ok := byName[fmt.Sprintf("s%d", i)]; ok {
			out.Resources = append(out.Resources, res)
		} else if r.IntN(3) == 0 {
			out.Absent = append(out.Absent, revisions.Absence{Ref: ref(fmt.Sprintf("s%d", i)), File: "b.yaml", Line: r.IntN(5), Overrides: revisions.DigestOf("b")})
		}
	}
	return out
}

// unlined is a revision without lines, which the store keeps for the newest one alone.
func unlined(rev revisions.Revision) revisions.Revision {
	rev.Resources, rev.Absent = slices.Clone(rev.Resources), slices.Clone(rev.Absent)
	for i := range rev.Resources {
		rev.Resources[i].Line = 0
	}
	for i := range rev.Absent {
		rev.Absent[i].Line = 0
	}
	return rev
}

// Whatever the history, each revision that is kept reads back as it was written, and the
// store finds nothing wrong with itself.
func TestAnyHistory(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 11))
		dir, opts := t.TempDir(), store.Unsynced(store.Options{Keep: 5 + r.IntN(20)})
		s := open(t, dir, opts)
		history := []revisions.Revision{{}}
		for range 60 {
			newest := history[len(history)-1]
			set := randomSet(r, newest.Set)
			if r.IntN(5) == 0 {
				set = history[r.IntN(len(history))].Set
			}
			rev := next(t, &newest, set)
			mustAppend(t, s, rev)
			history = append(history, rev)
			if r.IntN(6) == 0 {
				shut(t, s)
				s = open(t, dir, opts)
			}
			checkHistory(t, s, history, opts.Keep)
		}
		shut(t, s)
	}
}

func checkHistory(t *testing.T, s *store.Store, history []revisions.Revision, keep int) {
	t.Helper()
	newest := len(history) - 1
	head, err := s.Head()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the newest revision", history[newest], head)
	for n := 1; n <= newest; n++ {
		got, err := s.Get(uint64(n))
		if n <= newest-keep {
			if !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("revision %d of %d is still kept: %v", n, newest, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("revision %d of %d", n, newest), unlined(history[n]), unlined(got))
	}
}

func TestTextsAreBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Unsynced(store.Options{KeepBytes: 10_000}))
	rev := revisions.Revision{}
	for i := range 20 {
		rev = next(t, &rev, revisions.Set{Resources: []revisions.Resource{byAPI("a", strings.Repeat(fmt.Sprintf("%03d\n", i), 500)), byAPI("b", "it stays")}})
		mustAppend(t, s, rev)
	}
	listed := func() (numbers []uint64) {
		headers, err := s.List(0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			numbers = append(numbers, h.Number)
		}
		return numbers
	}
	if got := listed(); !slices.Equal(got, []uint64{20, 19, 18, 17}) {
		t.Errorf("kept are %v, want the four whose texts have no more than 10000 bytes", got)
	}
	rev = next(t, &rev, revisions.Set{Resources: []revisions.Resource{byAPI("a", strings.Repeat("x", 20_000))}})
	mustAppend(t, s, rev)
	if got := listed(); !slices.Equal(got, []uint64{21}) {
		t.Errorf("kept are %v, want the newest alone, which is too large by itself", got)
	}
	shut(t, s)
	s = open(t, dir, store.Options{})
	head, err := s.Head()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the newest revision", rev, head)
}

func TestConcurrentUse(t *testing.T) {
	s := open(t, t.TempDir(), store.Unsynced(store.Options{Keep: 10}))
	unnumbered := revisions.Revision{Header: revisions.Header{Author: "test", Time: start}}
	if _, err := s.Append(unnumbered); err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for i := range 4 {
		workers.Go(func() {
			for range 50 {
				rev := unnumbered
				rev.Resources = []revisions.Resource{byAPI("a", fmt.Sprint(i))}
				n, err := s.Append(rev)
				if err != nil {
					t.Error(err)
				}
				head, err := s.Head()
				if err != nil || head.Number < n {
					t.Errorf("after revision %d the newest is %d: %v", n, head.Number, err)
				}
				if _, err := s.List(0, 5); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	if head, err := s.Head(); err != nil || head.Number != 201 {
		t.Errorf("the newest is %d: %v", head.Number, err)
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir, store.Options{})
	mode := func(path string, want os.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	mode(dir, 0o700)
	path := filepath.Join(dir, store.FileName)
	mode(path, 0o600)
	mode(filepath.Join(dir, store.LockName), 0o600)
	shut(t, s)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, dir, store.Options{})
	mode(path, 0o600)
}

func TestOptions(t *testing.T) {
	for _, opts := range []store.Options{{Keep: -1}, {Keep: store.MaxKeep + 1}, {KeepBytes: -1}, {LockTimeout: -1}} {
		if _, err := store.Open(t.Context(), t.TempDir(), opts); err == nil {
			t.Errorf("%+v was taken", opts)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	shut(t, s)
	if _, err := s.Append(next(t, nil, revisions.Set{})); err == nil {
		t.Error("a revision was appended to a closed store")
	}
	if _, err := s.Head(); err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		t.Errorf("a closed store says %v", err)
	}
}
