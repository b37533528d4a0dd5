package revisions_test

import (
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// A pin holds until its file changes, in whichever document; a file that is only renamed has not.
func TestPinEndsWhenItsFileChanges(t *testing.T) {
	one, two := doc("orders", "1"), doc("orders", "2")
	old := read(t, revisions.Set{}, file("a.yaml", one))
	now := read(t, old, file("a.yaml", two))
	pinned := back(t, now, old)
	expect(t, pinned, "orders of directory a.yaml:1: 1 (pinned)")
	other := doc("stock", "1")
	tests := map[string]struct {
		files []config.File
		want  []string
	}{
		"the same files":           {[]config.File{file("a.yaml", two)}, []string{"orders of directory a.yaml:1: 1 (pinned)"}},
		"another document":         {[]config.File{file("a.yaml", other, two)}, []string{"orders of directory a.yaml:5: 2", "stock of directory a.yaml:1: 1"}},
		"a document elsewhere":     {[]config.File{file("a.yaml", two), file("b.yaml", other)}, []string{"orders of directory a.yaml:1: 1 (pinned)", "stock of directory b.yaml:1: 1"}},
		"another name":             {[]config.File{file("b.yaml", two)}, []string{"orders of directory b.yaml:1: 1 (pinned)"}},
		"moved to another file":    {[]config.File{file("b.yaml", other, two)}, []string{"orders of directory b.yaml:5: 2", "stock of directory b.yaml:1: 1"}},
		"a new text":               {[]config.File{file("a.yaml", doc("orders", "3"))}, []string{"orders of directory a.yaml:1: 3"}},
		"the text it is pinned to": {[]config.File{file("a.yaml", one)}, []string{"orders of directory a.yaml:1: 1"}},
		"deletion":                 {[]config.File{file("a.yaml", other)}, []string{"stock of directory a.yaml:1: 1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			expect(t, read(t, pinned, test.files...), test.want...)
		})
	}
}

// What the old revision did not have is kept out until its file changes.
func TestAbsenceEndsWhenItsFileChanges(t *testing.T) {
	orders, stock := doc("orders", "1"), doc("stock", "1")
	old := read(t, revisions.Set{}, file("a.yaml", orders))
	now := read(t, old, file("a.yaml", orders, stock))
	out := back(t, now, old)
	expect(t, out, "orders of directory a.yaml:1: 1", "stock of directory a.yaml:5: kept out")
	tests := map[string]struct {
		files []config.File
		want  []string
	}{
		"the same files": {[]config.File{file("a.yaml", orders, stock)}, []string{"orders of directory a.yaml:1: 1", "stock of directory a.yaml:5: kept out"}},
		"another file":   {[]config.File{file("a.yaml", orders), file("b.yaml", stock)}, []string{"orders of directory a.yaml:1: 1", "stock of directory b.yaml:1: 1"}},
		"another name":   {[]config.File{file("b.yaml", orders, stock)}, []string{"orders of directory b.yaml:1: 1", "stock of directory b.yaml:5: kept out"}},
		"its neighbour":  {[]config.File{file("a.yaml", doc("orders", "2"), stock)}, []string{"orders of directory a.yaml:1: 2", "stock of directory a.yaml:5: 1"}},
		"a new text":     {[]config.File{file("a.yaml", orders, doc("stock", "2"))}, []string{"orders of directory a.yaml:1: 1", "stock of directory a.yaml:5: 2"}},
		"deletion":       {[]config.File{file("a.yaml", orders)}, []string{"orders of directory a.yaml:1: 1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			expect(t, read(t, out, test.files...), test.want...)
		})
	}
	again := read(t, read(t, out, file("a.yaml", orders)), file("a.yaml", orders, stock))
	expect(t, again, "orders of directory a.yaml:1: 1", "stock of directory a.yaml:5: 1")
}

// What no file holds any more comes back pinned, since the files do not have it.
func TestRollbackOfADeletion(t *testing.T) {
	orders, stock := doc("orders", "1"), doc("stock", "1")
	old := read(t, revisions.Set{}, file("a.yaml", orders), file("b.yaml", stock))
	now := read(t, old, file("a.yaml", orders))
	s := back(t, now, old)
	expect(t, s, "orders of directory a.yaml:1: 1", "stock of directory b.yaml:0: 1 (pinned)")
	t.Run("it stays without a file", func(t *testing.T) {
		expect(t, read(t, s, file("a.yaml", orders)), "orders of directory a.yaml:1: 1", "stock of directory b.yaml:0: 1 (pinned)")
	})
	t.Run("its file returns", func(t *testing.T) {
		expect(t, read(t, s, file("a.yaml", orders), file("c.yaml", stock)), "orders of directory a.yaml:1: 1", "stock of directory c.yaml:1: 1")
	})
	t.Run("the API may take it over", func(t *testing.T) {
		expect(t, apply(t, s, doc("stock", "2")), "orders of directory a.yaml:1: 1", "stock of api: 2")
	})
	t.Run("the API may remove it", func(t *testing.T) {
		expect(t, apply(t, s, "", ref("stock")), "orders of directory a.yaml:1: 1")
	})
}

// Owners are those of now.
func TestRollbackAndOwners(t *testing.T) {
	keep := file("keep.yaml", doc("keep", "1"))
	byAPI := apply(t, read(t, revisions.Set{}, keep), doc("orders", "api"))
	byDirectory := read(t, apply(t, byAPI, "", ref("orders")), keep, file("a.yaml", doc("orders", "file")))
	const kept = "keep of directory keep.yaml:1: 1"
	t.Run("the directory has it now", func(t *testing.T) {
		expect(t, back(t, byDirectory, byAPI), kept, "orders of directory a.yaml:1: api (pinned)")
	})
	t.Run("the API has it now", func(t *testing.T) {
		now := apply(t, read(t, byDirectory, keep), doc("orders", "api again"))
		expect(t, back(t, now, byDirectory), kept, "orders of api: file")
	})
	t.Run("nobody has it now", func(t *testing.T) {
		none := read(t, byDirectory, keep)
		expect(t, back(t, none, byAPI), kept, "orders of api: api")
		expect(t, back(t, none, byDirectory), kept, "orders of directory a.yaml:0: file (pinned)")
	})
	t.Run("the API made it since", func(t *testing.T) {
		expect(t, back(t, apply(t, byAPI, doc("new", "1")), byAPI), kept, "orders of api: api")
	})
}

// Going back from a rollback takes the pins away again.
func TestRollbackOfARollback(t *testing.T) {
	old := read(t, revisions.Set{}, file("a.yaml", doc("orders", "1"), doc("mail", "1")))
	now := read(t, old, file("a.yaml", doc("orders", "2"), doc("stock", "1")))
	s := back(t, now, old)
	expect(t, s, "mail of directory a.yaml:0: 1 (pinned)", "orders of directory a.yaml:1: 1 (pinned)", "stock of directory a.yaml:5: kept out")
	if got, want := len(s.Pinned()), 3; got != want {
		t.Errorf("%d names are pinned, want %d", got, want)
	}
	expect(t, back(t, s, now), "orders of directory a.yaml:1: 2", "stock of directory a.yaml:5: 1")
}
