// Package results remembers good results of tools, for the time when nobody can give a new
// one: a tier in memory and, where there is a Redis, one that all processors share.
//
// A result is found by a hash over all that it depends on (see decide), so that no caller can
// name another's. What is remembered is bounded in number, size and age, whatever callers ask
// for. A purge makes all that was remembered before it unreachable at once, in both tiers: what
// a result is found by has the number of the last purge in it.
package results

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/maypok86/otter/v2"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

const (
	// DefaultBytes is how much a Store holds in memory.
	DefaultBytes = 32 << 20
	// MaxResultBytes bounds one result.
	MaxResultBytes = 64 << 10
	// hashBytes is the length of a CacheSlot's key as the edge point makes it; epochBytes
	// stand before it.
	hashBytes, epochBytes = 32, 8
	// overhead is what an entry counts for beside its result.
	overhead = 512
)

// Tier says where a result was found.
type Tier string

// Tiers.
const (
	Memory Tier = "memory"
	Redis  Tier = "redis"
)

// Outcomes of look-ups and of writing, for an Observer.
const (
	Hit    = "hit"
	Miss   = "miss"
	Failed = "failed"
	OK     = "ok"
	// Dropped: the queue to Redis was full.
	Dropped = "dropped"
)

// Observer is told what becomes of look-ups and of results that are to be kept. It must not
// block.
type Observer interface {
	Looked(tier Tier, outcome string)
	Kept(tier Tier, outcome string)
}

// Options of a Store; zero values mean the defaults.
type Options struct {
	// MaxBytes of results in memory; DefaultBytes where 0.
	MaxBytes int
	// Client of a Redis that all processors share; nil: there is none.
	Client Client
	// Observer is nil for nobody.
	Observer Observer
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// Logger discards where nil.
	Logger *slog.Logger
}

// Store remembers results. It is safe for concurrent use.
type Store struct {
	opts   Options
	memory *otter.Cache[slot, *policyv1.CachedEntry]
	epochs epochs
	shared *shared
}

// slot is where a result is.
type slot struct {
	epoch uint64
	hash  [hashBytes]byte
}

// New makes a Store. It has to be closed; Run keeps it in touch with the others.
func New(o Options) (*Store, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultBytes
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	memory, err := otter.New(&otter.Options[slot, *policyv1.CachedEntry]{
		MaximumWeight: uint64(o.MaxBytes), //nolint:gosec // positive
		Weigher: func(_ slot, e *policyv1.CachedEntry) uint32 {
			return uint32(len(e.GetResult()) + len(e.GetTool()) + overhead) //nolint:gosec // bounded by MaxResultBytes
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[slot, *policyv1.CachedEntry]) time.Duration {
			return max(e.Value.GetMaxAge().AsDuration()-o.Now().Sub(e.Value.GetAsOf().AsTime()), time.Millisecond)
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("memory of results: %w", err)
	}
	s := &Store{opts: o, memory: memory, epochs: newEpochs()}
	if o.Client != nil {
		s.shared = newShared(o.Client, o.Now, o.Logger)
	}
	return s, nil
}

// Close ends the goroutine that lets go of what is old.
func (s *Store) Close() { s.memory.StopAllGoroutines() }

// Slot is where the results of a call are from now on until the next purge: what the
// edge point made, with the number of the last one before it. nil where hash is no such thing.
func (s *Store) Slot(server, tool string, hash []byte) []byte {
	if len(hash) != hashBytes {
		return nil
	}
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, epochBytes+hashBytes), s.epochs.of(server, tool)), hash...)
}

// current reads a slot, and says whether no purge came since it was made.
func (s *Store) current(server, tool string, key []byte) (slot, bool) {
	if len(key) != epochBytes+hashBytes {
		return slot{}, false
	}
	at := slot{epoch: binary.BigEndian.Uint64(key)}
	copy(at.hash[:], key[epochBytes:])
	return at, at.epoch == s.epochs.of(server, tool)
}

// Has says whether a result is there that may be given, without asking another process for it.
func (s *Store) Has(server, tool string, key []byte, maxAge time.Duration) bool {
	at, ok := s.current(server, tool, key)
	if !ok {
		return false
	}
	found, ok := s.memory.GetEntryQuietly(at)
	return ok && s.usable(found.Value, server, tool, maxAge)
}

// Get finds a result that is at most maxAge old. The other tier is asked only where this one has
// none; ctx bounds that.
func (s *Store) Get(ctx context.Context, server, tool string, key []byte, maxAge time.Duration) (entry *policyv1.CachedEntry, age time.Duration, ok bool) {
	at, ok := s.current(server, tool, key)
	if !ok {
		s.opts.Observer.Looked(Memory, Miss)
		return nil, 0, false
	}
	if found, ok := s.memory.GetIfPresent(at); ok && s.usable(found, server, tool, maxAge) {
		s.opts.Observer.Looked(Memory, Hit)
		return found, s.age(found), true
	}
	s.opts.Observer.Looked(Memory, Miss)
	if s.shared == nil || !shareable(at.epoch) {
		return nil, 0, false
	}
	found, err := s.shared.get(ctx, server, tool, at)
	switch {
	case err != nil:
		s.opts.Observer.Looked(Redis, Failed)
		return nil, 0, false
	case found == nil || !s.usable(found, server, tool, maxAge):
		s.opts.Observer.Looked(Redis, Miss)
		return nil, 0, false
	}
	s.opts.Observer.Looked(Redis, Hit)
	s.memory.Set(at, found)
	return found, s.age(found), true
}

func (s *Store) age(e *policyv1.CachedEntry) time.Duration {
	return max(s.opts.Now().Sub(e.GetAsOf().AsTime()), 0)
}

// usable checks what came out of a tier: the shared one is read by more than this program.
func (s *Store) usable(e *policyv1.CachedEntry, server, tool string, maxAge time.Duration) bool {
	return e.GetServer() == server && e.GetTool() == tool && e.GetAsOf().IsValid() && s.age(e) <= min(maxAge, e.GetMaxAge().AsDuration())
}

// Put remembers a result that Acceptable takes, unless a purge came after its call began.
func (s *Store) Put(server, tool string, key []byte, maxAge time.Duration, result []byte) {
	at, ok := s.current(server, tool, key)
	if !ok || maxAge <= 0 {
		return
	}
	entry := &policyv1.CachedEntry{
		Server: server, Tool: tool, Result: result, AsOf: timestamppb.New(s.opts.Now()), MaxAge: durationpb.New(maxAge), Key: at.hash[:],
	}
	s.memory.Set(at, entry)
	s.opts.Observer.Kept(Memory, OK)
	if s.shared == nil || !shareable(at.epoch) {
		return
	}
	if !s.shared.offer(at, entry) {
		s.opts.Observer.Kept(Redis, Dropped)
	}
}

// Entries is how many results are held in memory, Bytes what they weigh.
func (s *Store) Entries() int  { return s.memory.EstimatedSize() }
func (s *Store) Bytes() uint64 { return s.memory.WeightedSize() }

var (
	errTooLarge = errors.New("the result is too large")
	errPart     = errors.New("the result is not complete")
	errError    = errors.New("the result is an error")
	errObject   = errors.New("the result is not an object")
	errTask     = errors.New("the result is a task")
)

// Acceptable says whether a result may stand in for a later one: an object of at most
// MaxResultBytes that is no error, asks for nothing and is no task. The error says what is wrong.
func Acceptable(result []byte) error {
	switch {
	case len(result) > MaxResultBytes:
		return errTooLarge
	case !wire.Valid(result):
		return errObject
	}
	if kind, ok := wire.Find(result, "resultType"); ok && string(kind) != `"complete"` {
		return errPart
	}
	if isError, ok := wire.Find(result, "isError"); ok && string(isError) != "false" {
		return errError
	}
	if _, ok := wire.Find(result, "task"); ok {
		return errTask
	}
	// Find looks into objects and arrays; an array has no members of these names.
	if kind := firstByte(result); kind != '{' {
		return errObject
	}
	return nil
}

func firstByte(b []byte) byte {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}

type nobody struct{}

func (nobody) Looked(Tier, string) {}
func (nobody) Kept(Tier, string)   {}
