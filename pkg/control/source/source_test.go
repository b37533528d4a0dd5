package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a watch on invented events and a false clock.
type bubble struct {
	events chan fsnotify.Event
	errs   chan error
	start  time.Time
	mu     sync.Mutex
	calls  []time.Duration
	armed  []string
}

func newBubble(t *testing.T) *bubble {
	t.Helper()
	b := &bubble{events: make(chan fsnotify.Event), errs: make(chan error), start: time.Now()}
	w := &watch{
		dir: "/conf/holdfast", opts: Options{}.withDefaults(),
		add: func(path string) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.armed = append(b.armed, path)
			return nil
		},
		changed: func(context.Context) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.calls = append(b.calls, time.Since(b.start))
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		w.run(ctx, b.events, b.errs)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	synctest.Wait()
	return b
}

func (b *bubble) touch(name string, op fsnotify.Op) {
	b.events <- fsnotify.Event{Name: name, Op: op}
}

func (b *bubble) expect(t *testing.T, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.calls, want) {
		t.Fatalf("read at %v, want %v", b.calls, want)
	}
}

func TestBurstIsOneReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		for range 5 {
			b.touch("/conf/holdfast/a.yaml", fsnotify.Write)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		b.expect(t, 0, 180*time.Millisecond)
	})
}

func TestEndlessChangesAreReadNevertheless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		for range 60 {
			b.touch("/conf/holdfast/a.yaml", fsnotify.Write)
			time.Sleep(20 * time.Millisecond)
		}
		synctest.Wait()
		b.expect(t, 0, time.Second)
	})
}

func TestWhatCounts(t *testing.T) {
	for _, c := range []struct {
		name string
		op   fsnotify.Op
		want bool
	}{
		{"/conf/holdfast/..data", fsnotify.Create, true},
		{"/conf/holdfast", fsnotify.Remove, true},
		{"/conf/holdfast", fsnotify.Create, true},
		{"/conf/holdfast/a.yaml", fsnotify.Rename, true},
		{"/conf/holdfast/a.yaml", fsnotify.Chmod, false},
		{"/conf/neighbour", fsnotify.Create, false},
		{"/conf/holdfast-2/a.yaml", fsnotify.Write, false},
	} {
		t.Run(c.name+" "+c.op.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				b.touch(c.name, c.op)
				time.Sleep(time.Second)
				if c.want {
					b.expect(t, 0, DefaultDebounce)
				} else {
					b.expect(t, 0)
				}
			})
		})
	}
}

func TestPeriodicReadingArmsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		time.Sleep(DefaultInterval)
		b.expect(t, 0, DefaultInterval)
		if want := []string{"/conf", "/conf/holdfast", "/conf", "/conf/holdfast"}; !slices.Equal(b.armed, want) {
			t.Fatalf("watched %v, want %v", b.armed, want)
		}
	})
}

func TestLostEventsAreMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.errs <- errors.New("queue overflow")
		b.expect(t, 0, 0)
	})
}

// TestFileSystem goes through the ways in which directories really change.
func TestFileSystem(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "conf")
	mkdir(t, dir)
	calls := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, dir, Options{Debounce: 5 * time.Millisecond, Interval: time.Hour}, func(context.Context) { calls <- struct{}{} })
	}()
	expect := func(what string) {
		t.Helper()
		select {
		case <-calls:
		case <-time.After(time.Minute):
			t.Fatalf("not noticed: %s", what)
		}
		// What belongs to the same change has its own reading or none.
		for quiet := false; !quiet; {
			select {
			case <-calls:
			case <-time.After(50 * time.Millisecond):
				quiet = true
			}
		}
	}
	expect("the start")
	write(t, filepath.Join(dir, "a.yaml"), "1")
	expect("a new file")
	write(t, filepath.Join(root, "a.yaml.tmp"), "2")
	rename(t, filepath.Join(root, "a.yaml.tmp"), filepath.Join(dir, "a.yaml"))
	expect("a file renamed over another")

	// A Kubernetes mount: the files are links through ..data.
	mkdir(t, filepath.Join(dir, "..1"))
	symlink(t, "..1", filepath.Join(dir, "..data"))
	expect("a mounted volume")
	mkdir(t, filepath.Join(dir, "..2"))
	symlink(t, "..2", filepath.Join(dir, "..data_tmp"))
	rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
	expect("the swap of ..data")

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	expect("the directory removed")
	mkdir(t, dir)
	expect("the directory made again")
	write(t, filepath.Join(dir, "b.yaml"), "1")
	expect("a file in the new directory")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}
