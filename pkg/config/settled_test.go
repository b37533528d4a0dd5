package config

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// A directory that is swapped while it is read is read again, so that no
// configuration is half of one revision and half of the next.
func TestReadSettled(t *testing.T) {
	tests := []struct {
		name string
		// sizes of the one file, listing by listing; the last one stays.
		sizes []int64
		want  string
	}{
		{"nothing changes", []int64{1}, "size 1"},
		{"one change", []int64{1, 2}, "size 2"},
		{"two changes", []int64{1, 2, 3}, "size 3"},
		{"no end of changes", []int64{1, 2, 3, 4, 5, 6}, "keep changing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			listed := -1
			list := func() ([]entry, error) {
				listed = min(listed+1, len(test.sizes)-1)
				return []entry{{name: "a.yaml", size: test.sizes[listed]}}, nil
			}
			read := func(entries []entry) ([]File, error) {
				if entries[0].size != test.sizes[len(test.sizes)-1] {
					return nil, fs.ErrNotExist
				}
				return []File{{Name: "size " + string(rune('0'+entries[0].size))}}, nil
			}
			files, err := readSettled(list, read)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = files[0].Name
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadSettledTellsErrors(t *testing.T) {
	broken := errors.New("broken disk")
	once := func() ([]entry, error) { return nil, nil }
	for name, run := range map[string]func() ([]File, error){
		"list": func() ([]File, error) {
			return readSettled(func() ([]entry, error) { return nil, broken }, nil)
		},
		"read": func() ([]File, error) {
			return readSettled(once, func([]entry) ([]File, error) { return nil, broken })
		},
	} {
		if _, err := run(); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := readSettled(once, func([]entry) ([]File, error) { return nil, fs.ErrNotExist }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is never there: got %v", err)
	}
}
