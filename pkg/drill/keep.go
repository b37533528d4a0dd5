package drill

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	keptSuffix = ".json"
	keptTime   = "20060102T150405Z"
	// maxKept bounds a report that is read, in bytes.
	maxKept = 1 << 20
)

// Keep writes a report into a folder, which it makes where it is missing, and returns its path.
func Keep(dir string, r *Report) (string, error) {
	text, err := r.JSON()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the folder of the reports: %w", err)
	}
	path := filepath.Join(dir, r.Drill+"-"+r.Started.UTC().Format(keptTime)+keptSuffix)
	temp := path + ".new"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return "", fmt.Errorf("keeping the report: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return "", fmt.Errorf("keeping the report: %w", err)
	}
	return path, nil
}

// JSON is the report for programs.
func (r *Report) JSON() ([]byte, error) {
	text, err := json.Marshal(r, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encoding the report: %w", err)
	}
	return append(text, '\n'), nil
}

// Kept returns the reports in a folder, the newest first; none where there is no folder. What is no report
// is in the error, beside those that are.
func Kept(dir string) ([]*Report, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the folder of the reports: %w", err)
	}
	var out []*Report
	var errs []error
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), keptSuffix) {
			continue
		}
		r, err := read(filepath.Join(dir, entry.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b *Report) int { return b.Started.Compare(a.Started) })
	return out, errors.Join(errs...)
}

func read(path string) (*Report, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a report: %w", err)
	}
	if info.Size() > maxKept {
		return nil, fmt.Errorf("reading a report: %s has more than %d bytes", path, maxKept)
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator's folder
	if err != nil {
		return nil, fmt.Errorf("reading a report: %w", err)
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s is no report of a drill: %w", path, err)
	}
	return r, nil
}

// Last is the newest of some reports, sorted as Kept does, of the same drill on the same endpoint; nil: there is none.
func Last(kept []*Report, drill, endpoint string) *Report {
	i := slices.IndexFunc(kept, func(r *Report) bool { return r.Drill == drill && r.Endpoint == endpoint })
	if i < 0 {
		return nil
	}
	return kept[i]
}
