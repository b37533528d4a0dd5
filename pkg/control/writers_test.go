package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func serverNamed(name string, port int) string {
	return fmt.Sprintf("kind: MCPServer\nmetadata: {name: %s}\nspec:\n  regions: [{name: asia-south1, endpoints: [{address: \"127.0.0.1:%d\"}]}]\n", name, port)
}

// TestWritersTakeTurns: callers, and the directory among them, do not lose each other's
// changes.
func TestWritersTakeTurns(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	const callers, each = 6, 8
	var all sync.WaitGroup
	numbers := make(chan uint64, callers*each)
	for c := range callers {
		all.Go(func() {
			for i := range each {
				answer, err := p.Backend().Apply(t.Context(), &adminv1.ApplyRequest{Documents: serverNamed(fmt.Sprintf("s%d-%d", c, i), 7300+i)}, fmt.Sprintf("caller%d", c))
				if err != nil {
					t.Error(err)
					return
				}
				numbers <- answer.GetRevision().GetNumber()
			}
		})
	}
	s.write(shop{connectTimeout: "2s"}.yaml())
	all.Wait()
	close(numbers)
	seen := map[uint64]bool{}
	for n := range numbers {
		if seen[n] {
			t.Errorf("two callers made revision %d", n)
		}
		seen[n] = true
	}
	p.until("the directory's turn", func(st status.Status) bool { return st.Head.Number == 2+callers*each })
	list, err := p.Backend().List(t.Context(), &adminv1.ListRequest{Kind: "MCPServer"})
	if err != nil || len(list.GetResources()) != 1+callers*each {
		t.Fatalf("%d servers, %v", len(list.GetResources()), err)
	}
}

func TestOneOfManyWithTheSameBaseWins(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	var all sync.WaitGroup
	results := make([]error, 8)
	for c := range results {
		all.Go(func() {
			_, results[c] = p.Backend().Apply(t.Context(), &adminv1.ApplyRequest{Documents: serverNamed("mail", 7300+c), BaseRevision: 1}, caller)
		})
	}
	all.Wait()
	won := 0
	for _, err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, revisions.ErrStale):
			t.Error(err)
		}
	}
	if won != 1 || p.Status().Head.Number != 2 {
		t.Fatalf("%d callers won, the head is %d", won, p.Status().Head.Number)
	}
}

func TestCallerThatGoesAwayWhileItWaits(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	if err := p.takeTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := p.Backend().Apply(ctx, &adminv1.ApplyRequest{Documents: mail}, caller)
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	p.endTurn()
	if h := p.Status().Head; h.Number != 1 {
		t.Fatalf("head %+v", h)
	}
	p.stop()
	if _, err := p.Backend().Apply(t.Context(), &adminv1.ApplyRequest{Documents: mail}, caller); !errors.Is(err, errStopped) {
		t.Fatalf("after the end: %v", err)
	}
}

func TestOneProcessHasTheStateDirectory(t *testing.T) {
	s := newSite(t)
	s.start()
	other, err := New(Options{ConfigDir: s.config, StateDir: s.state})
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("plane %v, error %v", other, err)
	}
}

func TestDamagedHistoryIsNotPassedOver(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	p.stop()
	if err := os.WriteFile(filepath.Join(s.state, store.FileName), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := New(Options{ConfigDir: s.config, StateDir: s.state})
	if !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("plane %v, error %v", other, err)
	}
}

// TestHeadThatIsNotValidAnyMore: another version of the program may be stricter.
func TestHeadThatIsNotValidAnyMore(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	version := p.settled("")
	p.stop()
	history, err := store.Open(t.Context(), s.state, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	head, err := history.Head()
	if err != nil {
		t.Fatal(err)
	}
	documents, err := revisions.Documents("kind: MCPServer\nmetadata: {name: old}\nspec: {colour: red}\n")
	if err != nil {
		t.Fatal(err)
	}
	set, err := revisions.Apply(head.Set, documents, nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := revisions.Next(&head, set, revisions.Origin{Version: "written by another program", Author: caller})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := history.Append(next); err != nil {
		t.Fatal(err)
	}
	if err := history.Close(); err != nil {
		t.Fatal(err)
	}

	p = s.start()
	st := p.until("word of it", func(s status.Status) bool { return s.Refused != nil && s.Refused.Standing })
	if !strings.Contains(st.Refused.Error, "colour") || !st.Ready || st.Revision.Version != version {
		t.Fatalf("status %+v, refused %+v", st, st.Refused)
	}
	p.applied(&adminv1.ApplyRequest{Remove: []*adminv1.ResourceRef{{Kind: "MCPServer", Name: "old"}}})
	s.write("# look again\n" + shop{}.yaml())
	p.until("the end of it", func(s status.Status) bool { return !s.Refused.Standing })
}

// TestNothingGrows pushes a thousand revisions through stub nodes.
func TestNothingGrows(t *testing.T) {
	s := newSite(t)
	s.history = 100
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	e := p.envoy("e1", peerOptions{})
	x := p.processor("x1", peerOptions{})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 && len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	file := filepath.Join(s.state, store.FileName)
	push := func(i int) {
		toggled := strings.Replace(toMail, "7301", fmt.Sprint(20_000+i), 1)
		if i%2 == 0 {
			toggled = strings.Replace(toggled, "/post", fmt.Sprintf("/post%d", i), 1)
		}
		p.applied(&adminv1.ApplyRequest{Documents: toggled, Reason: fmt.Sprintf("push %d", i)})
	}
	measure := func() (heap uint64, goroutines int, size int64) {
		t.Helper()
		p.until("rest", func(s status.Status) bool {
			return !slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced })
		})
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return m.HeapAlloc, runtime.NumGoroutine(), info.Size()
	}
	for i := range 200 {
		push(i)
	}
	heap, goroutines, size := measure()
	for i := range 800 {
		push(200 + i)
	}
	heapAfter, goroutinesAfter, sizeAfter := measure()
	t.Logf("heap %d → %d bytes, goroutines %d → %d, store %d → %d bytes", heap, heapAfter, goroutines, goroutinesAfter, size, sizeAfter)
	if heapAfter > heap+heap/4+(1<<20) {
		t.Errorf("the heap grew from %d to %d bytes", heap, heapAfter)
	}
	if goroutinesAfter > goroutines+2 {
		t.Errorf("%d goroutines became %d", goroutines, goroutinesAfter)
	}
	if sizeAfter > size+size/4+(1<<18) {
		t.Errorf("the store grew from %d to %d bytes", size, sizeAfter)
	}
	if n := len(p.history()); n != 100 {
		t.Errorf("%d revisions are kept", n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.revisions) > 3 || len(p.numbers) > 3 {
		t.Errorf("%d revisions and %d numbers are in memory", len(p.revisions), len(p.numbers))
	}
}
