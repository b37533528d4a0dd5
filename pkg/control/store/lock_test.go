package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, store.Options{})
		began := time.Now()
		_, err := store.Open(t.Context(), dir, store.Options{LockTimeout: time.Second})
		want := fmt.Sprintf("the state directory is in use: %s, by process %d; stop that one, or give this one another state directory", dir, os.Getpid())
		if !errors.Is(err, store.ErrLocked) || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("it waited for %s", waited)
		}
		time.AfterFunc(300*time.Millisecond, func() { shut(t, s) })
		open(t, dir, store.Options{})
	})
}

func TestLockNamesNobodyItDoesNotKnow(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, store.Options{})
	if err := os.WriteFile(filepath.Join(dir, store.LockName), []byte(strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), dir, store.Options{LockTimeout: time.Millisecond})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "by another process;") {
		t.Errorf("got %v", err)
	}
}

func TestWaitingForTheLockEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Open(ctx, dir, store.Options{LockTimeout: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
