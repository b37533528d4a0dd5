package revisions

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// MaxApplyBytes is the largest size of all documents of one call of the API together.
const MaxApplyBytes = 4 << 20

// documentsName stands for a file in what is said about documents given to the API.
const documentsName = "documents"

// Split cuts a file of the directory into its resources, as config.Split does.
func Split(file config.File) ([]Resource, error) {
	documents, err := config.Split([]config.File{file}, config.MaxFileBytes)
	if err != nil {
		return nil, err
	}
	out := make([]Resource, 0, len(documents))
	for _, d := range documents {
		out = append(out, fromFile(d))
	}
	return out, nil
}

func fromFile(d config.Document) Resource {
	return Resource{Ref: Ref{d.Kind, d.Name}, Owner: Directory, File: d.File, Line: d.Line, YAML: string(d.Text)}
}

// Documents cuts what the API was given, at most MaxApplyBytes, into resources that it is to own.
// Problems say where they are as documents:line:column.
func Documents(text string) ([]Resource, error) {
	documents, err := config.Split([]config.File{{Name: documentsName, Data: []byte(text)}}, MaxApplyBytes)
	if err != nil {
		return nil, err
	}
	out := make([]Resource, 0, len(documents))
	for _, d := range documents {
		out = append(out, Resource{Ref: Ref{d.Kind, d.Name}, Owner: API, YAML: string(d.Text)})
	}
	return out, nil
}

// Files gives resources as config.Parse reads them, those of the directory first, in
// the order of their files. Problems of these keep file, line and column; those of the API are at
// api:Kind/name, with the line within the document; pinned ones likewise at FILE (pinned Kind/name).
func Files(resources []Resource) []config.File {
	sorted := slices.SortedFunc(slices.Values(resources), func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), a.Compare(b.Ref))
	})
	out := make([]config.File, 0, len(sorted))
	for _, r := range sorted {
		f := config.File{Name: r.File, Line: max(1, r.Line), Data: []byte(r.YAML)}
		switch {
		case r.Owner == API:
			f.Name, f.Line = "api:"+r.String(), 1
		case r.Pinned:
			f.Name, f.Line = fmt.Sprintf("%s (pinned %s)", r.File, r.Ref), 1
		}
		out = append(out, f)
	}
	return out
}

// Config reads and checks the set as one configuration. Its errors are those of config.Parse.
func (s Set) Config() (*config.Config, error) {
	return config.Parse(Files(s.Resources))
}
