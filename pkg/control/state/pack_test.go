package state

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
)

// grown is contents with a cluster more, of that generation.
func grown(t testing.TB, base Contents, generation int, size int) Contents {
	t.Helper()
	extra, err := resources.NewGroup(map[string]*clusterv3.Cluster{"extra": {
		Name: "extra", AltStatName: fmt.Sprintf("%0*d", size, generation),
	}})
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]*resources.Set{}
	for region, s := range base.Revisions[0].Sets() {
		clusters := maps.Clone(s.Clusters)
		maps.Copy(clusters, extra)
		sets[region] = &resources.Set{Clusters: clusters, Endpoints: s.Endpoints, Listeners: s.Listeners, Routes: s.Routes}
	}
	version := fmt.Sprint("generation ", generation)
	return Contents{Revisions: []*revision.Revision{revision.Restore(version, base.Revisions[0].Policies, sets)}, Nodes: base.Nodes}
}

// want loads with a Dir of its own, as the next run does, and compares.
func (d *Dir) want(t *testing.T, c Contents) *Dir {
	t.Helper()
	next := &Dir{path: d.path}
	got, err := next.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Revisions) != len(c.Revisions) || len(got.Nodes) != len(c.Nodes) {
		t.Fatalf("%d revisions and %d nodes", len(got.Revisions), len(got.Nodes))
	}
	for i, r := range c.Revisions {
		restored := got.Revisions[i].Sets()
		for region, set := range r.Sets() {
			if restored[region] == nil || restored[region].Version() != set.Version() {
				t.Fatalf("revision %s, region %q differs", r.Version, region)
			}
		}
	}
	return next
}

func packs(t *testing.T, dir string) []string {
	t.Helper()
	out, err := filepath.Glob(filepath.Join(dir, packPrefix+"*"+packSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sizeOf(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestSavesOnlyWhatIsNew: what is on disk already is referred to, by the next run too.
func TestSavesOnlyWhatIsNew(t *testing.T) {
	d, base := open(t), contents(t)
	if err := d.Save(base); err != nil {
		t.Fatal(err)
	}
	whole := sizeOf(t, packs(t, d.path)[0])
	d = d.want(t, base)
	if err := d.Save(base); err != nil {
		t.Fatal(err)
	}
	if now := sizeOf(t, packs(t, d.path)[0]); now != whole {
		t.Errorf("the same again: %d bytes, were %d", now, whole)
	}
	one := grown(t, base, 1, 10)
	if err := d.Save(one); err != nil {
		t.Fatal(err)
	}
	if more := sizeOf(t, packs(t, d.path)[0]) - whole; more <= 0 || more > whole/4 {
		t.Errorf("one cluster more: %d bytes more than %d", more, whole)
	}
	d.want(t, one)
}

// TestPackStaysSmall: however many revisions later, the directory is no larger, and only the pack in
// use is there.
func TestPackStaysSmall(t *testing.T) {
	d, base := open(t), contents(t)
	var last Contents
	var largest int64
	names := map[string]bool{}
	for n := range 300 {
		last = grown(t, base, n, 50_000)
		if err := d.Save(last); err != nil {
			t.Fatal(err)
		}
		all := packs(t, d.path)
		if len(all) != 1 {
			t.Fatalf("packs %v", all)
		}
		names[all[0]] = true
		largest = max(largest, sizeOf(t, all[0]))
		if len(d.pack.known) > 1000 {
			t.Fatalf("%d records are remembered", len(d.pack.known))
		}
	}
	if largest > packSpare+10*60_000 {
		t.Errorf("a pack of %d bytes for one of 60,000 in use", largest)
	}
	if len(names) < 2 || len(names) > 30 {
		t.Errorf("%d packs were written for 300 revisions", len(names))
	}
	d.want(t, last)
}

// TestCrashWhileSaving: whatever a killed process left of a save, the one before it stands,
// and the next one works.
func TestCrashWhileSaving(t *testing.T) {
	d, base := open(t), contents(t)
	if err := d.Save(base); err != nil {
		t.Fatal(err)
	}
	file := packs(t, d.path)[0]
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range 40 {
		tail := slices.Repeat([]byte{0xff}, cut*37)
		if err := os.WriteFile(file, append(slices.Clone(whole), tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		left := filepath.Join(d.path, packPrefix+"left"+packSuffix)
		if err := os.WriteFile(left, tail, 0o600); err != nil {
			t.Fatal(err)
		}
		next := d.want(t, base)
		one := grown(t, base, cut, 100)
		if err := next.Save(one); err != nil {
			t.Fatal(err)
		}
		next.want(t, one)
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a pack that was never finished is still there: %v", err)
		}
		if err := next.Save(base); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedPack(t *testing.T) {
	d, base := open(t), contents(t)
	if err := d.Save(base); err != nil {
		t.Fatal(err)
	}
	file := packs(t, d.path)[0]
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"gone":  func() error { return os.Remove(file) },
		"empty": func() error { return os.WriteFile(file, nil, 0o600) },
		"short": func() error { return os.WriteFile(file, good[:len(good)-1], 0o600) },
		"bit":   func() error { return os.WriteFile(file, flip(good, len(good)/2), 0o600) },
	} {
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		next := &Dir{path: d.path}
		if got, err := next.Load(); err == nil || len(got.Revisions) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// Nothing of a damaged one is used for what is saved next.
	next := &Dir{path: d.path}
	if _, err := next.Load(); err == nil {
		t.Error("damaged, and no error")
	}
	if err := next.Save(base); err != nil {
		t.Fatal(err)
	}
	next.want(t, base)
}

// TestNoSpace: a save that does not fit changes nothing, and one that does fits later. The limit
// of the file's size stands for the end of a disk.
func TestNoSpace(t *testing.T) {
	d, base := open(t), contents(t)
	if err := d.Save(base); err != nil {
		t.Fatal(err)
	}
	size := uint64(sizeOf(t, packs(t, d.path)[0]))
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	large := grown(t, base, 1, 100_000)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size + 1000, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	err := d.Save(large)
	if restore := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); restore != nil {
		t.Fatal(restore)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("error %v", err)
	}
	d.want(t, base)
	if err := d.Save(large); err != nil {
		t.Fatal(err)
	}
	d.want(t, large)
}
