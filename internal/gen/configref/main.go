// Command configref writes what is derived from the doc comments of the types in
// pkg/config: the configuration reference for people and the
// descriptions in the JSON schema.
//
// Usage, from the root of the repository: go run ./internal/gen/configref
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// Paths from the root of the repository.
const (
	typesPath        = "pkg/config"
	examplePath      = "pkg/config/testdata/valid/complete.yaml"
	referencePath    = "docs/reference/configuration.md"
	descriptionsPath = "pkg/config/descriptions.go"
)

func main() {
	root := flag.String("root", ".", "root of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "configref:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a directory of documentation
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // source files
			return err
		}
	}
	return nil
}

// generate gives the content of every generated file by its path from root.
func generate(root string) (map[string][]byte, error) {
	sources, err := typeSources(filepath.Join(root, typesPath))
	if err != nil {
		return nil, err
	}
	example, err := os.ReadFile(filepath.Join(root, examplePath)) //nolint:gosec // a source file
	if err != nil {
		return nil, err
	}
	types, err := parseTypes(sources...)
	if err != nil {
		return nil, fmt.Errorf("reading the types in %s: %w", typesPath, err)
	}
	reference, err := renderReference(types, example)
	if err != nil {
		return nil, err
	}
	descriptions, err := renderDescriptions(types)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{referencePath: reference, descriptionsPath: descriptions}, nil
}

// typeSources reads the files of types: types.go, and types_….go in order of their names.
func typeSources(dir string) ([][]byte, error) {
	more, err := filepath.Glob(filepath.Join(dir, "types_*.go"))
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, name := range append([]string{filepath.Join(dir, "types.go")}, more...) {
		source, err := os.ReadFile(name) //nolint:gosec // a source file
		if err != nil {
			return nil, err
		}
		out = append(out, source)
	}
	return out, nil
}
