package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// plane is the other end of the exchange, one stream at a time, in the test's hands.
type plane struct {
	sessionv1.UnimplementedMovesServer
	heard chan *sessionv1.Moved
	// all is told how many moves a connection has begun with.
	all  chan int
	tell chan *sessionv1.MovesResponse
	cut  chan struct{}
}

func (p *plane) Exchange(stream sessionv1.Moves_ExchangeServer) error {
	go func() {
		for n := 0; ; {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			for _, m := range request.GetMoves() {
				p.heard <- m
				n++
			}
			if request.GetAll() {
				p.all <- n
			}
		}
	}()
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-p.cut:
			return errors.New("cut")
		case response := <-p.tell:
			if err := stream.Send(response); err != nil {
				return err
			}
		}
	}
}

// startMoves runs Moves of a memory against a plane.
func startMoves(t *testing.T, memory *Memory, keys *Keyring) (*plane, *Moves) {
	t.Helper()
	p := &plane{heard: make(chan *sessionv1.Moved, 2000), all: make(chan int, 10), tell: make(chan *sessionv1.MovesResponse), cut: make(chan struct{})}
	listener, server := bufconn.Listen(1<<20), grpc.NewServer()
	sessionv1.RegisterMovesServer(server, p)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///plane", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	keyed := make(chan struct{})
	close(keyed)
	moves, err := NewMoves(MovesOptions{Conn: conn, Memory: memory, Keyring: func() *Keyring { return keys }, Keyed: keyed})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- moves.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := errors.Join(conn.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return p, moves
}

func (p *plane) next(t *testing.T) *sessionv1.Moved {
	t.Helper()
	select {
	case m := <-p.heard:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is told")
		return nil
	}
}

// TestMoves: all that is known is told at each connection, each change after that, and
// what others tell is taken where it is newer and sealed for its session.
func TestMoves(t *testing.T) {
	t.Parallel()
	memory, keys := newMemory(t), ring(t, keyOf(1, start))
	put := func(key string, s *sessionv1.State) {
		t.Helper()
		if _, err := memory.Put(t.Context(), key, s); err != nil {
			t.Fatal(err)
		}
	}
	put("before", &sessionv1.State{Generation: 1, Endpoint: "a", UpstreamId: "secret-id", OpenedAt: 10})
	p, moves := startMoves(t, memory, keys)
	m := p.next(t)
	state, err := keys.openMove(m)
	if err != nil || m.GetKey() != "before" || m.GetOpenedAt() != 10 || state.GetUpstreamId() != "secret-id" {
		t.Fatalf("%v, %v, %v", m, state, err)
	}
	if n := <-p.all; n != 1 {
		t.Errorf("%d moves are all that was known", n)
	}
	put("later", &sessionv1.State{Generation: 1, Ended: true})
	if m := p.next(t); m.GetKey() != "later" || !m.GetEnded() {
		t.Fatalf("a change: %v", m)
	}
	select {
	case <-moves.Synced():
		t.Error("synced before the control plane said so")
	default:
	}
	sealed := func(key string, s *sessionv1.State) *sessionv1.Moved {
		out, err := keys.sealMove(key, s, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	swapped := sealed("before", &sessionv1.State{Generation: 9, Endpoint: "evil"})
	swapped.Key = "later"
	foreign, err := ring(t, keyOf(2, start)).sealMove("before", &sessionv1.State{Generation: 9, Endpoint: "evil"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.tell <- &sessionv1.MovesResponse{Synced: true, Moves: []*sessionv1.Moved{
		swapped, foreign,
		{Key: "before", Sealed: []byte("garbage"), Generation: 9},
		{Key: "later", Generation: 9},
		sealed("before", &sessionv1.State{Generation: 1, Endpoint: "younger", OpenedAt: 11}),
		sealed("other", &sessionv1.State{Generation: 1, Endpoint: "b"}),
	}}
	<-moves.Synced()
	for key, want := range map[string]string{"before": "a", "later": "", "other": "b"} {
		if state, _ := memory.Get(t.Context(), key); state.GetEndpoint() != want {
			t.Errorf("%s: %v, want it at %q", key, state, want)
		}
	}
	p.cut <- struct{}{}
	again := map[string]bool{}
	for range 3 {
		again[p.next(t).GetKey()] = true
	}
	if n := <-p.all; n != 3 {
		t.Errorf("%d moves are all that was known, of 3", n)
	}
	if !again["before"] || !again["later"] || !again["other"] {
		t.Errorf("a new connection is told of %v", again)
	}
}

// TestWins is the same for everybody, whatever comes first.
func TestWins(t *testing.T) {
	t.Parallel()
	order := []*sessionv1.State{
		{Ended: true, Generation: 1}, {Generation: 3, OpenedAt: 9}, {Generation: 2, OpenedAt: 1}, {Generation: 2, OpenedAt: 5}, {Generation: 1}, nil,
	}
	for i, a := range order {
		for j, b := range order {
			if got := wins(a, b); got != (i < j) {
				t.Errorf("%v wins over %v: %v", a, b, got)
			}
		}
	}
	for i := range order {
		for j := range order {
			memory, key := newMemory(t), fmt.Sprint(i, j)
			for _, s := range []*sessionv1.State{order[i], order[j]} {
				if s != nil {
					memory.adopt(key, proto.CloneOf(s))
				}
			}
			if kept, _ := memory.Get(t.Context(), key); !proto.Equal(kept, order[min(i, j)]) {
				t.Errorf("of %v and %v %v is kept", order[i], order[j], kept)
			}
		}
	}
}
