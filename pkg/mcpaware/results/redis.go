package results

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

const (
	// prefix of all keys; then server, tool hashed, epoch and the slot's hash.
	prefix = "holdfast:result:"
	// putTimeout bounds writing one result, behind the calls' back.
	putTimeout = time.Second
	// away is how long Redis is not asked after it has failed.
	away = time.Second
	// queued results wait for Redis at most; those beyond are not shared.
	queued = 1024
	// Warming takes this many results at most, and this part of the memory.
	maxWarm, warmPart = 20_000, 2
	// scanBatch keys are looked at in one step of a scan, maxScan in a whole one.
	scanBatch, maxScan = 256, 1_000_000
	// maxValueBytes bounds what is read back.
	maxValueBytes = MaxResultBytes + 4<<10
)

// Client is what is needed of a Redis client.
type Client interface {
	redis.Cmdable
}

// shared is the tier that all processors share.
type shared struct {
	client Client
	now    func() time.Time
	log    *slog.Logger
	queue  chan put
	// until when Redis is not asked, in Unix nanoseconds; told: it was said.
	until atomic.Int64
	told  atomic.Bool

	mu sync.Mutex
	// sweeps are the scopes whose old results are to be deleted; woken tells of them.
	sweeps map[scope]struct{}
	woken  chan struct{}
}

type put struct {
	at    slot
	entry *policyv1.CachedEntry
}

func newShared(client Client, now func() time.Time, log *slog.Logger) *shared {
	return &shared{
		client: client, now: now, log: log, queue: make(chan put, queued), sweeps: map[scope]struct{}{}, woken: make(chan struct{}, 1),
	}
}

// name of a result's key. Names of servers are of [a-z0-9-]; those of tools are anything.
func name(server, tool string, at slot) string {
	return prefix + server + ":" + toolHash(tool) + ":" + strconv.FormatUint(at.epoch, 10) + ":" + hex.EncodeToString(at.hash[:])
}

func toolHash(tool string) string {
	sum := sha256.Sum256([]byte(tool))
	return hex.EncodeToString(sum[:8])
}

// parse reads a name; ok is false for one that is none of ours.
func parse(key string) (server, tool string, at slot, ok bool) {
	rest, ok := strings.CutPrefix(key, prefix)
	parts := strings.Split(rest, ":")
	if !ok || len(parts) != 4 || len(parts[3]) != 2*hashBytes {
		return "", "", slot{}, false
	}
	epoch, err := strconv.ParseUint(parts[2], 10, 64)
	hash, hexErr := hex.DecodeString(parts[3])
	if errors.Join(err, hexErr) != nil || !shareable(epoch) {
		return "", "", slot{}, false
	}
	at.epoch = epoch
	copy(at.hash[:], hash)
	return parts[0], parts[1], at, true
}

var errAway = errors.New("redis is away")

// get asks for a result; nil where there is none.
func (r *shared) get(ctx context.Context, server, tool string, at slot) (*policyv1.CachedEntry, error) {
	if r.now().UnixNano() < r.until.Load() {
		return nil, errAway
	}
	raw, err := r.client.Get(ctx, name(server, tool, at)).Bytes()
	if errors.Is(err, redis.Nil) {
		r.back()
		return nil, nil //nolint:nilnil // nothing is remembered
	}
	if err != nil {
		return nil, r.failed(err)
	}
	r.back()
	return decode(raw, at)
}

// decode reads what stands in Redis, and believes no more of it than it has to.
func decode(raw []byte, at slot) (*policyv1.CachedEntry, error) {
	if len(raw) > maxValueBytes {
		return nil, fmt.Errorf("a remembered result of %d bytes is not ours", len(raw))
	}
	entry := &policyv1.CachedEntry{}
	if err := proto.Unmarshal(raw, entry); err != nil {
		return nil, fmt.Errorf("reading a remembered result: %w", err)
	}
	if string(entry.GetKey()) != string(at.hash[:]) {
		return nil, errors.New("a remembered result stands in the wrong place")
	}
	if err := Acceptable(entry.GetResult()); err != nil {
		return nil, fmt.Errorf("reading a remembered result: %w", err)
	}
	if !wire.Valid(entry.GetResult()) {
		return nil, errObject
	}
	return entry, nil
}

// failed notes that Redis does not answer, and says so once.
func (r *shared) failed(err error) error {
	r.until.Store(r.now().Add(away).UnixNano())
	if !r.told.Swap(true) {
		r.log.Warn("redis is away: results are remembered in memory only", "error", err)
	}
	return err
}

func (r *shared) back() {
	if r.told.Load() && r.told.Swap(false) {
		r.log.Info("redis is back: results are shared again")
	}
}

// offer has a result written when there is time; false: too many wait.
func (r *shared) offer(at slot, entry *policyv1.CachedEntry) bool {
	select {
	case r.queue <- put{at, entry}:
		return true
	default:
		return false
	}
}

func (r *shared) write(ctx context.Context, p put) error {
	left := p.entry.GetMaxAge().AsDuration() - r.now().Sub(p.entry.GetAsOf().AsTime())
	if left < time.Millisecond {
		return nil
	}
	raw, err := proto.Marshal(p.entry)
	if err != nil {
		return fmt.Errorf("writing a result: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	if err := r.client.Set(ctx, name(p.entry.GetServer(), p.entry.GetTool(), p.at), raw, left).Err(); err != nil {
		return r.failed(err)
	}
	r.back()
	return nil
}

// sweep has the old results of a scope deleted; until then nothing leads to them.
func (r *shared) sweep(at scope) {
	r.mu.Lock()
	r.sweeps[at] = struct{}{}
	r.mu.Unlock()
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

func (r *shared) taken() []scope {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []scope
	for at := range r.sweeps {
		out = append(out, at)
	}
	clear(r.sweeps)
	return out
}

// scan shows the names of all results of a server, "" for every one, until see says no.
func (r *shared) scan(ctx context.Context, server string, see func(keys []string) bool) error {
	match := prefix + "*"
	if server != "" {
		match = prefix + server + ":*"
	}
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error { return scanOne(ctx, one, match, see) })
	}
	return scanOne(ctx, r.client, match, see)
}

func scanOne(ctx context.Context, client Client, match string, see func(keys []string) bool) error {
	var cursor uint64
	for looked := 0; looked < maxScan; looked += scanBatch {
		keys, next, err := client.Scan(ctx, cursor, match, scanBatch).Result()
		if err != nil {
			return fmt.Errorf("looking through remembered results: %w", err)
		}
		if len(keys) > 0 && !see(keys) || next == 0 {
			return nil
		}
		cursor = next
	}
	return nil
}
