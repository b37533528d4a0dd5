package fleet

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is a connection without one, so that time can be made exactly.
type network struct {
	mu      sync.Mutex
	dialled []time.Time
	up      bool
	open    *stream
}

func (n *network) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return errors.New("not used")
}

func (n *network) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dialled = append(n.dialled, time.Now())
	if !n.up {
		return nil, errors.New("connection refused")
	}
	n.open = &stream{ctx: ctx, summaries: make(chan *outcomev1.Summary), fleets: make(chan *outcomev1.Fleet), broken: make(chan struct{})}
	return n.open, nil
}

func (n *network) set(up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = up
	if !up && n.open != nil {
		close(n.open.broken)
		n.open = nil
	}
}

func (n *network) stream() *stream {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

type stream struct {
	grpc.ClientStream
	ctx       context.Context
	summaries chan *outcomev1.Summary
	fleets    chan *outcomev1.Fleet
	broken    chan struct{}
}

func (s *stream) SendMsg(m any) error {
	select {
	case s.summaries <- proto.CloneOf(m.(*outcomev1.Summary)):
		return nil
	case <-s.broken:
		return io.EOF
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *stream) RecvMsg(m any) error {
	select {
	case f := <-s.fleets:
		proto.Merge(m.(*outcomev1.Fleet), f)
		return nil
	case <-s.broken:
		return errors.New("connection reset")
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// next takes the next summary, within limit.
func (s *stream) next(t *testing.T, limit time.Duration) (*outcomev1.Summary, time.Duration) {
	t.Helper()
	began := time.Now()
	select {
	case m := <-s.summaries:
		return m, time.Since(began)
	case <-time.After(limit):
		t.Fatalf("no summary within %s", limit)
		return nil, 0
	}
}

// local is what a processor has seen and holds.
type local struct {
	mu               sync.Mutex
	counts, merged   []*outcomev1.Count
	breakers, closed []*outcomev1.Breaker
	adopted          []*outcomev1.Fleet
	overrides        [][]*outcomev1.Override
	drains, counted  int
}

func (l *local) Drain() []*outcomev1.Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drains++
	out := l.counts
	l.counts = nil
	return out
}

func (l *local) Merge(counts []*outcomev1.Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.merged = append(l.merged, counts...)
}

func (l *local) List() []*outcomev1.Breaker {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := append(append([]*outcomev1.Breaker(nil), l.breakers...), l.closed...)
	l.closed = nil
	return out
}

func (l *local) Adopt(f *outcomev1.Fleet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adopted = append(l.adopted, f)
}

func (l *local) Override(o []*outcomev1.Override) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overrides = append(l.overrides, o)
}

func (l *local) with(change func(*local)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// start runs a Client until the test ends.
func start(t *testing.T, n *network) (*local, *Client) {
	t.Helper()
	l := &local{}
	c, err := New(Options{Conn: n, Processor: "extproc-1", Windows: l, Breakers: l, Counted: func(counts []*outcomev1.Count) {
		l.with(func(l *local) { l.counted += len(counts) })
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return l, c
}

var someCount = &outcomev1.Count{Server: "orders", Method: "tools/call", Tool: "get_order", Failed: 3}

func brokenTool(state outcomev1.BreakerState) *outcomev1.Breaker {
	return &outcomev1.Breaker{Server: "orders", Tool: "get_order", Region: "asia-south1", State: state, Since: timestamppb.New(time.Now())}
}

func TestSummaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{up: true}
		l, _ := start(t, n)
		s := n.stream()
		if m, took := s.next(t, time.Second); m.GetProcessor() != "extproc-1" || took != 0 {
			t.Fatalf("first: %v after %s", m, took)
		}
		// Nothing to say, but a sign of life.
		if m, took := s.next(t, 7*time.Second); len(m.GetCounts())+len(m.GetBreakers()) > 0 || took != signInterval {
			t.Fatalf("sign of life: %v after %s", m, took)
		}
		l.with(func(l *local) { l.counts = []*outcomev1.Count{someCount} })
		if m, took := s.next(t, 2*time.Second); len(m.GetCounts()) != 1 || took > summaryInterval {
			t.Fatalf("counts: %v after %s", m, took)
		}
		l.with(func(l *local) {
			l.breakers = []*outcomev1.Breaker{brokenTool(outcomev1.BreakerState_BREAKER_STATE_OPEN)}
		})
		if m, took := s.next(t, 2*time.Second); len(m.GetBreakers()) != 1 || took > summaryInterval {
			t.Fatalf("breaker: %v after %s", m, took)
		}
		// The same breaker is no news.
		if m, took := s.next(t, 7*time.Second); len(m.GetBreakers()) != 1 || took != signInterval {
			t.Fatalf("the same: %v after %s", m, took)
		}
	})
}

func TestFleetIsTakenAndLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{up: true}
		l, c := start(t, n)
		s := n.stream()
		s.next(t, time.Second)
		if c.Connected() {
			t.Error("connected before the fleet has said a word")
		}
		fleet := &outcomev1.Fleet{
			Processors: []string{"extproc-1", "extproc-2"}, Counts: []*outcomev1.Count{someCount},
			Overrides: []*outcomev1.Override{{Server: "orders", Tool: "report"}},
		}
		s.fleets <- fleet
		synctest.Wait()
		l.with(func(l *local) {
			if len(l.merged) != 1 || len(l.overrides) != 1 || len(l.overrides[0]) != 1 || len(l.adopted) != 1 || len(l.adopted[0].GetProcessors()) != 2 {
				t.Errorf("taken: %+v", l)
			}
		})
		if !c.Connected() || c.Processors() != 2 {
			t.Errorf("connected %v, %d processors", c.Connected(), c.Processors())
		}
		n.set(false)
		l.with(func(l *local) { l.counts, l.drains = []*outcomev1.Count{someCount}, 0 })
		time.Sleep(60 * time.Second)
		synctest.Wait()
		l.with(func(l *local) {
			if len(l.adopted) != 2 || l.adopted[1] != nil {
				t.Errorf("alone: %v", l.adopted)
			}
			if len(l.overrides) != 1 {
				t.Errorf("what operators said is gone with the control plane: %v", l.overrides)
			}
			if l.drains < 59 || l.counted != 1 {
				t.Errorf("while alone: %d drains, %d counted", l.drains, l.counted)
			}
		})
		n.mu.Lock()
		for i := 3; i < len(n.dialled); i++ {
			if gap := n.dialled[i].Sub(n.dialled[i-1]); gap > backoffMax || (i > 8 && gap < backoffMax/2) {
				t.Errorf("attempt %d after %s", i, gap)
			}
		}
		if len(n.dialled) > 40 {
			t.Errorf("%d attempts in a minute", len(n.dialled))
		}
		n.mu.Unlock()
		n.set(true)
		time.Sleep(backoffMax)
		synctest.Wait()
		// What was observed while alone is old: nobody is told.
		if m, _ := n.stream().next(t, time.Second); len(m.GetCounts()) != 0 {
			t.Errorf("back: %v", m)
		}
	})
}

func TestASlowNetworkHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{up: true}
		l, _ := start(t, n)
		l.with(func(l *local) {
			l.closed = []*outcomev1.Breaker{brokenTool(outcomev1.BreakerState_BREAKER_STATE_CLOSED)}
		})
		time.Sleep(summaryInterval / 2)
		for range 20 {
			l.with(func(l *local) { l.counts = []*outcomev1.Count{someCount} })
			time.Sleep(time.Second)
		}
		synctest.Wait()
		l.with(func(l *local) {
			if l.drains < 20 || l.counted != 20 {
				t.Errorf("%d drains, %d counted", l.drains, l.counted)
			}
		})
		// One is under way, one in the channel, and one has all the breakers.
		s := n.stream()
		var closed int
		for range 3 {
			m, _ := s.next(t, 2*time.Second)
			closed += len(m.GetBreakers())
			if len(m.GetCounts()) > 1 {
				t.Errorf("late counts: %v", m)
			}
		}
		if closed == 0 {
			t.Error("nobody is told that the breaker has closed")
		}
	})
}

func TestNewRefuses(t *testing.T) {
	l := &local{}
	for _, opts := range []Options{{}, {Conn: &network{}, Windows: l, Breakers: l}, {Conn: &network{}, Processor: "a", Breakers: l}} {
		if _, err := New(opts); err == nil {
			t.Errorf("%+v is taken", opts)
		}
	}
}
