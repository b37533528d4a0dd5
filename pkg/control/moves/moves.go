// Package moves tells the processors of a fleet where the sessions are that one of them
// has opened again on another endpoint. It is the control plane's side of
// sessionv1.Moves: it reads nothing of what it carries but its order, keeps it in
// memory only, and after a restart is told again by the processors.
package moves

import (
	"container/list"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// Bounds on what is kept; the moves that were told longest ago give way.
const (
	// MaxProcessors is how many processors may have a stream at once.
	MaxProcessors = 256
	// MaxMoves and MaxBytes bound the moves of all sessions.
	MaxMoves = 50_000
	MaxBytes = 64 << 20
	// MaxAge is how long a move is kept after it was told last: as long as a session lasts.
	MaxAge = 30 * 24 * time.Hour
	// MaxBatch bounds the moves of one message (session.proto).
	MaxBatch = 256

	maxKeyBytes    = 512
	maxSealedBytes = 32 << 10
	maxBatchBytes  = 1 << 20

	// settling is how long after its start a Server waits to hear what processors know.
	settling = 2 * time.Second
)

// Messages that a stream may send: all that a processor knows when it connects, and a
// change at a time after that. A faster stream is read more slowly.
const (
	messagesPerSecond = 50
	messagesAtOnce    = 400
)

// Options of a Server; the zero Options do.
type Options struct {
	// Expected is how many processors there are, as far as is known: once so many have said what
	// they know nobody has to wait for more of them; 0: nobody waits for any.
	Expected int
	// Now is time.Now when nil, Logger discards.
	Now    func() time.Time
	Logger *slog.Logger
}

// Server implements sessionv1.MovesServer. It is safe for concurrent use.
type Server struct {
	sessionv1.UnimplementedMovesServer
	now     func() time.Time
	log     *slog.Logger
	stopped chan struct{}
	stop    sync.Once

	expected int
	started  time.Time

	mu      sync.Mutex
	streams int
	// told counts processors that have said all that they knew. settled is the last sequence
	// number of when enough had; nil: not enough have.
	told    int
	settled *uint64
	// order has an entry for each key, the newest last; sequence numbers them.
	order    *list.List
	byKey    map[string]*list.Element
	bytes    int
	sequence uint64
	// news is closed, and replaced, when there is something to tell.
	news chan struct{}
}

var _ sessionv1.MovesServer = (*Server)(nil)

type entry struct {
	moved    *sessionv1.Moved
	from     *stream
	sequence uint64
	at       time.Time
}

func (e *entry) size() int { return len(e.moved.GetKey()) + len(e.moved.GetSealed()) }

// stream is one processor's connection; it belongs to the goroutine that writes.
type stream struct {
	// told is the last sequence number that was sent, all the one before which all is
	// from before the connection.
	told, all uint64
	synced    bool
	// said: it has said all that it knew when it connected. It belongs to the Server's mutex.
	said bool
}

// New makes a Server.
func New(opts Options) *Server {
	s := &Server{
		now: opts.Now, log: opts.Logger, stopped: make(chan struct{}), expected: opts.Expected,
		order: list.New(), byKey: map[string]*list.Element{}, news: make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.started = s.now()
	s.settleLocked()
	return s
}

// settleLocked notes that enough processors have said what they know, or were waited for.
func (s *Server) settleLocked() {
	if s.settled == nil && (s.told >= s.expected || s.now().Sub(s.started) >= settling) {
		sequence := s.sequence
		s.settled = &sequence
	}
}

// Stop ends all streams, and those that come later.
func (s *Server) Stop() { s.stop.Do(func() { close(s.stopped) }) }

// Len is the number of sessions whose moves are known.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.Len()
}

// Exchange serves one processor; see session.proto.
func (s *Server) Exchange(server grpc.BidiStreamingServer[sessionv1.MovesRequest, sessionv1.MovesResponse]) error {
	st, ok := s.enter()
	if !ok {
		return grpcstatus.Errorf(codes.ResourceExhausted, "%d processors are connected, no more are taken", MaxProcessors)
	}
	defer s.leave()
	// Whoever sends nothing more is told nothing more.
	ctx, cancel := context.WithCancelCause(server.Context())
	defer cancel(nil)
	go func() { cancel(s.read(ctx, server, st)) }()
	if err := s.write(ctx, server, st); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (s *Server) enter() (*stream, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= MaxProcessors {
		return nil, false
	}
	s.streams++
	return &stream{all: s.sequence}, true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
}

func (s *Server) read(ctx context.Context, server grpc.BidiStreamingServer[sessionv1.MovesRequest, sessionv1.MovesResponse], st *stream) error {
	pace := rate.NewLimiter(messagesPerSecond, messagesAtOnce)
	for {
		request, err := server.Recv()
		if err != nil {
			return err //nolint:wrapcheck // a gRPC status
		}
		if len(request.GetMoves()) > MaxBatch {
			return grpcstatus.Errorf(codes.InvalidArgument, "%d moves in a message, at most %d are taken", len(request.GetMoves()), MaxBatch)
		}
		s.take(st, request.GetMoves(), request.GetAll())
		if err := pace.Wait(ctx); err != nil {
			return grpcstatus.FromContextError(err).Err()
		}
	}
}

// take keeps what is newer than what is known; all: there is no more that was known before.
func (s *Server) take(from *stream, moves []*sessionv1.Moved, all bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := false
	for _, m := range moves {
		if !usable(m) {
			s.log.Debug("a move of a session is not usable")
			continue
		}
		e := &entry{moved: m, from: from, at: now}
		if old, known := s.byKey[m.GetKey()]; known {
			if !newer(m, entryOf(old).moved) {
				continue
			}
			s.dropLocked(old)
		}
		s.sequence++
		e.sequence = s.sequence
		s.byKey[m.GetKey()] = s.order.PushBack(e)
		s.bytes += e.size()
		moved = true
	}
	for first := s.order.Front(); first != nil; first = s.order.Front() {
		if s.order.Len() <= MaxMoves && s.bytes <= MaxBytes && now.Sub(entryOf(first).at) <= MaxAge {
			break
		}
		s.dropLocked(first)
	}
	if all && !from.said {
		from.said = true
		s.told++
		s.settleLocked()
	}
	if moved || all {
		close(s.news)
		s.news = make(chan struct{})
	}
}

func (s *Server) dropLocked(at *list.Element) {
	e := entryOf(at)
	s.order.Remove(at)
	delete(s.byKey, e.moved.GetKey())
	s.bytes -= e.size()
}

// entryOf is the entry at a place of the order, which has nothing else.
func entryOf(at *list.Element) *entry {
	e, _ := at.Value.(*entry)
	return e
}

func usable(m *sessionv1.Moved) bool {
	return m.GetKey() != "" && len(m.GetKey()) <= maxKeyBytes && len(m.GetSealed()) > 0 && len(m.GetSealed()) <= maxSealedBytes && m.GetGeneration() > 0
}

// newer is the order of session.proto. Of equals the first stays, and all are told of it.
func newer(a, b *sessionv1.Moved) bool {
	switch {
	case a.GetEnded() != b.GetEnded():
		return a.GetEnded()
	case a.GetGeneration() != b.GetGeneration():
		return a.GetGeneration() > b.GetGeneration()
	}
	return a.GetOpenedAt() < b.GetOpenedAt()
}

// write sends what is new to a processor until ctx ends, whose cause it gives.
func (s *Server) write(ctx context.Context, server grpc.BidiStreamingServer[sessionv1.MovesRequest, sessionv1.MovesResponse], st *stream) error {
	settled := time.NewTimer(s.started.Add(settling).Sub(s.now()))
	defer settled.Stop()
	for {
		response, news := s.compose(st)
		if response != nil {
			if err := server.Send(response); err != nil {
				return err //nolint:wrapcheck // a gRPC status
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.stopped:
			return grpcstatus.Error(codes.Unavailable, "the control plane is stopping")
		case <-news:
		case <-settled.C:
		}
	}
}

// compose gives the next message for a stream; nil: there is none before news.
func (s *Server) compose(st *stream) (*sessionv1.MovesResponse, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.order.Back()
	for first != nil && first.Prev() != nil && entryOf(first.Prev()).sequence > st.told {
		first = first.Prev()
	}
	response, size := &sessionv1.MovesResponse{}, 0
	for at := first; at != nil && len(response.GetMoves()) < MaxBatch && size < maxBatchBytes; at = at.Next() {
		e := entryOf(at)
		if e.sequence <= st.told {
			continue
		}
		st.told = e.sequence
		if e.from != st {
			response.Moves = append(response.Moves, e.moved)
			size += e.size()
		}
	}
	last := s.order.Back()
	s.settleLocked()
	if !st.synced && s.settled != nil && (last == nil || st.told >= min(max(st.all, *s.settled), entryOf(last).sequence)) {
		st.synced, response.Synced = true, true
	}
	if len(response.GetMoves()) == 0 && !response.GetSynced() {
		return nil, s.news
	}
	return response, s.news
}
