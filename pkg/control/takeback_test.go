package control

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// TestWhatIsBarred: what a start makes of histories. A revision of the directory that was
// taken back is not tried again by itself.
func TestWhatIsBarred(t *testing.T) {
	type step struct {
		author     string
		rollbackOf uint64
	}
	files := step{author: directoryAuthor}
	back := step{ownAuthor, 1}
	for _, c := range []struct {
		name    string
		history []step
		want    uint64
	}{
		{"nothing", nil, 0},
		{"files", []step{files}, 0},
		{"taken back", []step{files, files, back}, 2},
		{"and then the API", []step{files, files, back, {author: caller}, {author: caller}}, 2},
		{"other files since", []step{files, files, back, files}, 0},
		{"rolled back since", []step{files, files, back, {caller, 2}}, 0},
		{"the API's was taken back", []step{files, {author: caller}, back}, 0},
		{"long ago", append([]step{files, files, back}, make([]step, 2*searchPage)...), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := store.Open(t.Context(), t.TempDir(), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			set, err := revisions.FromDirectory(revisions.Set{}, []config.File{{Name: "mail.yaml", Data: []byte(mail)}})
			if err != nil {
				t.Fatal(err)
			}
			var head *revisions.Revision
			for _, step := range c.history {
				if step.author == "" {
					step.author = caller
				}
				next, err := revisions.Next(head, set, revisions.Origin{Author: step.author, RollbackOf: step.rollbackOf, Reason: "why"})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Append(next); err != nil {
					t.Fatal(err)
				}
				head = &next
			}
			got, err := findBarred(s)
			switch {
			case err != nil:
				t.Fatal(err)
			case (got == nil) != (c.want == 0), got != nil && got.number != c.want:
				t.Fatalf("barred %+v, want %d", got, c.want)
			case got == nil:
				return
			}
			if err := got.says(set); err == nil || !strings.Contains(err.Error(), "revision 2") {
				t.Errorf("the same files: %v", err)
			}
			if err := got.says(revisions.Set{}); err != nil {
				t.Errorf("other files: %v", err)
			}
		})
	}
}

func TestReasonsAreOneShortLine(t *testing.T) {
	for _, words := range []string{"", "short", "two\nlines\x1b[2J", strings.Repeat("läng ", 2000), "\xff\xfe"} {
		reason := rejectionReason(7, rollout.Rejection{NodeID: "e1", Detail: words})
		if !strings.HasPrefix(reason, "rollback of 7: rejected by e1: ") || len(reason) > revisions.MaxReasonBytes || !utf8.ValidString(reason) {
			t.Errorf("reason %q", reason)
		}
		if err := (revisions.Header{Author: ownAuthor, Reason: reason}).Validate(); err != nil {
			t.Errorf("%q: %v", words, err)
		}
	}
	resource := func(file, yaml string) revisions.Resource {
		return revisions.Resource{Ref: revisions.Ref{Kind: "MCPServer", Name: file}, Owner: revisions.Directory, File: file, YAML: yaml}
	}
	var before, after revisions.Set
	for _, file := range []string{"a.yaml", "b.yaml", "c\n.yaml", "d.yaml", "e.yaml", "same.yaml"} {
		before.Resources = append(before.Resources, resource(file, "old"))
		if file != "same.yaml" {
			after.Resources = append(after.Resources, resource(file, "new"))
		}
	}
	after.Resources = append(after.Resources, resource("same.yaml", "old"))
	if got, want := reasonOf(before, after), `changed: a.yaml, b.yaml, "c\n.yaml" and 2 more`; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
	if got, want := reasonOf(before, revisions.Set{Resources: before.Resources[:5]}), "changed: same.yaml"; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
}
