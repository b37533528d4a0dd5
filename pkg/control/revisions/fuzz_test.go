package revisions_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// FuzzSplit: whatever a file holds, cutting it ends without a panic; the documents are pieces of
// it in order, on the lines that they say; and where the file is a configuration, they are the same one,
// read from the same places.
func FuzzSplit(f *testing.F) {
	for _, pattern := range []string{"../../config/testdata/*/*.yaml", "../../../examples/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds at %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	server, route := doc("orders", "1"), "kind: MCPRoute\nmetadata: {name: r}\nspec: {servers: [{name: orders}]}\n"
	for _, between := range []string{"---\n", "...\n---\n", "# end\n---\n# begin\n", "%YAML 1.1\n---\n", "--- # more\n", "---\n---\n", "\r\n---\r\n", "\u2028---\u0085", "---\t\n\uFEFF"} {
		f.Add([]byte(server + between + route))
		f.Add([]byte("\uFEFF---\n" + route + between + server + between))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := config.File{Name: "f.yaml", Data: data}
		whole, wholeErr := config.Parse([]config.File{file})
		resources, err := revisions.Split(file)
		if err != nil {
			if wholeErr == nil {
				t.Errorf("a configuration that cannot be cut: %v", err)
			}
			return
		}
		rest := data
		for _, r := range resources {
			_, after, found := bytes.Cut(rest, []byte(r.YAML))
			if !found || r.YAML == "" {
				t.Fatalf("%s has a text that is not in the file where it should be: %q", r.Ref, r.YAML)
			}
			rest = after
		}
		if wholeErr != nil {
			return
		}
		again, err := config.Parse(revisions.Files(resources))
		if diff := cmp.Diff(whole, again); err != nil || diff != "" {
			t.Errorf("the documents are another configuration: %v\n%s", err, diff)
		}
	})
}
