package config_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// alike compares what an index and Parse make of the same files.
func alike(t *testing.T, x *config.Index, files []config.File) {
	t.Helper()
	want, wantErr := config.Parse(files)
	got, err := x.Parse(files)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || !reflect.DeepEqual(err, wantErr) {
		t.Fatalf("the index says\n%v\nParse says\n%v", err, wantErr)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("the index gives something else (-Parse +Index):\n%s", cmp.Diff(want, got))
	}
}

// everyPart gives the documents of all test files, one by one where they can be cut.
func everyPart(t *testing.T) [][]config.File {
	t.Helper()
	var out [][]config.File
	for _, dir := range []string{"testdata/valid", "testdata/invalid"} {
		for _, input := range cases(t, dir) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			file := config.File{Name: filepath.Base(input), Data: data}
			out = append(out, []config.File{file})
			if documents, err := config.Split([]config.File{file}, config.MaxFileBytes); err == nil {
				out = append(out, parts(documents))
			}
		}
	}
	return out
}

// Each configuration right after it was seen, and after others were.
func TestIndexOfEveryCase(t *testing.T) {
	var all, each config.Index
	for _, files := range everyPart(t) {
		alike(t, &all, files)
		each = config.Index{}
		// What is faulty together may be without a fault piece by piece.
		for i := range files {
			alike(t, &each, files[:i+1])
		}
		alike(t, &each, files)
		alike(t, &all, files)
	}
}

// TestIndexOfAnyEdits mixes documents of all cases, edits them, moves and renames them: an
// index that has seen it all gives what Parse gives of the files alone.
func TestIndexOfAnyEdits(t *testing.T) {
	var pool []config.File
	for _, files := range everyPart(t) {
		pool = append(pool, files...)
	}
	server := func(r *rand.Rand) config.File {
		n := r.IntN(12)
		return config.File{Name: fmt.Sprintf("s%d.yaml", n%3), Line: 1 + r.IntN(3), Data: fmt.Appendf(nil,
			"kind: MCPServer\nmetadata: {name: s%d}\nspec:\n  connectTimeout: %dms\n  regions: [{name: r%d, endpoints: [{address: \"127.0.0.1:%d\"}]}]\n",
			n, 100+r.IntN(3), r.IntN(2), 7000+r.IntN(2)*3000)}
	}
	route := func(r *rand.Rand) config.File {
		return config.File{Name: "routes.yaml", Line: 1 + r.IntN(3), Data: fmt.Appendf(nil,
			"kind: MCPRoute\nmetadata: {name: r%d}\nspec:\n  path: /p%d\n  servers: [{name: s%d}]\n", r.IntN(4), r.IntN(4), r.IntN(12))}
	}
	good := 0
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		var x config.Index
		var files []config.File
		for n := range 12 {
			f := server(r)
			f.Data = fmt.Appendf(nil, "kind: MCPServer\nmetadata: {name: s%d}\nspec: {regions: [{name: r, endpoints: [{address: \"127.0.0.1:%d\"}]}]}\n", n, 7000+n)
			files = append(files, f)
		}
		files = append(files, config.File{Name: "routes.yaml", Line: 9, Data: []byte("kind: MCPRoute\nmetadata: {name: base}\nspec: {path: /base, servers: [{name: s0}]}\n")})
		for range 40 {
			before := append([]config.File(nil), files...)
			at := r.IntN(len(files))
			switch r.IntN(6) {
			case 0:
				files = append(files, route(r))
			case 1:
				files[at] = server(r)
			case 2:
				files = append(files[:at:at], files[at+1:]...)
			case 3:
				files = append(files, pool[r.IntN(len(pool))])
			case 4:
				files[at].Line++
			default:
				other := r.IntN(len(files))
				files[at], files[other] = files[other], files[at]
			}
			alike(t, &x, files)
			if _, err := config.Parse(files); err == nil {
				good++
			} else if r.IntN(4) > 0 {
				files = before
			}
			if len(files) == 0 {
				break
			}
		}
	}
	if good < 60 {
		t.Errorf("only %d of the configurations were without fault", good)
	}
}

// The bound on what finding hidden rules may take is one for all routes.
func TestIndexKeepsTheBoundOfAllRoutes(t *testing.T) {
	files := []config.File{{Name: "s.yaml", Line: 1, Data: []byte("kind: MCPServer\nmetadata: {name: s}\nspec: {regions: [{name: r, endpoints: [{address: \"127.0.0.1:7000\"}]}]}\n")}}
	var x config.Index
	for n := range 60 {
		text := fmt.Appendf(nil, "kind: MCPRoute\nmetadata: {name: r%d}\nspec:\n  path: /p%d\n  servers: [{name: s}]\n  tools:\n", n, n)
		for rule := range 190 {
			text = fmt.Appendf(text, "    - {match: {name: \"*a*b*c*%03d\"}, timeout: 1s}\n", rule)
		}
		files = append(files, config.File{Name: fmt.Sprintf("r%d.yaml", n), Line: 1, Data: text})
	}
	_, alone := config.Parse(files[:2])
	if alone != nil {
		t.Fatal(alone)
	}
	alike(t, &x, files[:5])
	if _, err := x.Parse(files); err == nil {
		t.Fatal("all routes together pass")
	}
}
