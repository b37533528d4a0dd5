package apiclient

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

func doc(name string) string {
	return "kind: MCPServer\nmetadata: {name: " + name + "}\n"
}

func file(name string, text ...string) config.File {
	return config.File{Name: name, Data: []byte(strings.Join(text, ""))}
}

func TestJoin(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []config.File
		want  string
		// at are the lines of the joined text with the places that they come from.
		at map[int]string
	}{
		{"one", []config.File{file("a", doc("x"))}, doc("x"), map[int]string{1: "a:1", 2: "a:2"}},
		{
			"several in files",
			[]config.File{file("a", "---\n", doc("x"), "---\n", doc("y")), file("b", doc("z"))},
			doc("x") + "---\n" + doc("y") + "---\n" + doc("z"),
			map[int]string{1: "a:2", 4: "a:5", 8: "b:2"},
		},
		{
			"no line end",
			[]config.File{file("a", strings.TrimSpace(doc("x"))), file("b", doc("y"))},
			doc("x") + "---\n" + doc("y"),
			map[int]string{2: "a:2", 4: "b:1"},
		},
		{
			"comments before the separator stay with their document",
			[]config.File{file("a", doc("x")), file("b", "# licence\n---\n", doc("y"))},
			doc("x") + "---\n# licence\n\n" + doc("y"),
			map[int]string{4: "b:1", 6: "b:3"},
		},
		{
			"directives",
			[]config.File{file("a", doc("x")), file("b", "%YAML 1.1\n---\n", doc("y"))},
			doc("x") + "...\n%YAML 1.1\n---\n" + doc("y"),
			map[int]string{6: "b:3"},
		},
		{"byte order marks", []config.File{file("a", "\uFEFF", doc("x")), file("b", "\uFEFF", doc("y"))}, doc("x") + "---\n" + doc("y"), nil},
		{"blank ones", []config.File{file("a", "# nothing\n"), file("b", "---\n---\n", doc("y"), "---\n")}, doc("y"), map[int]string{1: "b:3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Join(test.files)
			if err != nil {
				t.Fatal(err)
			}
			if got.Text != test.want {
				t.Errorf("joined\n%s\nwant\n%s", got.Text, test.want)
			}
			for line, place := range test.at {
				if said := got.Relocate(fmt.Sprintf("documents:%d:7: words", line)); said != place+":7: words" {
					t.Errorf("line %d is %s, want %s", line, said, place)
				}
			}
			again, err := config.Split([]config.File{{Name: "again", Data: []byte(got.Text)}}, MaxDocumentBytes)
			if err != nil || len(again) != len(got.Parts) {
				t.Fatalf("split again it is %d documents, %v", len(again), err)
			}
			for i, d := range again {
				if d.Name != got.Parts[i].Ref.GetName() {
					t.Errorf("document %d is %s, want %s", i, d.Name, got.Parts[i].Ref.GetName())
				}
			}
		})
	}
}

func TestJoinRefuses(t *testing.T) {
	for name, files := range map[string][]config.File{
		"a.yaml:1:7":                             {file("a.yaml", "kind: Nothing\n")},
		"there is no resource in what was given": {file("a", "# only words\n")},
		"already":                                {file("a", doc("x")), file("b", doc("x"))},
		"UTF-8":                                  {file("a", doc("x")+"# \xff")},
	} {
		if _, err := Join(files); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("it says %v, want %s", err, name)
		}
	}
	var problems config.Problems
	if _, err := Join([]config.File{file("a", doc("x"), "---\n", "[")}); !errors.As(err, &problems) {
		t.Errorf("%v is not Problems", err)
	}
	var large []config.File
	for i := range 5 {
		large = append(large, file(fmt.Sprint(i), doc(fmt.Sprint("n", i)), "# ", strings.Repeat("x", 1<<20-100)))
	}
	if _, err := Join(large); err == nil || !strings.Contains(err.Error(), "apply them in parts") {
		t.Errorf("5 MiB: %v", err)
	}
}

func TestRelocate(t *testing.T) {
	d, err := Join([]config.File{file("dir/a.yaml", "\n", doc("x")), file("dir/b.yaml", doc("y"), "---\n", doc("z"))})
	if err != nil {
		t.Fatal(err)
	}
	for said, want := range map[string]string{
		"api:MCPServer/x:2:3: spec: no":             "dir/a.yaml:2:3: spec: no",
		"api:MCPServer/z:2:3: spec: no\nmore words": "dir/b.yaml:5:3: spec: no\nmore words",
		"api:MCPServer/y:1: no":                     "dir/b.yaml:1: no",
		"api:MCPServer/other:2:3: spec: no":         "api:MCPServer/other:2:3: spec: no",
		"orders.yaml:2:3: spec: no":                 "orders.yaml:2:3: spec: no",
		"documents:99999999999999999999:1: odd":     "documents:99999999999999999999:1: odd",
		"documents:0:1: odd":                        "documents:0:1: odd",
		"":                                          "",
	} {
		if got := d.Relocate(said); got != want {
			t.Errorf("%q becomes %q, want %q", said, got, want)
		}
	}
}

// FuzzJoin: what is joined is the same documents, whatever was in the files.
func FuzzJoin(f *testing.F) {
	f.Add(doc("x"), "# a\n---\n"+doc("y"))
	f.Add("%YAML 1.1\n---\n"+doc("x"), "%TAG ! tag:x,1:\n--- # y\n"+doc("y")+"...\n")
	f.Add("--- {kind: MCPServer, metadata: {name: x}}\n...\n", "\uFEFF"+doc("y"))
	f.Add(doc("x")+"...", "# c\n--- \n"+doc("y")+"--- |\n text\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		d, err := Join([]config.File{file("a", a), file("b", b)})
		if err != nil {
			return
		}
		again, err := config.Split([]config.File{{Name: "again", Data: []byte(d.Text)}}, MaxDocumentBytes)
		if err != nil {
			t.Fatalf("the joined text is refused: %v\n%q", err, d.Text)
		}
		if len(again) != len(d.Parts) {
			t.Fatalf("%d documents became %d\n%q", len(d.Parts), len(again), d.Text)
		}
		for i, p := range d.Parts {
			if again[i].Kind != p.Ref.GetKind() || again[i].Name != p.Ref.GetName() {
				t.Errorf("document %d is %s/%s, want %v\n%q", i, again[i].Kind, again[i].Name, p.Ref, d.Text)
			}
		}
	})
}
