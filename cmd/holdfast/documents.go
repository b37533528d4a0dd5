package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// stdinName stands for standard input in what is said about its documents.
const stdinName = "stdin"

// readDocuments reads files, the configuration files of folders, and standard input
// for "-", and joins them for one call.
func readDocuments(env *environment, paths []string) (*apiclient.Documents, error) {
	if first := slices.Index(paths, "-"); first >= 0 && slices.Contains(paths[first+1:], "-") {
		return nil, usagef("standard input can be given once only")
	}
	var files []config.File
	for _, path := range paths {
		if path == "-" {
			data, err := readAtMost(env.Stdin, apiclient.MaxDocumentBytes)
			if err != nil {
				return nil, fmt.Errorf("reading standard input: %w", err)
			}
			files = append(files, config.File{Name: stdinName, Data: data})
			continue
		}
		more, err := readPath(path)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return apiclient.Join(files) //nolint:wrapcheck // the problems say what and where
}

func readPath(path string) ([]config.File, error) {
	info, err := os.Stat(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("reading the documents: %w", err)
	}
	if !info.IsDir() {
		data, err := readBounded(path)
		if err != nil {
			return nil, err
		}
		return []config.File{{Name: path, Data: data}}, nil
	}
	files, err := config.ReadDir(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says which folder
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no .yaml or .yml file in %s", path)
	}
	for i := range files {
		files[i].Name = filepath.Join(path, files[i].Name)
	}
	return files, nil
}

func readAtMost(from io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was read
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it has more than %d bytes", limit)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty")
	}
	return data, nil
}

// parseRef reads KIND/NAME.
func parseRef(text string) (*adminv1.ResourceRef, error) {
	kind, name, err := parseResource([]string{text})
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, usagef(fmt.Sprintf("%q is not KIND/NAME, such as server/orders", text))
	}
	return &adminv1.ResourceRef{Kind: kind, Name: name}, nil
}
