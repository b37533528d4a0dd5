package revisions_test

import (
	"errors"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// Another text of a document of the directory is pinned until its file changes; going back to the file's ends that.
func TestRewrite(t *testing.T) {
	one, two := doc("orders", "1"), doc("orders", "2")
	now := read(t, revisions.Set{}, file("a.yaml", one, doc("stock", "1")))
	ref := revisions.Ref{Kind: "MCPServer", Name: "orders"}
	if _, ok := now.Get(ref); !ok {
		t.Fatalf("there is no %s in %v", ref, now.Resources)
	}
	other, err := revisions.Rewrite(now, ref, two)
	if err != nil || other.Validate() != nil {
		t.Fatal(err, other.Validate())
	}
	expect(t, other, "orders of directory a.yaml:1: 2 (pinned)", "stock of directory a.yaml:5: 1")
	expect(t, read(t, other, file("a.yaml", one, doc("stock", "1"))), "orders of directory a.yaml:1: 2 (pinned)", "stock of directory a.yaml:5: 1")
	expect(t, read(t, other, file("a.yaml", doc("orders", "3"))), "orders of directory a.yaml:1: 3")
	back, err := revisions.Rewrite(other, ref, now.Resources[0].YAML)
	if err != nil || back.Validate() != nil {
		t.Fatal(err, back.Validate())
	}
	expect(t, back, "orders of directory a.yaml:1: 1", "stock of directory a.yaml:5: 1")
	if _, err := revisions.Rewrite(now, revisions.Ref{Kind: "MCPServer", Name: "none"}, two); !errors.Is(err, revisions.ErrNotFound) {
		t.Errorf("a resource that is not there: %v", err)
	}
}
