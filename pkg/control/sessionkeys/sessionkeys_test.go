package sessionkeys

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestKeysSurviveRestarts, in a file that is its owner's alone.
func TestKeysSurviveRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Open(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, nil, nil)
	if err != nil || !proto.Equal(first.Keys(), again.Keys()) || len(first.Keys().GetKeys()) != 1 {
		t.Errorf("after a restart: %v, other keys", err)
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%v, files left: %v", err, files)
	}
}

// TestDamagedKeysAreReplaced, loudly, and what the log says has nothing of them.
func TestDamagedKeysAreReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Open(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty": {}, "cut": whole[:len(whole)-1], "changed": append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1),
		"long": bytes.Repeat(whole, 100), "foreign": []byte("hello"),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		next, err := Open(dir, nil, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || bytes.Equal(next.Keys().GetKeys()[0].GetSecret(), first.Keys().GetKeys()[0].GetSecret()) {
			t.Errorf("%s: %v, or the old key", name, err)
		}
		if !strings.Contains(log.String(), "open sessions are lost") || strings.Contains(log.String(), string(first.Keys().GetKeys()[0].GetSecret())) {
			t.Errorf("%s: the log says %q", name, log.String())
		}
	}
}

// TestRotation: a new key each period, with notice, the last one beside it, on disk
// before it is given out, and tried again when that fails.
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r, err := Open(dir, time.Now, nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var published []*sessionv1.Keys
		given := func() []*sessionv1.Keys {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(published)
		}
		var refuse atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- r.Run(ctx, func(k *sessionv1.Keys) error {
				if refuse.Load() {
					return errors.New("not now")
				}
				onDisk, err := load(filepath.Join(dir, FileName))
				if err != nil || !proto.Equal(onDisk, k) {
					t.Errorf("given out before it was on disk: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				published = append(published, k)
				return nil
			})
		}()
		start := time.Now()
		time.Sleep(RotateAfter - time.Second)
		if n := len(given()); n != 1 {
			t.Fatalf("%d sets of keys before the period is over", n)
		}
		time.Sleep(2 * time.Second)
		sets := given()
		if len(sets) != 2 {
			t.Fatalf("%d sets of keys after it", len(sets))
		}
		old, both := sets[0].GetKeys(), sets[1].GetKeys()
		if len(both) != 2 || !proto.Equal(both[0], old[0]) || both[1].GetId() == old[0].GetId() || bytes.Equal(both[1].GetSecret(), old[0].GetSecret()) {
			t.Error("the second set is not the first key and a new one")
		}
		if from := both[1].GetNotBefore().AsTime(); from.Sub(start) < RotateAfter+Notice {
			t.Errorf("the new key seals from %v on, without notice", from.Sub(start))
		}
		refuse.Store(true)
		time.Sleep(RotateAfter + Notice)
		refuse.Store(false)
		time.Sleep(2 * retryAfter)
		sets = given()
		if n := len(sets); n < 3 || proto.Equal(sets[n-1], sets[1]) || len(sets[n-1].GetKeys()) != 2 {
			t.Errorf("after a refusal: %d sets", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
