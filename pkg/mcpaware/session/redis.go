package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

const (
	redisPrefix = "holdfast:session:"
	// redisTimeout bounds what a request waits for the store.
	redisTimeout = 100 * time.Millisecond
)

// put keeps a state if the one there is not newer than the generation before, and
// returns what is there afterwards. An older one is there when Redis was away, or has
// let go of the state. A state is a hash of its generation and its bytes.
var put = redis.NewScript(`
local g = redis.call('HGET', KEYS[1], 'g')
if tonumber(g or '0') > tonumber(ARGV[1]) then return redis.call('HGET', KEYS[1], 'v') or '' end
redis.call('HSET', KEYS[1], 'g', ARGV[2], 'v', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return ARGV[3]`)

// Redis is a Store that processors of all regions share.
type Redis struct {
	client redis.UniversalClient
	ttl    time.Duration
}

var _ Store = (*Redis)(nil)

// NewRedis keeps each state for ttl after its last change. The client stays the
// caller's to close.
func NewRedis(client redis.UniversalClient, ttl time.Duration) *Redis {
	return &Redis{client: client, ttl: ttl}
}

// Get implements Store.
func (r *Redis) Get(ctx context.Context, key string) (*sessionv1.State, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	value, err := r.client.HGet(ctx, redisPrefix+key, "v").Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil //nolint:nilnil // no state is an answer of its own
	}
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	return decodeState(value)
}

// Put implements Store.
func (r *Redis) Put(ctx context.Context, key string, next *sessionv1.State) (*sessionv1.State, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	value, err := proto.Marshal(next)
	if err != nil {
		return nil, fmt.Errorf("writing a session: %w", err)
	}
	g := next.GetGeneration()
	kept, err := put.Run(ctx, r.client, []string{redisPrefix + key}, g-1, g, value, r.ttl.Milliseconds()).Text()
	if err != nil {
		return nil, fmt.Errorf("writing a session: %w", err)
	}
	return decodeState([]byte(kept))
}

func decodeState(value []byte) (*sessionv1.State, error) {
	state := &sessionv1.State{}
	if err := proto.Unmarshal(value, state); err != nil {
		return nil, errors.New("reading a session: its state cannot be parsed")
	}
	return state, nil
}
