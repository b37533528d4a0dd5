package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxReads bounds how often Load reads a directory that changes under it.
const maxReads = 3

// Load reads the *.yaml and *.yml files of dir, in order of name, and parses them as one
// configuration. It does not look into subdirectories, passes over hidden files and
// those that editors leave behind, and follows symbolic links, as Kubernetes mounts
// have them. What it returns was in the directory at one moment: when files change
// while they are read, it reads again. Errors are those of Parse, or of the file system.
func Load(dir string) (*Config, error) {
	files, err := ReadDir(dir)
	if err != nil {
		return nil, err
	}
	c, err := Parse(files)
	if errors.Is(err, ErrEmpty) {
		return nil, fmt.Errorf("loading configuration from %s: %w", dir, err)
	}
	return c, err
}

// ReadDir gives the files that Load would parse, unparsed. Where they are larger together
// than Parse allows, the last one given is the one that crosses the limit.
func ReadDir(dir string) ([]File, error) {
	files, err := readSettled(
		func() ([]entry, error) { return list(dir) },
		func(entries []entry) ([]File, error) { return readAll(dir, entries) },
	)
	if err != nil {
		return nil, fmt.Errorf("loading configuration from %s: %w", dir, err)
	}
	return files, nil
}

// readSettled reads the entries of a directory until they are the same after as before.
func readSettled(list func() ([]entry, error), read func([]entry) ([]File, error)) ([]File, error) {
	before, err := list()
	if err != nil {
		return nil, err
	}
	for range maxReads {
		files, err := read(before)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		after, listErr := list()
		if listErr != nil {
			return nil, listErr
		}
		if slices.Equal(before, after) {
			return files, err
		}
		before = after
	}
	return nil, errors.New("the files keep changing while they are read")
}

// entry is what tells one version of a file from another.
type entry struct {
	name, target string
	size         int64
	// changed is in nanoseconds since 1970.
	changed int64
}

// list gives the configuration files of dir in order of name.
func list(dir string) ([]entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, f := range found {
		if !configName(f.Name()) {
			continue
		}
		path := filepath.Join(dir, f.Name())
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			continue
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", f.Name())
		}
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil, err
		}
		out = append(out, entry{f.Name(), target, info.Size(), info.ModTime().UnixNano()})
	}
	if len(out) > MaxFiles {
		return nil, fmt.Errorf("%d files are more than the allowed %d", len(out), MaxFiles)
	}
	return out, nil
}

// configName leaves out hidden files and the lock and backup files of editors.
func configName(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasPrefix(name, "~") {
		return false
	}
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func readAll(dir string, entries []entry) ([]File, error) {
	var files []File
	total := 0
	for _, e := range entries {
		data, err := readFile(filepath.Join(dir, e.name))
		if err != nil {
			return nil, err
		}
		// Parse refuses the file that crosses the limit, so nothing after it is needed.
		files = append(files, File{Name: e.name, Data: data})
		if total += len(data); total > MaxTotalBytes {
			break
		}
	}
	return files, nil
}

// readFile reads one byte more than is allowed, so that Parse sees a file that is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	return data, errors.Join(err, f.Close())
}
