package moves

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a stream without a network, so that time can be made exactly.
type wire struct {
	grpc.ServerStream
	ctx   context.Context
	up    chan *sessionv1.MovesRequest
	down  chan *sessionv1.MovesResponse
	ended chan error
}

func (w *wire) Context() context.Context { return w.ctx }

func (w *wire) Recv() (*sessionv1.MovesRequest, error) {
	select {
	case r, ok := <-w.up:
		if !ok {
			return nil, io.EOF
		}
		return r, nil
	case <-w.ctx.Done():
		return nil, grpcstatus.FromContextError(w.ctx.Err()).Err()
	}
}

func (w *wire) Send(r *sessionv1.MovesResponse) error {
	select {
	case w.down <- r:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

func connect(t *testing.T, s *Server) *wire {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &wire{ctx: ctx, up: make(chan *sessionv1.MovesRequest), down: make(chan *sessionv1.MovesResponse), ended: make(chan error, 1)}
	go func() { w.ended <- s.Exchange(w) }()
	t.Cleanup(cancel)
	synctest.Wait()
	return w
}

func (w *wire) say(moves ...*sessionv1.Moved) {
	w.up <- &sessionv1.MovesRequest{Moves: moves}
	synctest.Wait()
}

func (w *wire) next(t *testing.T) *sessionv1.MovesResponse {
	t.Helper()
	select {
	case r := <-w.down:
		return r
	case err := <-w.ended:
		t.Fatalf("the stream ended: %v", err)
	case <-time.After(time.Second):
		t.Fatal("nothing is told")
	}
	return nil
}

// quiet says that nothing is told.
func (w *wire) quiet(t *testing.T) {
	t.Helper()
	select {
	case r := <-w.down:
		t.Fatalf("an unexpected message: %v", r)
	case <-time.After(time.Second):
	}
}

func moved(key string, generation uint64, opened int64, ended bool) *sessionv1.Moved {
	return &sessionv1.Moved{
		Key: key, Sealed: fmt.Append(nil, key, generation, opened, ended), Generation: generation, OpenedAt: opened, Ended: ended,
	}
}

// TestMovesAreToldToOthers, once each and in order, and to those that come later before
// they are told that they know all.
func TestMovesAreToldToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		a, b := connect(t, s), connect(t, s)
		for _, w := range []*wire{a, b} {
			if r := w.next(t); !r.GetSynced() || len(r.GetMoves()) != 0 {
				t.Fatalf("before anything: %v", r)
			}
		}
		a.say(moved("x", 1, 10, false))
		if r := b.next(t); len(r.GetMoves()) != 1 || r.GetMoves()[0].GetKey() != "x" || r.GetSynced() {
			t.Fatalf("b is told %v", r)
		}
		a.quiet(t)
		b.quiet(t)
		for i := range 600 {
			a.say(moved(fmt.Sprint("k", i), 1, 10, false))
			b.next(t)
		}
		c, n := connect(t, s), 0
		for {
			r := c.next(t)
			if n += len(r.GetMoves()); len(r.GetMoves()) > MaxBatch || r.GetSynced() != (n == 601) {
				t.Fatalf("after %d moves: synced %v", n, r.GetSynced())
			}
			if r.GetSynced() {
				break
			}
		}
		s.Stop()
		for _, w := range []*wire{a, b, c} {
			if err := <-w.ended; grpcstatus.Code(err) != codes.Unavailable {
				t.Errorf("stopped: %v", err)
			}
		}
	})
}

// TestTheNewerMoveStays, whoever tells of it last.
func TestTheNewerMoveStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old, next *sessionv1.Moved
		told      bool
	}{
		"a later generation":      {moved("x", 1, 10, false), moved("x", 2, 20, false), true},
		"an earlier generation":   {moved("x", 2, 10, false), moved("x", 1, 5, false), false},
		"opened earlier":          {moved("x", 1, 10, false), moved("x", 1, 5, false), true},
		"opened later":            {moved("x", 1, 10, false), moved("x", 1, 15, false), false},
		"the same":                {moved("x", 1, 10, false), moved("x", 1, 10, false), false},
		"ended":                   {moved("x", 5, 10, false), moved("x", 1, 0, true), true},
		"not ended any more":      {moved("x", 1, 10, true), moved("x", 9, 10, false), false},
		"another session's":       {moved("x", 9, 10, true), moved("y", 1, 10, false), true},
		"without a generation":    {moved("x", 1, 10, false), moved("y", 0, 10, false), false},
		"without a key":           {moved("x", 1, 10, false), moved("", 1, 10, false), false},
		"with an enormous key":    {moved("x", 1, 10, false), moved(strings.Repeat("k", 513), 1, 10, false), false},
		"with an enormous secret": {moved("x", 1, 10, false), &sessionv1.Moved{Key: "y", Generation: 1, Sealed: make([]byte, 32<<10+1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{})
				a, b := connect(t, s), connect(t, s)
				a.next(t)
				b.next(t)
				a.say(c.old)
				b.next(t)
				a.say(c.next)
				if !c.told {
					b.quiet(t)
					return
				}
				if r := b.next(t); len(r.GetMoves()) != 1 || !bytes.Equal(r.GetMoves()[0].GetSealed(), c.next.GetSealed()) {
					t.Errorf("b is told %v", r)
				}
			})
		})
	}
}

// TestMovesAreBounded in number, in bytes, in age and by message.
func TestMovesAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	s := New(Options{Now: func() time.Time { return now }})
	from := &stream{}
	for i := range MaxMoves + 10 {
		s.take(from, []*sessionv1.Moved{moved(fmt.Sprint(i), 1, 1, false)}, false)
	}
	if s.Len() != MaxMoves || s.byKey["9"] != nil || s.byKey["10"] == nil {
		t.Errorf("%d moves, want the newest %d", s.Len(), MaxMoves)
	}
	large := make([]byte, maxSealedBytes)
	for i := range MaxBytes/maxSealedBytes + 10 {
		s.take(from, []*sessionv1.Moved{{Key: fmt.Sprint("large", i), Generation: 1, Sealed: large}}, false)
	}
	if s.bytes > MaxBytes || s.bytes < MaxBytes-2*maxSealedBytes {
		t.Errorf("%d bytes are kept", s.bytes)
	}
	now = now.Add(MaxAge + time.Second)
	s.take(from, []*sessionv1.Moved{moved("young", 1, 1, false)}, false)
	if s.Len() != 1 || s.bytes != s.order.Front().Value.(*entry).size() {
		t.Errorf("%d moves are left, %d bytes", s.Len(), s.bytes)
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		w := connect(t, s)
		w.next(t)
		w.up <- &sessionv1.MovesRequest{Moves: make([]*sessionv1.Moved, MaxBatch+1)}
		if err := <-w.ended; grpcstatus.Code(err) != codes.InvalidArgument {
			t.Errorf("too many at once: %v", err)
		}
		for range MaxProcessors {
			connect(t, s)
		}
		if err := <-connect(t, s).ended; grpcstatus.Code(err) != codes.ResourceExhausted {
			t.Errorf("too many processors: %v", err)
		}
	})
}

// TestAStartWaitsForWhatOthersKnow: a control plane that has just started, and knows nothing,
// tells a processor that it knows all only when enough of them have said what they know, with
// all of that, or when they have been waited for long enough.
func TestAStartWaitsForWhatOthersKnow(t *testing.T) {
	t.Parallel()
	all := func(w *wire, moves ...*sessionv1.Moved) {
		w.up <- &sessionv1.MovesRequest{Moves: moves, All: true}
		synctest.Wait()
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Expected: 2})
		young := connect(t, s)
		all(young)
		all(young)
		young.quiet(t)
		old := connect(t, s)
		old.say(moved("x", 3, 10, false))
		if r := young.next(t); len(r.GetMoves()) != 1 || r.GetSynced() {
			t.Fatalf("before the other one has said all: %v", r)
		}
		old.up <- &sessionv1.MovesRequest{Moves: []*sessionv1.Moved{moved("y", 1, 10, false)}, All: true}
		if r := young.next(t); len(r.GetMoves()) != 1 || r.GetMoves()[0].GetKey() != "y" || !r.GetSynced() {
			t.Fatalf("after it: %v", r)
		}
		if r := old.next(t); !r.GetSynced() {
			t.Fatalf("the other one: %v", r)
		}
		if r := connect(t, s).next(t); len(r.GetMoves()) != 2 || !r.GetSynced() {
			t.Fatalf("one that comes later: %v", r)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		began, s := time.Now(), New(Options{Expected: 2})
		w := connect(t, s)
		all(w)
		select {
		case r := <-w.down:
			if waited := time.Since(began); !r.GetSynced() || waited != settling {
				t.Fatalf("%v after %v, want all after %v", r, waited, settling)
			}
		case <-time.After(time.Minute):
			t.Fatal("one that is missing is waited for for ever")
		}
	})
}
