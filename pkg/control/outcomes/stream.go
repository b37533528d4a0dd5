package outcomes

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// stream is one processor's connection. Its fields are guarded by Server.mu.
type stream struct {
	// processor is its name, empty before its first summary.
	processor string
	heard     time.Time
	breakers  map[Key]held
	// outdated are the ids of what the last summary said to be out of date, and what was purged for it.
	outdated map[uint64]bool
	// told is the last sequence number of a Fleet that was sent.
	told uint64
}

// held is a breaker of a processor; closed ones are kept for closedSpan.
type held struct {
	breaker  *outcomev1.Breaker
	sequence uint64
	at       time.Time
}

func (h held) closed() bool {
	return h.breaker.GetState() == outcomev1.BreakerState_BREAKER_STATE_CLOSED
}

// Exchange serves one processor; see outcome.proto. A second stream of the same name
// does not end the first: a processor that comes back is served before its lost
// connection is noticed.
func (s *Server) Exchange(server grpc.BidiStreamingServer[outcomev1.Summary, outcomev1.Fleet]) error {
	st := &stream{breakers: make(map[Key]held), heard: s.now()}
	if !s.enter(st) {
		return grpcstatus.Errorf(codes.ResourceExhausted, "%d processors are connected, no more are taken", MaxProcessors)
	}
	defer s.leave(st)
	// Whoever sends nothing more is told nothing more.
	ctx, cancel := context.WithCancelCause(server.Context())
	defer cancel(nil)
	go func() { cancel(s.read(ctx, server, st)) }()
	if err := s.write(ctx, server, st); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (s *Server) enter(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) >= MaxProcessors {
		return false
	}
	s.streams[st] = struct{}{}
	return true
}

// leave forgets a processor and its breakers: those that others share are theirs too.
func (s *Server) leave(st *stream) {
	s.mu.Lock()
	delete(s.streams, st)
	s.tellLocked()
	processor := st.processor
	s.mu.Unlock()
	if processor != "" {
		s.log.Info("processor shares no outcomes any more", "processor", processor)
		s.changed()
	}
}

func (s *Server) read(ctx context.Context, server grpc.BidiStreamingServer[outcomev1.Summary, outcomev1.Fleet], st *stream) error {
	pace := rate.NewLimiter(summariesPerSecond, summariesAtOnce)
	for {
		summary, err := server.Recv()
		if err != nil {
			return err //nolint:wrapcheck // a gRPC status
		}
		if err := s.take(st, summary); err != nil {
			return err
		}
		if err := pace.Wait(ctx); err != nil {
			return grpcstatus.FromContextError(err).Err()
		}
	}
}

// take joins one summary with what is known.
func (s *Server) take(st *stream, summary *outcomev1.Summary) error {
	name := summary.GetProcessor()
	if err := checkName("processor", name); err != nil {
		return grpcstatus.Error(codes.InvalidArgument, err.Error())
	}
	now := s.now()
	counts := usable(summary.GetCounts(), MaxCounts, usableCount)
	breakers := usable(summary.GetBreakers(), MaxBreakers, usableBreaker)
	loads := usable(summary.GetLoads(), MaxLoads, usableLoad)
	calls := usable(summary.GetCalls(), MaxCalls, usableCalls)
	s.mu.Lock()
	if st.processor != "" && st.processor != name {
		s.mu.Unlock()
		return grpcstatus.Errorf(codes.InvalidArgument, "processor: this stream is %q's", st.processor)
	}
	first := st.processor == ""
	st.processor, st.heard = name, now
	s.sequence++
	s.dropped += uint64(len(summary.GetLoads()) - len(loads) + len(summary.GetCalls()) - len(calls))         //nolint:gosec // not negative
	s.dropped += uint64(len(summary.GetCounts()) - len(counts) + len(summary.GetBreakers()) - len(breakers)) //nolint:gosec // not negative
	s.dropped += uint64(s.recent.add(batch{from: st, sequence: s.sequence, at: now, counts: counts}))        //nolint:gosec // not negative
	s.dropped += s.windows.add(counts, now)
	moved := st.hold(breakers, s.sequence, now)
	outdated := st.unheard(summary.GetOutdated())
	if first || moved || len(counts) > 0 {
		s.tellLocked()
	}
	s.mu.Unlock()
	if len(outdated) > 0 && !s.outdate(name, outdated) {
		// The processor says it again.
		s.mu.Lock()
		clear(st.outdated)
		s.mu.Unlock()
	}
	if first {
		s.log.Info("processor shares outcomes", "processor", name)
	}
	if len(counts)+len(loads)+len(calls) > 0 {
		s.observe(&outcomev1.Summary{Processor: name, Counts: counts, Loads: loads, Calls: calls})
	}
	if first || moved {
		s.changed()
	}
	return nil
}

// usable gives the first entries that can be kept.
func usable[T any](all []T, limit int, ok func(T) bool) []T {
	out := make([]T, 0, min(len(all), limit))
	for _, one := range all {
		if len(out) < limit && ok(one) {
			out = append(out, one)
		}
	}
	return out
}

// hold replaces the breakers of a processor by those of its newest summary, and says
// whether anything is different. One that is not named any more is closed, without a word
// about when: it is forgotten.
func (st *stream) hold(breakers []*outcomev1.Breaker, sequence uint64, now time.Time) (moved bool) {
	named := make(map[Key]bool, len(breakers))
	for _, b := range breakers {
		key := Key{b.GetServer(), b.GetTool(), b.GetRegion()}
		named[key] = true
		if old, ok := st.breakers[key]; ok && proto.Equal(old.breaker, b) {
			continue
		}
		st.breakers[key] = held{breaker: b, sequence: sequence, at: now}
		moved = true
	}
	for key, h := range st.breakers {
		if named[key] || (h.closed() && now.Sub(h.at) < closedSpan && len(st.breakers) <= 2*MaxBreakers) {
			continue
		}
		delete(st.breakers, key)
		moved = moved || !h.closed()
	}
	return moved
}

// write sends a Fleet when there is something to say, at most one a fleetInterval, until ctx
// ends, whose cause it gives.
func (s *Server) write(ctx context.Context, server grpc.BidiStreamingServer[outcomev1.Summary, outcomev1.Fleet], st *stream) error {
	var last *outcomev1.Fleet
	for {
		fleet, news, wake, err := s.compose(st)
		if err != nil {
			return err
		}
		if fleet != nil && differs(fleet, last) {
			if err := server.Send(fleet); err != nil {
				return err //nolint:wrapcheck // a gRPC status
			}
			last = standing(fleet)
			// What comes meanwhile is in the next Fleet.
			if err := s.wait(ctx, nil, fleetInterval); err != nil {
				return err
			}
			continue
		}
		if err := s.wait(ctx, news, wake); err != nil {
			return err
		}
	}
}

func (s *Server) wait(ctx context.Context, news <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.stopped:
		return grpcstatus.Error(codes.Unavailable, "the control plane is stopping")
	case <-news:
	case <-timer.C:
	}
	return nil
}

// standing is what of a Fleet is said again: all but the counts, and the breakers that have closed.
func standing(fleet *outcomev1.Fleet) *outcomev1.Fleet {
	out := &outcomev1.Fleet{Processors: fleet.GetProcessors(), Overrides: fleet.GetOverrides(), Purges: fleet.GetPurges()}
	for _, b := range fleet.GetBreakers() {
		if b.GetState() != outcomev1.BreakerState_BREAKER_STATE_CLOSED {
			out.Breakers = append(out.Breakers, b)
		}
	}
	return out
}

// compose makes the Fleet for a stream, nil before its first summary. news is closed when
// it may be another one; wake is when to look again without news.
func (s *Server) compose(st *stream) (fleet *outcomev1.Fleet, news <-chan struct{}, wake time.Duration, err error) {
	now := s.now()
	s.mu.Lock()
	news = s.news
	wake = silence - now.Sub(st.heard)
	if wake <= 0 {
		s.mu.Unlock()
		return nil, nil, 0, grpcstatus.Errorf(codes.DeadlineExceeded, "no summary for %s", silence)
	}
	if st.processor == "" {
		s.mu.Unlock()
		return nil, news, wake, nil
	}
	fleet = &outcomev1.Fleet{Processors: s.processorsLocked(), Breakers: s.foreignLocked(st), Purges: s.purges}
	var next time.Time
	fleet.Overrides, next = s.inForceLocked(now)
	if !next.IsZero() {
		wake = min(wake, max(next.Sub(now), time.Millisecond))
	}
	batches := s.recent.after(st.told, st)
	st.told = s.sequence
	s.mu.Unlock()
	// The counts of a batch do not change any more.
	fleet.Counts = join(batches)
	return fleet, news, wake, nil
}

// differs: there are counts, or something else is not as it was.
func differs(fleet, last *outcomev1.Fleet) bool {
	if last == nil || len(fleet.GetCounts()) > 0 {
		return true
	}
	same := func(a, b *outcomev1.Breaker) bool { return proto.Equal(a, b) }
	// Each change of the purges gives one of them a serial that none had.
	samePurge := func(a, b *outcomev1.Purge) bool {
		return a.GetSerial() == b.GetSerial() && purgeKeyOf(a) == purgeKeyOf(b)
	}
	sameOverride := func(a, b *outcomev1.Override) bool { return proto.Equal(a, b) }
	return !slices.Equal(fleet.GetProcessors(), last.GetProcessors()) ||
		!slices.EqualFunc(fleet.GetBreakers(), last.GetBreakers(), same) ||
		!slices.EqualFunc(fleet.GetPurges(), last.GetPurges(), samePurge) ||
		!slices.EqualFunc(fleet.GetOverrides(), last.GetOverrides(), sameOverride)
}

func (s *Server) processorsLocked() []string {
	names := make(map[string]struct{}, len(s.streams))
	for st := range s.streams {
		if st.processor != "" {
			names[st.processor] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// foreignLocked gives the breakers of the other processors that are not closed, and those
// closed since the receiver was told last. Of several words about one breaker the
// newest counts: whoever has not heard yet that it was closed does not open it again.
func (s *Server) foreignLocked(receiver *stream) []*outcomev1.Breaker {
	newest := s.newestLocked(receiver)
	keys := slices.SortedFunc(maps.Keys(newest), Key.Compare)
	var out []*outcomev1.Breaker
	for _, key := range keys {
		h := newest[key]
		if len(out) < MaxCounts && (!h.closed() || h.sequence > receiver.told) {
			out = append(out, h.breaker)
		}
	}
	return out
}

// newestLocked gives the newest word about each breaker, of all processors but one.
func (s *Server) newestLocked(except *stream) map[Key]held {
	newest := make(map[Key]held)
	for st := range s.streams {
		if st == except {
			continue
		}
		for key, h := range st.breakers {
			if old, ok := newest[key]; !ok || h.newer(old) {
				newest[key] = h
			}
		}
	}
	return newest
}

// newer compares by when the state was taken, and for equal times so that everybody comes
// to the same.
func (h held) newer(other held) bool {
	a, b := h.breaker.GetSince().AsTime(), other.breaker.GetSince().AsTime()
	if !a.Equal(b) {
		return a.After(b)
	}
	if h.breaker.GetState() != other.breaker.GetState() {
		return h.breaker.GetState() > other.breaker.GetState()
	}
	return h.sequence > other.sequence
}
