package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

const (
	// sealedMove is authenticated with the key of each move: nothing that is sealed for
	// another purpose, or another session, passes for it.
	sealedMove = "holdfast session move 1 "
	// maxMoves and maxMovesBytes bound a message; session.proto names the first too.
	maxMoves      = 256
	maxMovesBytes = 1 << 20
	// maxResponseBytes bounds what is taken from the control plane at once.
	maxResponseBytes = 4 << 20
	// moveBackoffBase to moveBackoffMax are the pauses between attempts to connect.
	moveBackoffBase = 100 * time.Millisecond
	moveBackoffMax  = 5 * time.Second
)

// MovesOptions of Moves. All but Logger are required.
type MovesOptions struct {
	// Conn leads to the control plane; it may be down.
	Conn grpc.ClientConnInterface
	// Memory has what is told, and takes what is heard.
	Memory *Memory
	// Keyring gives the keys, which there are once Keyed is closed.
	Keyring func() *Keyring
	Keyed   <-chan struct{}
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Moves tells the other processors, through the control plane, where the sessions are
// that were opened again here, and hears the same from them (sessionv1.Moves). It has
// goroutines of its own: no call waits for it, and while the control plane is away each
// processor goes on with what it knows. Run may be called once.
type Moves struct {
	opts   MovesOptions
	api    sessionv1.MovesClient
	log    *slog.Logger
	synced chan struct{}
	once   sync.Once
	away   atomic.Bool

	mu sync.Mutex
	// pending are the keys of states that are to be told, bounded like the Memory.
	pending map[string]struct{}
	// wake has room for one.
	wake chan struct{}
}

// NewMoves makes Moves, which hears of changes of the Memory from here on.
func NewMoves(opts MovesOptions) (*Moves, error) {
	if opts.Conn == nil || opts.Memory == nil || opts.Keyring == nil || opts.Keyed == nil {
		return nil, errors.New("moves of sessions: connection, memory and keys are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Moves{
		opts: opts, api: sessionv1.NewMovesClient(opts.Conn), log: opts.Logger,
		synced: make(chan struct{}), pending: map[string]struct{}{}, wake: make(chan struct{}, 1),
	}
	note := m.note
	opts.Memory.changed.Store(&note)
	return m, nil
}

// Synced is closed once all is known that the others had told before this processor
// first connected.
func (m *Moves) Synced() <-chan struct{} { return m.synced }

// note puts a state among those that are to be told.
func (m *Moves) note(key string) {
	m.mu.Lock()
	if len(m.pending) < DefaultStates {
		m.pending[key] = struct{}{}
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run takes part until ctx ends. It returns nil then.
func (m *Moves) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.opts.Keyed:
	}
	retry := time.NewTimer(0)
	defer retry.Stop()
	for attempt := 0; ; attempt++ {
		select {
		case <-ctx.Done():
			return nil
		case <-retry.C:
		}
		heard, err := m.exchange(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if heard {
			attempt = 0
		}
		level := slog.LevelDebug
		if !m.away.Swap(true) {
			// One word an outage: there may be hundreds of attempts.
			level = slog.LevelWarn
		}
		m.log.Log(ctx, level, "the fleet is not told of sessions that move", "error", err)
		pause := min(moveBackoffBase<<min(attempt, 10), moveBackoffMax)
		retry.Reset(pause/2 + rand.N(pause/2+1)) //nolint:gosec // spreading load needs no secrecy
	}
}

// exchange runs one stream to its end; heard says that the control plane answered.
func (m *Moves) exchange(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := m.api.Exchange(ctx, grpc.MaxCallRecvMsgSize(maxResponseBytes))
	if err != nil {
		return false, fmt.Errorf("opening the stream of moves: %w", err)
	}
	type ended struct {
		heard bool
		err   error
	}
	received := make(chan ended, 1)
	go func() {
		heard, err := m.receive(stream)
		received <- ended{heard, err}
	}()
	// A control plane that has just started knows nothing.
	for key := range m.opts.Memory.states.Keys() {
		m.note(key)
	}
	for all := true; ; all = false {
		for request := m.next(ctx); request != nil || all; request = m.next(ctx) {
			if request == nil {
				request, all = &sessionv1.MovesRequest{All: true}, false
			}
			if err := stream.Send(request); err != nil {
				// The status is with the receiver.
				cancel()
				end := <-received
				return end.heard, errors.Join(fmt.Errorf("telling of moves: %w", err), end.err)
			}
		}
		select {
		case end := <-received:
			return end.heard, end.err
		case <-m.wake:
		}
	}
}

// next takes what fits into a message out of what is pending; nil: there is nothing.
func (m *Moves) next(ctx context.Context) *sessionv1.MovesRequest {
	ring := m.opts.Keyring()
	m.mu.Lock()
	defer m.mu.Unlock()
	request, size := &sessionv1.MovesRequest{}, 0
	for key := range m.pending {
		if len(request.GetMoves()) == maxMoves || size >= maxMovesBytes {
			break
		}
		delete(m.pending, key)
		state, _ := m.opts.Memory.Get(ctx, key)
		if state == nil || ring == nil {
			continue
		}
		moved, err := ring.sealMove(key, state, time.Now())
		if err != nil {
			m.log.WarnContext(ctx, "the fleet is not told of a session", "error", err)
			continue
		}
		request.Moves, size = append(request.Moves, moved), size+len(moved.GetSealed())
	}
	if len(request.GetMoves()) == 0 {
		return nil
	}
	return request
}

// receive takes what the others tell until the stream ends.
func (m *Moves) receive(stream sessionv1.Moves_ExchangeClient) (heard bool, err error) {
	for {
		response, err := stream.Recv()
		if err != nil {
			return heard, fmt.Errorf("hearing of moves: %w", err)
		}
		heard = true
		if m.away.Swap(false) {
			m.log.Info("the fleet is told of sessions that move again")
		}
		ring := m.opts.Keyring()
		for _, moved := range response.GetMoves() {
			state, err := ring.openMove(moved)
			if err != nil {
				// Its key has gone, or is not here yet.
				m.log.Debug("a move of a session is not known", "error", err)
				continue
			}
			m.opts.Memory.adopt(moved.GetKey(), state)
		}
		if response.GetSynced() {
			m.once.Do(func() { close(m.synced) })
		}
	}
}

func (r *Keyring) sealMove(key string, state *sessionv1.State, now time.Time) (*sessionv1.Moved, error) {
	plain, err := proto.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("sealing a move: %w", err)
	}
	return &sessionv1.Moved{
		Key: key, Sealed: r.seal(plain, sealedMove+key, now),
		Generation: state.GetGeneration(), Ended: state.GetEnded(), OpenedAt: state.GetOpenedAt(),
	}, nil
}

func (r *Keyring) openMove(moved *sessionv1.Moved) (*sessionv1.State, error) {
	plain, err := r.unseal(moved.GetSealed(), sealedMove+moved.GetKey())
	if err != nil {
		return nil, err
	}
	state := &sessionv1.State{}
	if err := proto.Unmarshal(plain, state); err != nil {
		return nil, ErrUnknown
	}
	return state, nil
}
