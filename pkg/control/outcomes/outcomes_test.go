package outcomes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a stream without a network, so that time can be made exactly.
type wire struct {
	grpc.ServerStream
	ctx    context.Context
	up     chan *outcomev1.Summary
	down   chan *outcomev1.Fleet
	cancel context.CancelFunc
	ended  chan error
}

func (w *wire) Context() context.Context { return w.ctx }

func (w *wire) Recv() (*outcomev1.Summary, error) {
	select {
	case s, ok := <-w.up:
		if !ok {
			return nil, io.EOF
		}
		return s, nil
	case <-w.ctx.Done():
		return nil, grpcstatus.FromContextError(w.ctx.Err()).Err()
	}
}

func (w *wire) Send(f *outcomev1.Fleet) error {
	select {
	case w.down <- f:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// connect opens a stream whose receiver takes nothing until the test does.
func connect(t *testing.T, s *Server) *wire {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &wire{ctx: ctx, cancel: cancel, up: make(chan *outcomev1.Summary), down: make(chan *outcomev1.Fleet), ended: make(chan error, 1)}
	go func() {
		w.ended <- s.Exchange(w)
		cancel()
	}()
	t.Cleanup(cancel)
	return w
}

func (w *wire) say(s *outcomev1.Summary) {
	w.up <- s
	synctest.Wait()
}

// none is how long a test looks for a Fleet that must not come.
const none = 4 * time.Second

func (w *wire) next(t *testing.T) *outcomev1.Fleet {
	t.Helper()
	select {
	case f := <-w.down:
		return f
	case err := <-w.ended:
		t.Fatalf("the stream ended: %v", err)
	case <-time.After(none):
		t.Fatal("no Fleet")
	}
	return nil
}

func (w *wire) quiet(t *testing.T) {
	t.Helper()
	select {
	case f := <-w.down:
		t.Fatalf("an unexpected Fleet: %v", f)
	case <-time.After(none):
	}
}

func orders(tool string, good, failed uint32) *outcomev1.Count {
	return &outcomev1.Count{Server: "orders", Method: "tools/call", Tool: tool, Region: "asia-south1", Endpoint: "127.0.0.1:7101", Good: good, Failed: failed}
}

func breaker(tool string, state outcomev1.BreakerState, since time.Time) *outcomev1.Breaker {
	return &outcomev1.Breaker{Server: "orders", Tool: tool, Region: "asia-south1", State: state, Since: timestamppb.New(since), By: "a"}
}

const (
	open     = outcomev1.BreakerState_BREAKER_STATE_OPEN
	closed   = outcomev1.BreakerState_BREAKER_STATE_CLOSED
	halfOpen = outcomev1.BreakerState_BREAKER_STATE_HALF_OPEN
)

func TestFleetsAreOfOthersAndOnlyOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		a, b := connect(t, s), connect(t, s)
		a.say(&outcomev1.Summary{Processor: "a", Counts: []*outcomev1.Count{orders("get_order", 1, 2)}})
		if f := a.next(t); !slices.Equal(f.GetProcessors(), []string{"a"}) || len(f.GetCounts()) != 0 {
			t.Fatalf("the first Fleet of a: %v", f)
		}
		b.say(&outcomev1.Summary{Processor: "b"})
		f := b.next(t)
		if !slices.Equal(f.GetProcessors(), []string{"a", "b"}) || len(f.GetCounts()) != 1 || f.GetCounts()[0].GetFailed() != 2 {
			t.Fatalf("the first Fleet of b: %v", f)
		}
		if f := a.next(t); !slices.Equal(f.GetProcessors(), []string{"a", "b"}) || len(f.GetCounts()) != 0 {
			t.Fatalf("a is told of b: %v", f)
		}
		// A sign of life changes nothing for anybody.
		a.say(&outcomev1.Summary{Processor: "a"})
		a.quiet(t)
		b.quiet(t)
		since := time.Now()
		a.say(&outcomev1.Summary{Processor: "a", Breakers: []*outcomev1.Breaker{breaker("get_order", open, since)}})
		if f := b.next(t); len(f.GetBreakers()) != 1 || f.GetBreakers()[0].GetState() != open || len(f.GetCounts()) != 0 {
			t.Fatalf("b is told of the breaker: %v", f)
		}
		b.cancel()
		<-b.ended
		if f := a.next(t); !slices.Equal(f.GetProcessors(), []string{"a"}) {
			t.Fatalf("a is told that b is gone: %v", f)
		}
		close(a.up)
		if err := <-a.ended; err != nil {
			t.Fatalf("a stream that its processor ended: %v", err)
		}
	})
}

func TestSlowReceiversGetJoinedFleets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		a, slow := connect(t, s), connect(t, s)
		slow.say(&outcomev1.Summary{Processor: "slow"})
		go func() {
			for range a.down { //nolint:revive // taken, not looked at
			}
		}()
		for i := range 5 {
			principal := uint64(i)
			count := orders("get_order", 1, 2)
			count.FailedPrincipals = []uint64{principal}
			count.Latency = []uint32{0, 3}
			a.say(&outcomev1.Summary{Processor: "a", Counts: []*outcomev1.Count{count}})
			time.Sleep(time.Second)
		}
		slow.next(t) // composed before there were counts
		f := slow.next(t)
		if len(f.GetCounts()) != 1 || f.GetCounts()[0].GetFailed() != 10 || f.GetCounts()[0].GetLatency()[1] != 15 || len(f.GetCounts()[0].GetFailedPrincipals()) != 5 {
			t.Fatalf("joined: %v", f.GetCounts())
		}
		slow.say(&outcomev1.Summary{Processor: "slow"})
		slow.quiet(t)
		a.cancel()
		<-a.ended
		close(a.down)
	})
}

// TestSurplusesAreJoined: one caller's surplus over the others survives being joined with other counts, and those of
// different callers cancel each other out.
func TestSurplusesAreJoined(t *testing.T) {
	t.Parallel()
	count := func(failed, surplus uint32, by ...uint64) *outcomev1.Count {
		c := orders("get_order", 0, failed)
		c.FailedSurplus, c.FailedPrincipals, c.Confirmed = surplus, by, 1
		return c
	}
	for _, x := range []struct {
		a, b    *outcomev1.Count
		surplus uint32
		first   uint64
	}{
		{count(5, 5, 1), count(7, 3, 1, 2), 8, 1},
		{count(5, 5, 1), count(3, 3, 2), 2, 1},
		{count(3, 3, 1), count(9, 5, 2, 3), 2, 2},
		{count(4, 0, 1, 2), count(3, 3, 2), 3, 2},
		{count(5, 5, 1), count(2, 0), 5, 1},
	} {
		got := join([]batch{{counts: []*outcomev1.Count{x.a}}, {counts: []*outcomev1.Count{x.b}}})
		if len(got) != 1 || got[0].GetFailedSurplus() != x.surplus || got[0].GetFailedPrincipals()[0] != x.first || got[0].GetConfirmed() != 2 {
			t.Errorf("%v and %v: %v", x.a, x.b, got)
		}
	}
}

func TestFleetsKeepTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		a, b := connect(t, s), connect(t, s)
		b.say(&outcomev1.Summary{Processor: "b"})
		var at []time.Time
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range b.down {
				at = append(at, time.Now())
			}
		}()
		go func() {
			for range a.down { //nolint:revive // taken, not looked at
			}
		}()
		for range 40 {
			a.say(&outcomev1.Summary{Processor: "a", Counts: []*outcomev1.Count{orders("get_order", 1, 0)}})
			time.Sleep(100 * time.Millisecond)
		}
		a.cancel()
		b.cancel()
		<-a.ended
		<-b.ended
		close(a.down)
		close(b.down)
		<-done
		if len(at) < 4 {
			t.Fatalf("only %d Fleets", len(at))
		}
		for i := 1; i < len(at); i++ {
			if d := at[i].Sub(at[i-1]); d < fleetInterval {
				t.Errorf("two Fleets within %s", d)
			}
		}
	})
}

func TestTheNewestWordAboutABreakerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes atomic.Int64
		s := New(Options{Changed: func() { changes.Add(1) }})
		a, b, c := connect(t, s), connect(t, s), connect(t, s)
		opened := time.Now()
		stale := breaker("get_order", open, opened)
		a.say(&outcomev1.Summary{Processor: "a", Breakers: []*outcomev1.Breaker{stale}})
		b.say(&outcomev1.Summary{Processor: "b", Breakers: []*outcomev1.Breaker{stale}})
		c.say(&outcomev1.Summary{Processor: "c"})
		if f := c.next(t); len(f.GetBreakers()) != 1 || f.GetBreakers()[0].GetState() != open {
			t.Fatalf("open: %v", f)
		}
		time.Sleep(2 * time.Second)
		a.say(&outcomev1.Summary{Processor: "a", Breakers: []*outcomev1.Breaker{breaker("get_order", closed, time.Now())}})
		if f := c.next(t); len(f.GetBreakers()) != 1 || f.GetBreakers()[0].GetState() != closed {
			t.Fatalf("closed, though b has not heard of it: %v", f)
		}
		if left := s.Breakers(); len(left) != 0 {
			t.Fatalf("not closed: %v", left)
		}
		// Told once; b's old word does not bring it back while it is old.
		a.say(&outcomev1.Summary{Processor: "a"})
		b.say(&outcomev1.Summary{Processor: "b", Breakers: []*outcomev1.Breaker{stale}})
		c.say(&outcomev1.Summary{Processor: "c"})
		c.quiet(t)
		b.say(&outcomev1.Summary{Processor: "b", Breakers: []*outcomev1.Breaker{breaker("get_order", halfOpen, time.Now())}})
		if f := c.next(t); len(f.GetBreakers()) != 1 || f.GetBreakers()[0].GetState() != halfOpen {
			t.Fatalf("half open: %v", f)
		}
		if changes.Load() < 5 {
			t.Errorf("told of %d changes", changes.Load())
		}
	})
}

func TestOverrides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []*outcomev1.Override
		full := false
		save := func(all []*outcomev1.Override) error {
			if full {
				return errors.New("no space")
			}
			kept = all
			return nil
		}
		s := New(Options{Save: save})
		a := connect(t, s)
		a.say(&outcomev1.Summary{Processor: "a"})
		a.next(t)
		word := &outcomev1.Override{Server: "orders", Tool: "get_order", State: open, By: "operator asha", Reason: "bad release", Until: timestamppb.New(time.Now().Add(30 * time.Second))}
		if err := s.SetOverride(word); err != nil {
			t.Fatal(err)
		}
		if f := a.next(t); len(f.GetOverrides()) != 1 || f.GetOverrides()[0].GetReason() != "bad release" || f.GetOverrides()[0].GetSince() == nil {
			t.Fatalf("told: %v", f)
		}
		full = true
		if err := s.TakeBack(overrideKey(word)); err == nil || len(s.Overrides()) != 1 {
			t.Fatalf("taken back without being kept: %v, %v", err, s.Overrides())
		}
		full = false
		if err := s.TakeBack(Key{Server: "orders", Tool: "get_order", Region: "asia-south1"}); !errors.Is(err, ErrNoOverride) {
			t.Fatalf("another one: %v", err)
		}
		// A restart has what was kept, and it ends in its time.
		s.Stop()
		if err := <-a.ended; grpcstatus.Code(err) != codes.Unavailable {
			t.Fatalf("stopped: %v", err)
		}
		again := New(Options{Overrides: kept, Save: save})
		b := connect(t, again)
		b.say(&outcomev1.Summary{Processor: "b"})
		if f := b.next(t); len(f.GetOverrides()) != 1 {
			t.Fatalf("after a restart: %v", f)
		}
		for range 3 {
			time.Sleep(9 * time.Second)
			b.say(&outcomev1.Summary{Processor: "b"})
		}
		if f := b.next(t); len(f.GetOverrides()) != 0 {
			t.Fatalf("over: %v", f)
		}
		b.cancel()
		<-b.ended
	})
}

func TestOverridesAreBounded(t *testing.T) {
	s := New(Options{})
	for i := range MaxOverrides {
		if err := s.SetOverride(&outcomev1.Override{Server: "orders", Tool: fmt.Sprint(i), State: open}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetOverride(&outcomev1.Override{Server: "orders", Tool: "one more", State: open}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if err := s.SetOverride(&outcomev1.Override{Server: "orders", Tool: "0", State: closed}); err != nil {
		t.Errorf("another word on a known one: %v", err)
	}
	for _, wrong := range []*outcomev1.Override{
		{},
		{Server: "orders", Tool: "x", State: halfOpen},
		{Server: "orders", Tool: "x\n", State: open},
		{Server: "orders", State: open},
		{Server: "orders", Tool: "x", State: open, Until: &timestamppb.Timestamp{Nanos: -1}},
	} {
		if err := s.SetOverride(wrong); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}

func TestHostileProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		for _, name := range []string{"", "a\n", strings.Repeat("a", 300), "\xff"} {
			w := connect(t, s)
			w.say(&outcomev1.Summary{Processor: name})
			if err := <-w.ended; grpcstatus.Code(err) != codes.InvalidArgument {
				t.Errorf("%q: %v", name, err)
			}
		}
		w := connect(t, s)
		go func() {
			for range w.down { //nolint:revive // taken, not looked at
			}
		}()
		flood := &outcomev1.Summary{Processor: "w", Counts: []*outcomev1.Count{nil, {Server: "orders\x00"}, {}}, Breakers: []*outcomev1.Breaker{nil, {Server: "orders"}}}
		for i := range 3 * MaxCounts {
			flood.Counts = append(flood.Counts, orders(fmt.Sprint("invented-", i), 1, ^uint32(0)))
			flood.Breakers = append(flood.Breakers, breaker(fmt.Sprint("invented-", i), open, time.Now()))
		}
		began := time.Now()
		const messages = 40
		for range messages {
			w.up <- flood
		}
		if took := time.Since(began); took < (messages-summariesAtOnce-2)*time.Second/summariesPerSecond {
			t.Errorf("%d messages were read within %s", messages, took)
		}
		synctest.Wait()
		if n := len(s.Breakers()); n != MaxBreakers {
			t.Errorf("%d breakers", n)
		}
		if n := len(s.Verdicts()); n != MaxCounts {
			t.Errorf("%d counts", n)
		}
		s.mu.Lock()
		if s.recent.counts > maxRecent {
			t.Errorf("%d counts wait", s.recent.counts)
		}
		s.mu.Unlock()
		if s.Dropped() == 0 {
			t.Error("nothing was dropped")
		}
		w.up <- &outcomev1.Summary{Processor: "another"}
		if err := <-w.ended; grpcstatus.Code(err) != codes.InvalidArgument {
			t.Errorf("another name: %v", err)
		}
		close(w.down)
	})
}

func TestProcessorsAreBoundedAndSilentOnesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		var all []*wire
		for range MaxProcessors {
			all = append(all, connect(t, s))
		}
		synctest.Wait()
		if err := <-connect(t, s).ended; grpcstatus.Code(err) != codes.ResourceExhausted {
			t.Errorf("one more: %v", err)
		}
		for _, w := range all {
			if err := <-w.ended; grpcstatus.Code(err) != codes.DeadlineExceeded {
				t.Fatalf("silent: %v", err)
			}
		}
	})
}

func TestVerdictsForgetWithTime(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := New(Options{Now: func() time.Time { return now }})
	st := &stream{breakers: map[Key]held{}}
	s.enter(st)
	if err := s.take(st, &outcomev1.Summary{Processor: "a", Counts: []*outcomev1.Count{orders("get_order", 3, 1), orders("invented", 0, 1)}}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(30 * time.Second)
	if err := s.take(st, &outcomev1.Summary{Processor: "a", Counts: []*outcomev1.Count{orders("get_order", 0, 5)}}); err != nil {
		t.Fatal(err)
	}
	v := s.Verdicts()
	if len(v) != 2 || v[0].Recent != (Counts{Failed: 5}) || v[0].Minute != (Counts{Good: 3, Failed: 6}) {
		t.Fatalf("%+v", v)
	}
	if known := s.Known("orders"); !slices.Equal(known, []string{"get_order"}) {
		t.Errorf("known: %v", known)
	}
	now = now.Add(40 * time.Second)
	if v := s.Verdicts(); len(v) != 1 || v[0].Minute != (Counts{Failed: 5}) {
		t.Fatalf("%+v", v)
	}
}

// FuzzSummary: whatever a processor sends, the bounds hold and nothing breaks.
func FuzzSummary(f *testing.F) {
	seed := &outcomev1.Summary{
		Processor: "extproc-1", Counts: []*outcomev1.Count{orders("get_order", 1, 2)}, Breakers: []*outcomev1.Breaker{breaker("get_order", open, time.Unix(1, 0))},
	}
	data, err := proto.Marshal(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, data)
	f.Add([]byte{}, []byte("\x0a\x01a\x12\x00\x1a\x00"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := New(Options{})
		sender, receiver := &stream{breakers: map[Key]held{}}, &stream{breakers: map[Key]held{}, processor: "other", heard: time.Now()}
		s.enter(sender)
		s.enter(receiver)
		for _, data := range [][]byte{first, second} {
			summary := &outcomev1.Summary{}
			if proto.Unmarshal(data, summary) != nil {
				continue
			}
			if err := s.take(sender, summary); err != nil && grpcstatus.Code(err) != codes.InvalidArgument {
				t.Fatal(err)
			}
			fleet, _, _, err := s.compose(receiver)
			if err != nil || len(fleet.GetCounts()) > MaxCounts || len(fleet.GetBreakers()) > 2*MaxBreakers {
				t.Fatalf("%v, %d counts, %d breakers", err, len(fleet.GetCounts()), len(fleet.GetBreakers()))
			}
			if _, err := proto.Marshal(fleet); err != nil {
				t.Fatal(err)
			}
		}
		s.Verdicts()
		s.Breakers()
	})
}
