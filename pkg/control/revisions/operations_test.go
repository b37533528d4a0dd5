package revisions_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// doc is a document of an MCPServer; what is in its comment tells texts apart.
func doc(name, says string) string {
	return fmt.Sprintf("kind: MCPServer # %s\nmetadata: {name: %s}\nspec: {regions: [{name: r, endpoints: [{address: 10.0.0.1:80}]}]}\n", says, name)
}

func file(name string, documents ...string) config.File {
	return config.File{Name: name, Data: []byte(strings.Join(documents, "---\n"))}
}

func ref(name string) revisions.Ref { return revisions.Ref{Kind: config.KindMCPServer, Name: name} }

// read, apply and back are the operations where they must succeed.
func read(t *testing.T, current revisions.Set, files ...config.File) revisions.Set {
	t.Helper()
	return whole(t)(revisions.FromDirectory(current, files))
}

func apply(t *testing.T, current revisions.Set, documents string, remove ...revisions.Ref) revisions.Set {
	t.Helper()
	resources, err := revisions.Documents(documents)
	if err != nil {
		t.Fatal(err)
	}
	return whole(t)(revisions.Apply(current, resources, remove))
}

func back(t *testing.T, current, old revisions.Set) revisions.Set {
	t.Helper()
	return whole(t)(revisions.Rollback(current, old), nil)
}

func whole(t *testing.T) func(revisions.Set, error) revisions.Set {
	t.Helper()
	return func(s revisions.Set, err error) revisions.Set {
		t.Helper()
		if err == nil {
			err = s.Validate()
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// show gives a set as one line a resource: name, owner, place, what its comment says, pin.
func show(s revisions.Set) string {
	var out strings.Builder
	for _, r := range s.Resources {
		_, says, _ := strings.Cut(r.YAML, "kind: MCPServer # ")
		says, _, _ = strings.Cut(says, "\n")
		fmt.Fprintf(&out, "%s of %s", r.Name, r.Owner)
		if r.File != "" {
			fmt.Fprintf(&out, " %s:%d", r.File, r.Line)
		}
		fmt.Fprintf(&out, ": %s", says)
		if r.Pinned {
			out.WriteString(" (pinned)")
		}
		out.WriteString("\n")
	}
	for _, a := range s.Absent {
		fmt.Fprintf(&out, "%s of directory %s:%d: kept out\n", a.Name, a.File, a.Line)
	}
	return out.String()
}

func expect(t *testing.T, s revisions.Set, lines ...string) {
	t.Helper()
	want := strings.Join(lines, "\n")
	if want != "" {
		want += "\n"
	}
	if diff := cmp.Diff(want, show(s)); diff != "" {
		t.Errorf("another set than expected:\n%s", diff)
	}
}

func TestDirectoryReplacesWhatItOwns(t *testing.T) {
	s := apply(t, revisions.Set{}, doc("search", "by hand"))
	s = read(t, s, file("a.yaml", doc("orders", "1"), doc("stock", "1")), file("b.yaml", doc("mail", "1")))
	expect(t, s, "mail of directory b.yaml:1: 1", "orders of directory a.yaml:1: 1", "search of api: by hand", "stock of directory a.yaml:5: 1")
	s = read(t, s, file("a.yaml", "# moved down\n"+doc("stock", "2")), file("c.yaml", doc("mail", "1")))
	expect(t, s, "mail of directory c.yaml:1: 1", "search of api: by hand", "stock of directory a.yaml:1: 2")
}

func TestDirectoryRefuses(t *testing.T) {
	current := read(t, apply(t, revisions.Set{}, doc("search", "by hand")+"---\n"+doc("stock", "by hand")), file("a.yaml", doc("orders", "1")))
	tests := map[string]struct {
		files []config.File
		is    error
		want  string
	}{
		"names of the API, all of them": {
			[]config.File{file("a.yaml", doc("orders", "1"), doc("search", "2")), file("b.yaml", doc("stock", "2"))},
			revisions.ErrOwner,
			"a.yaml:5: MCPServer/search belongs to the API; take it out of the file, or remove it by the API first\n" +
				"b.yaml:1: MCPServer/stock belongs to the API; take it out of the file, or remove it by the API first",
		},
		"a name in two files": {
			[]config.File{file("a.yaml", doc("orders", "1")), file("b.yaml", doc("orders", "1"))},
			nil,
			`b.yaml:2:18: metadata.name: there is an MCPServer "orders" already, in a.yaml:2:18`,
		},
		"no YAML": {[]config.File{file("a.yaml", "kind: [\n")}, nil, "a.yaml:2: not YAML: did not find expected node content"},
		"no files": {
			nil, config.ErrEmpty,
			"no resources found in the directory, which had 1; to take them away on purpose, leave a file with a comment there",
		},
		"files that were cut to nothing": {
			[]config.File{file("a.yaml", "\n")},
			config.ErrEmpty,
			"no resources found in the directory, which had 1; to take them away on purpose, leave a file with a comment there",
		},
		"a file without a name": {[]config.File{file("", doc("orders", "1"))}, nil, "MCPServer/orders stands in a file without a name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := revisions.FromDirectory(current, test.files)
			if err == nil || err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got the error\n%v\nwant\n%s", err, test.want)
			}
			expect(t, got)
		})
	}
}

func TestDirectoryMayBeEmptiedOnPurpose(t *testing.T) {
	s := read(t, apply(t, revisions.Set{}, doc("search", "by hand")), file("a.yaml", doc("orders", "1")))
	s = read(t, s, file("a.yaml", "# orders has moved to the API\n"))
	expect(t, s, "search of api: by hand")
	expect(t, read(t, s), "search of api: by hand")
}

func TestApply(t *testing.T) {
	s := read(t, revisions.Set{}, file("a.yaml", doc("orders", "1")))
	s = apply(t, s, doc("search", "1")+"---\n"+doc("stock", "1"))
	expect(t, s, "orders of directory a.yaml:1: 1", "search of api: 1", "stock of api: 1")
	s = apply(t, s, doc("stock", "2"), ref("search"), ref("search"))
	expect(t, s, "orders of directory a.yaml:1: 1", "stock of api: 2")
}

func TestApplyRefuses(t *testing.T) {
	old := read(t, revisions.Set{}, file("a.yaml", doc("orders", "1")))
	now := read(t, old, file("a.yaml", doc("orders", "2")), file("b.yaml", doc("stock", "1")), file("c.yaml", doc("mail", "1")))
	current := back(t, now, old)
	current = apply(t, read(t, current, file("a.yaml", doc("orders", "2")), file("b.yaml", doc("stock", "1")), file("c.yaml", doc("mail", "2"))), doc("search", "1"))
	expect(t, current, "mail of directory c.yaml:1: 2", "orders of directory a.yaml:1: 1 (pinned)", "search of api: 1", "stock of directory b.yaml:1: kept out")
	tests := map[string]struct {
		documents string
		remove    []revisions.Ref
		is        error
		want      string
	}{
		"what the directory has": {
			doc("mail", "3"), nil, revisions.ErrOwner,
			"MCPServer/mail belongs to the directory; change it in c.yaml, or take it out there first",
		},
		"what is pinned": {
			doc("orders", "3"), nil, revisions.ErrOwner,
			"MCPServer/orders belongs to the directory, pinned by a rollback or a promotion; change it in a.yaml, which ends that, or take it out there first",
		},
		"what is kept out": {
			doc("stock", "3"), nil, revisions.ErrOwner,
			"MCPServer/stock belongs to the directory: b.yaml holds it, and a rollback keeps it out until it is changed there",
		},
		"removals of the same, and of nothing": {
			"",
			[]revisions.Ref{ref("stock"), ref("mail"), ref("gone")},
			revisions.ErrNotFound,
			"MCPServer/stock belongs to the directory: b.yaml holds it, and a rollback keeps it out until it is changed there\n" +
				"MCPServer/mail belongs to the directory; change it in c.yaml, or take it out there first\n" +
				"no such resource: MCPServer/gone",
		},
		"giving and removing at once": {doc("search", "3"), []revisions.Ref{ref("search")}, nil, "MCPServer/search is given and removed at once"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			documents, err := revisions.Documents(test.documents)
			if err != nil {
				t.Fatal(err)
			}
			got, err := revisions.Apply(current, documents, test.remove)
			if err == nil || err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got the error\n%v\nwant\n%s", err, test.want)
			}
			expect(t, got)
		})
	}
	twice := []revisions.Resource{{Ref: ref("new")}, {Ref: ref("new")}}
	if _, err := revisions.Apply(current, twice, nil); err == nil || err.Error() != "MCPServer/new is given twice" {
		t.Errorf("one name twice: %v", err)
	}
}

func TestErrorsAreCounted(t *testing.T) {
	var remove []revisions.Ref
	for i := range 25 {
		remove = append(remove, ref(fmt.Sprint(i)))
	}
	_, err := revisions.Apply(revisions.Set{}, nil, remove)
	if err == nil || !strings.HasSuffix(err.Error(), "MCPServer/19\nand 5 more") {
		t.Errorf("25 errors are told as\n%v", err)
	}
}

func TestDocumentsSayWhereTheProblemIs(t *testing.T) {
	_, err := revisions.Documents(doc("orders", "1") + "---\nkind: MCPServer\n")
	if err == nil || !strings.HasPrefix(err.Error(), "documents:5:1: metadata: is missing") {
		t.Errorf("got %v", err)
	}
	large := strings.Repeat("#", revisions.MaxApplyBytes)
	if _, err := revisions.Documents(large); err != nil {
		t.Errorf("as large as is allowed: %v", err)
	}
	if _, err := revisions.Documents(large + "#"); err == nil || err.Error() != "documents: is larger than 4MiB; split it" {
		t.Errorf("too large: %v", err)
	}
}
