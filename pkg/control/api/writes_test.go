package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func TestOneWriteAtATime(t *testing.T) {
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	backend := &fake{during: func(context.Context) error {
		entered <- struct{}{}
		<-leave
		return nil
	}}
	w := serve(t, backend, ListenOptions{})
	client := w.client(t)
	results := make(chan error, 1+maxWaitingWrites)
	for i := range 1 + maxWaitingWrites {
		go func() {
			var err error
			if i%2 == 0 {
				_, err = client.Apply(t.Context(), &adminv1.ApplyRequest{Documents: "x"})
			} else {
				_, err = client.Rollback(t.Context(), &adminv1.RollbackRequest{Revision: 1})
			}
			results <- err
		}()
	}
	eventually(t, "full queue", func() bool { return len(w.service.writes) == 1+maxWaitingWrites })
	_, err := client.Apply(t.Context(), &adminv1.ApplyRequest{Documents: "x"})
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("one write too many: %v", err)
	}
	if _, err := client.Status(t.Context(), &adminv1.StatusRequest{}); err != nil {
		t.Errorf("a read beside the writes: %v", err)
	}
	close(leave)
	for range 1 + maxWaitingWrites {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if backend.mostWriting != 1 || backend.count() != 1+maxWaitingWrites {
		t.Errorf("%d at once, %d revisions", backend.mostWriting, backend.count())
	}
}

// TestWaitingWriteOfSomebodyGone is never made.
func TestWaitingWriteOfSomebodyGone(t *testing.T) {
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	backend := &fake{during: func(context.Context) error {
		entered <- struct{}{}
		<-leave
		return nil
	}}
	w := serve(t, backend, ListenOptions{})
	for _, http2 := range []bool{false, true} {
		client := newClient(httpClient(t, nil, http2), w)
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := client.Apply(t.Context(), &adminv1.ApplyRequest{Documents: "first"}); err != nil {
				t.Error(err)
			}
		})
		<-entered
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() {
			_, err := client.Apply(ctx, &adminv1.ApplyRequest{Documents: "second"})
			second <- err
		}()
		eventually(t, "second write in the queue", func() bool { return len(w.service.writes) == 2 })
		cancel()
		if err := <-second; connect.CodeOf(err) != connect.CodeCanceled {
			t.Errorf("the caller has %v", err)
		}
		eventually(t, "second write out of the queue", func() bool { return len(w.service.writes) == 1 })
		leave <- struct{}{}
		first.Wait()
	}
	if got := strings.Join(backend.documents, ","); got != "first,first" {
		t.Fatalf("written: %s", got)
	}
}

// TestBackendHearsThatTheCallerHasGone, so that it can stop before anything has changed.
func TestBackendHearsThatTheCallerHasGone(t *testing.T) {
	entered, heard := make(chan struct{}), make(chan error, 1)
	backend := &fake{during: func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		heard <- ctx.Err()
		return ctx.Err()
	}}
	w := serve(t, backend, ListenOptions{})
	for _, http2 := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-entered
			cancel()
		}()
		_, err := newClient(httpClient(t, nil, http2), w).Apply(ctx, &adminv1.ApplyRequest{Documents: "x"})
		if connect.CodeOf(err) != connect.CodeCanceled {
			t.Error(err)
		}
		if err := <-heard; !errors.Is(err, context.Canceled) {
			t.Errorf("the backend heard %v", err)
		}
	}
	if backend.count() != 0 {
		t.Error("something was written")
	}
}

// TestCallsEndInTime also where the backend takes longer than a body may.
func TestCallsEndInTime(t *testing.T) {
	block := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	w := serve(t, &fake{during: block}, ListenOptions{}, func(s *Service) {
		s.times.body, s.times.call = defaultTimes.body/1000, defaultTimes.call/300
	})
	for _, http2 := range []bool{false, true} {
		_, err := newClient(httpClient(t, nil, http2), w).Apply(t.Context(), &adminv1.ApplyRequest{Documents: "x"})
		if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Errorf("HTTP/2 %v: %v", http2, err)
		}
	}
}

func TestWritesAreLogged(t *testing.T) {
	backend := &fake{}
	w := serve(t, backend, ListenOptions{})
	const secret = "password-in-a-document"
	w.post(t, "Apply", "application/json", `{"documents": "`+secret+`", "author": "asha", "reason": "two words"}`)
	w.post(t, "Apply", "application/json", `{"documents": "`+secret+`", "author": "dev", "dryRun": true}`)
	w.post(t, "Rollback", "application/json", `{"revision": "1", "author": "ravi"}`)
	backend.fail = repeating(secret)
	if got := w.post(t, "Apply", "application/json", `{"documents": "`+secret+`", "author": "mallory"}`); got.status != http.StatusBadRequest || !strings.Contains(got.body, secret) {
		t.Fatal(got.body)
	}
	backend.fail = errors.New("the disk is on fire")
	w.post(t, "Apply", "application/json", `{"documents": "`+secret+`", "author": "late"}`)
	log := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	for i, want := range [][]string{
		{"method=Apply", "author=asha", "by=local", "remote=127.0.0.1", `reason="two words"`, "dry_run=false", `result="new revision"`, "revision=1", "version=v", "changed=1", "+ MCPServer/orders"},
		{"author=dev", "dry_run=true", "result=valid", "revision=0"},
		{"method=Rollback", "author=ravi", "revision=2"},
		{"level=WARN", "author=mallory", "result=invalid_argument"},
		{"level=WARN", "author=late", "result=internal", "on fire"},
	} {
		if i >= len(log) {
			t.Fatalf("%d lines: %s", len(log), log)
		}
		for _, part := range want {
			if !strings.Contains(log[i], part) {
				t.Errorf("line %d: %s\nhas no %s", i, log[i], part)
			}
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Errorf("a document is in the log:\n%s", w.log)
	}
}

// repeating is a problem that repeats a part of a document.
func repeating(value string) error {
	p := problems(1)
	p[0].Message = "unknown field " + value
	return p
}
