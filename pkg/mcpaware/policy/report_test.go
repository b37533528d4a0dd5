package policy

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

func entry(key, result string) *policyv1.CatalogEntry {
	return &policyv1.CatalogEntry{Key: key, Result: []byte(result)}
}

func TestReporter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		r := NewReporter(conn, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		defer func() { cancel(); <-done }()

		reported := func(after time.Duration, e *policyv1.CatalogEntry) bool {
			time.Sleep(after)
			r.Offer(e)
			synctest.Wait()
			select {
			case req := <-plane.reports:
				return len(req.GetEntries()) == 1 && req.GetEntries()[0].GetKey() == e.GetKey()
			default:
				return false
			}
		}
		for i, step := range []struct {
			after time.Duration
			entry *policyv1.CatalogEntry
			want  bool
		}{
			{0, entry("a", "1"), true},
			{0, entry("b", "1"), true},
			{0, entry("a", "2"), false},
			{time.Second, entry("a", "2"), true},
			{5 * time.Second, entry("a", "2"), false},
			{5 * time.Second, entry("a", "2"), true},
		} {
			if got := reported(step.after, step.entry); got != step.want {
				t.Errorf("offer %d reported: %v, want %v", i, got, step.want)
			}
		}
	})
}

func TestReporterIsBounded(t *testing.T) {
	t.Parallel()
	_, conn, stop := newControlPlane(t)
	defer stop()
	r := NewReporter(conn, nil)
	for i := range reportQueue + 100 {
		r.Offer(entry(strconv.Itoa(i), "x"))
	}
	if len(r.queue) != reportQueue || len(r.reported) != reportQueue {
		t.Errorf("%d queued, %d remembered, want %d", len(r.queue), len(r.reported), reportQueue)
	}
	for i := range reportKeys + 100 {
		<-r.queue
		r.Offer(entry("more"+strconv.Itoa(i), "x"))
	}
	if len(r.reported) > reportKeys {
		t.Errorf("%d keys remembered, at most %d", len(r.reported), reportKeys)
	}
}

func TestReporterBatches(t *testing.T) {
	t.Parallel()
	_, conn, stop := newControlPlane(t)
	defer stop()
	r := NewReporter(conn, nil)
	large := string(make([]byte, 1<<20))
	for i := range 5 {
		r.Offer(entry(strconv.Itoa(i), large))
	}
	if n := len(r.batch(<-r.queue)); n != 2 {
		t.Errorf("%d entries of 1 MiB in one report, want 2", n)
	}
}
