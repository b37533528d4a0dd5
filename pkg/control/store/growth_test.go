package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

func fileSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// resources gives n of them, of about a kilobyte each.
func resources(n int) revisions.Set {
	var s revisions.Set
	for i := range n {
		s.Resources = append(s.Resources, byAPI(fmt.Sprintf("server-%04d", i), text(i, 0)))
	}
	return s
}

func text(i, version int) string {
	return fmt.Sprintf("kind: MCPServer # %d\n", version) + strings.Repeat(fmt.Sprintf("# server %04d\n", i), 70)
}

// A long history of many resources takes what changed, not their product.
func TestManyRevisionsOfManyResourcesStaySmall(t *testing.T) {
	const count = 1000
	dir := t.TempDir()
	s := open(t, dir, store.Unsynced(store.Options{}))
	set := resources(count)
	r := rand.New(rand.NewPCG(1, 1))
	rev := revisions.Revision{}
	for i := range count {
		set.Resources = slices.Clone(set.Resources)
		at := r.IntN(count)
		set.Resources[at].YAML = text(at, i+1)
		rev = next(t, &rev, set)
		mustAppend(t, s, rev)
	}
	if size := fileSize(t, dir); size > 16<<20 {
		t.Errorf("%d revisions of %d resources of 1 KB take %d KB", count, count, size>>10)
	}
	oldest, err := s.Get(1)
	if err != nil || len(oldest.Resources) != count {
		t.Errorf("the oldest has %d resources: %v", len(oldest.Resources), err)
	}
}

// Revisions that are forgotten make room for those that come.
func TestTheFileDoesNotGrowForEver(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Unsynced(store.Options{Keep: 100}))
	r := rand.New(rand.NewPCG(2, 2))
	set := resources(100)
	rev := revisions.Revision{}
	var early int64
	for i := range 3000 {
		set.Resources = slices.Clone(set.Resources)
		for range 1 + r.IntN(5) {
			at := r.IntN(len(set.Resources))
			// Sizes vary, so that a page that is free does not always fit.
			set.Resources[at].YAML = strings.Repeat(text(at, i), 1+r.IntN(8))
		}
		rev = next(t, &rev, set)
		mustAppend(t, s, rev)
		if i == 500 {
			early = fileSize(t, dir)
		}
	}
	if size := fileSize(t, dir); size > early+early/2 {
		t.Errorf("the file had %d KB after 500 revisions and has %d KB after 3000", early>>10, size>>10)
	}
}
