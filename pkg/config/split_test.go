package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

func split(t *testing.T, files ...config.File) []config.Document {
	t.Helper()
	documents, err := config.Split(files, config.MaxFileBytes)
	if err != nil {
		t.Fatal(err)
	}
	return documents
}

// parts are documents as files that Parse reads.
func parts(documents []config.Document) []config.File {
	out := make([]config.File, 0, len(documents))
	for _, d := range documents {
		out = append(out, config.File{Name: d.File, Data: d.Text, Line: d.Line})
	}
	return out
}

func TestSplitKeepsTheBytes(t *testing.T) {
	a, b := "kind: MCPServer\nmetadata: {name: a}\n", "kind: MCPRoute\nmetadata: {name: b}\n"
	tests := map[string]struct {
		file string
		// want is line and text of each document.
		want []string
	}{
		"one":                           {a, []string{"1 " + a}},
		"no newline at the end":         {a + "---\n" + strings.TrimSuffix(b, "\n"), []string{"1 " + a, "4 " + strings.TrimSuffix(b, "\n")}},
		"two":                           {a + "---\n" + b, []string{"1 " + a, "4 " + b}},
		"separators around":             {"---\n" + a + "--- \t\n" + b + "---\n", []string{"2 " + a, "5 " + b}},
		"blank documents":               {"---\n---\n# nothing\n---\n" + a + "---\n---\n" + b, []string{"5 " + a, "9 " + b}},
		"header before the first":       {"# licence\n\n---\n" + a, []string{"1 # licence\n\n---\n" + a}},
		"comments":                      {a + "# end of a\n---\n# about b\n\n" + b, []string{"1 " + a + "# end of a\n", "5 # about b\n\n" + b}},
		"a comment in the separator":    {a + "--- # b\n" + b, []string{"1 " + a, "3 --- # b\n" + b}},
		"content in the separator line": {a + "--- {kind: MCPRoute, metadata: {name: b}}\n", []string{"1 " + a, "3 --- {kind: MCPRoute, metadata: {name: b}}\n"}},
		"document ends":                 {a + "...\n---\n" + b + "...\n", []string{"1 " + a + "...\n", "5 " + b + "...\n"}},
		"directives":                    {"%YAML 1.1\n---\n" + a + "%YAML 1.1\n---\n" + b, []string{"1 %YAML 1.1\n---\n" + a, "5 %YAML 1.1\n---\n" + b}},
		"a separator within text":       {"kind: MCPServer\nmetadata: {name: a}\nspec: |\n  ---\n---\n" + b, []string{"1 kind: MCPServer\nmetadata: {name: a}\nspec: |\n  ---\n", "6 " + b}},
		"Windows line ends":             {"\uFEFFkind: MCPServer\r\nmetadata: {name: a}\r\n---\r\nkind: MCPRoute\r\nmetadata: {name: b}\r\n", []string{"1 \uFEFFkind: MCPServer\r\nmetadata: {name: a}\r\n", "4 kind: MCPRoute\r\nmetadata: {name: b}\r\n"}},
		"other line ends of YAML 1.1":   {"kind: MCPServer\u2028metadata: {name: a}\u0085---\rkind: MCPRoute\u2029metadata: {name: b}", []string{"1 kind: MCPServer\u2028metadata: {name: a}\u0085", "4 kind: MCPRoute\u2029metadata: {name: b}"}},
		"nothing":                       {"# nothing yet\n", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			documents := split(t, config.File{Name: "f.yaml", Data: []byte(test.file)})
			var got []string
			for i, d := range documents {
				got = append(got, fmt.Sprintf("%d %s", d.Line, d.Text))
				if id, want := d.Kind+"/"+d.Name, []string{"MCPServer/a", "MCPRoute/b"}[i]; d.File != "f.yaml" || id != want {
					t.Errorf("document %d is %s of %s, want %s of f.yaml", i, id, d.File, want)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The parts mean what the whole means, and their problems are at the same places.
func TestSplitAndParse(t *testing.T) {
	for _, dir := range []string{"testdata/valid", "testdata/invalid"} {
		for _, input := range cases(t, dir) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			// Another file before it, so that no position is right by chance.
			file := config.File{Name: filepath.Base(input), Data: append([]byte("# first\n---\n"), data...)}
			whole, wholeErr := config.Parse([]config.File{file})
			documents, err := config.Split([]config.File{file}, config.MaxFileBytes)
			if err != nil {
				among(t, input, err, wholeErr)
				continue
			}
			again, againErr := config.Parse(parts(documents))
			if fmt.Sprint(againErr) != fmt.Sprint(wholeErr) {
				t.Errorf("%s: the parts have the problems\n%v\nthe whole has\n%v", input, againErr, wholeErr)
			}
			if diff := cmp.Diff(whole, again); diff != "" {
				t.Errorf("%s: the parts mean something else:\n%s", input, diff)
			}
		}
	}
}

// among checks that Split says nothing that Parse does not say.
func among(t *testing.T, input string, err, parsed error) {
	t.Helper()
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) == 0 || parsed == nil {
		t.Errorf("%s: Split says %v, Parse %v", input, err, parsed)
		return
	}
	for _, p := range problems {
		if !strings.Contains(parsed.Error(), p.String()) {
			t.Errorf("%s: Split says %s, and Parse does not", input, p)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	tests := map[string]struct {
		files []config.File
		limit int
		want  string
	}{
		"a name twice, in two files": {
			[]config.File{{Name: "b.yaml", Data: []byte(serverYAML)}, {Name: "a.yaml", Data: []byte("---\n" + serverYAML)}},
			config.MaxFileBytes,
			`a.yaml:3:18: metadata.name: there is an MCPServer "orders" already, in b.yaml:2:18`,
		},
		"a name that is missing, with all else that is wrong": {
			[]config.File{{Name: "a.yaml", Data: []byte("kind: MCPRoute\nmetadata: {}\nspec: {servers: [{name: gone}], timeout: x}\n")}},
			config.MaxFileBytes,
			"a.yaml:2:11: metadata.name: is missing\na.yaml:3:42: spec.timeout: \"x\" is not a duration; write it like 800ms, 2s or 1h30m",
		},
		"a file larger than the limit": {
			[]config.File{{Name: "a.yaml", Data: []byte(serverYAML)}},
			16,
			"a.yaml: is larger than 16; split it",
		},
		"too many files": {
			make([]config.File, config.MaxFiles+1), config.MaxFileBytes,
			"1001 files are more than the allowed 1000",
		},
		"too many documents": {
			[]config.File{{Name: "a.yaml", Data: manyDocuments(config.MaxDocuments + 1)}},
			config.MaxTotalBytes,
			"20001 documents are more than the allowed 20000",
		},
		"a second byte order mark": {
			[]config.File{{Name: "a.yaml", Data: []byte(serverYAML + "---\n\uFEFF" + routeYAML)}},
			config.MaxFileBytes,
			`a.yaml:5:1: kind: is missing; it is Gateway, MCPServer or MCPRoute`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			documents, err := config.Split(test.files, test.limit)
			if err == nil || err.Error() != test.want || documents != nil {
				t.Errorf("got %d documents and\n%v\nwant\n%s", len(documents), err, test.want)
			}
		})
	}
}

func manyDocuments(n int) []byte {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "---\n{kind: MCPServer, metadata: {name: s%d}}\n", i)
	}
	return []byte(out.String())
}

func TestParseBoundsParts(t *testing.T) {
	files := make([]config.File, config.MaxDocuments+1)
	for i := range files {
		files[i].Line = 1
	}
	if _, err := config.Parse(files); err == nil || !strings.Contains(err.Error(), "20001 documents") {
		t.Errorf("too many parts: %v", err)
	}
	if _, err := config.Parse(files[1:]); !errors.Is(err, config.ErrEmpty) {
		t.Errorf("as many parts as are allowed: %v", err)
	}
}
