package limit

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// redisPrefix stands before every key.
	redisPrefix = "holdfast:limit:"
	// DefaultRedisTimeout is how long a message waits for Redis at most.
	DefaultRedisTimeout = 20 * time.Millisecond
	// slowAnswers in a row, with none in time between, mean that Redis is away.
	slowAnswers = 3
	// probeInterval is how often it is looked for while it is.
	probeInterval = 200 * time.Millisecond
	// probeTimeout bounds that, and what Redis is told afterwards.
	probeTimeout = time.Second
	// settleTime is how long a processor keeps to its share after Redis is back: by then
	// every other has found it too, and told it what was admitted meanwhile.
	settleTime = 2 * time.Second
)

//go:embed take.lua
var takeSource string

//go:embed owe.lua
var oweSource string

//go:embed back.lua
var backSource string

// phase is what a Redis does with charges.
type phase int32

const (
	// away: this processor decides alone.
	away phase = iota
	// settling: its share and Redis both have to have room.
	settling
	// shared: Redis decides.
	shared
)

// RedisOptions of a Redis. Client and Memory are required.
type RedisOptions struct {
	// Client of one server, of what Sentinels watch, or of a Cluster. It must not repeat commands by itself: they
	// would count twice.
	Client redis.UniversalClient
	// Cluster says that the keys of a message may be on different servers.
	Cluster bool
	// Memory decides while Redis is away; nobody else may charge it.
	Memory *Memory
	// Timeout of one message, 0 for DefaultRedisTimeout.
	Timeout time.Duration
	// Instance is this processor's name, unique among those that share limits.
	Instance string
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Redis counts in a Redis that all processors share, by its clock and in one round trip a
// message. While it is away, each processor keeps to its share of the limits, less what it knows
// to be used; no message is refused for that Redis is away, and none is let through uncounted.
type Redis struct {
	opts            RedisOptions
	log             *slog.Logger
	take, owe, back *redis.Script
	failures        atomic.Uint64
	slow            atomic.Int32
	feed            atomic.Pointer[feed]

	// changing is held while the phase changes, which every message reads.
	changing sync.Mutex
	phase    atomic.Int32
	lost     atomic.Pointer[loss]
}

var _ Engine = (*Redis)(nil)

// NewRedis makes a Redis. Until Run has found the server it counts as away.
func NewRedis(opts RedisOptions) (*Redis, error) {
	if opts.Client == nil || opts.Memory == nil || opts.Instance == "" {
		return nil, errors.New("rate limits in Redis: client, memory and instance are required")
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultRedisTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Redis{
		opts: opts, log: opts.Logger,
		take: redis.NewScript(takeSource), owe: redis.NewScript(oweSource), back: redis.NewScript(backSource),
	}
	r.lost.Store(&loss{number: 1, at: opts.Memory.now()})
	return r, nil
}

// Shared says whether Redis decides.
func (r *Redis) Shared() bool { return phase(r.phase.Load()) == shared }

// Failures counts the messages for which Redis gave no answer in time.
func (r *Redis) Failures() uint64 { return r.failures.Load() }

// Keys is how many keys are held in this processor's memory.
func (r *Redis) Keys() int { return r.opts.Memory.Keys() }

// Top implements Engine: of the keys that were charged here, what all processors have used.
func (r *Redis) Top(n int) []Use { return r.opts.Memory.Top(n) }

// Take implements Engine.
func (r *Redis) Take(charges []Charge, results []Result) bool {
	now, l := phase(r.phase.Load()), *r.lost.Load()
	if now == away {
		r.drained(l)
		return r.opts.Memory.alone(charges, results, l)
	}
	if now == settling && !r.opts.Memory.room(charges, results, l) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.Timeout)
	defer cancel()
	answer := reply{results: results, beyond: make([]bool, len(charges))}
	r.opts.Memory.ask(charges, &answer)
	var err error
	if r.opts.Cluster && len(charges) > 1 {
		err = r.askMany(ctx, charges, &answer)
	} else {
		err = r.askOne(ctx, charges, &answer)
	}
	if err != nil {
		r.opts.Memory.unasked(charges)
		if l = r.failed(err, now, l); l.number != 0 {
			r.drained(l)
		}
		return r.opts.Memory.alone(charges, results, l)
	}
	r.slow.Store(0)
	r.opts.Memory.note(charges, &answer)
	return answer.admitted
}

// askOne asks one server about all charges in one script.
func (r *Redis) askOne(ctx context.Context, charges []Charge, answer *reply) error {
	keys, args := make([]string, 0, len(charges)), make([]any, 0, takeArgs*len(charges))
	for i := range charges {
		keys, args = append(keys, redisKey(charges[i].Key)), appendArgs(args, &charges[i], answer.beyond[i])
	}
	if !answer.told {
		return answer.read(r.take.Run(ctx, r.opts.Client, keys, args...), charges, answer.results)
	}
	run := r.take.EvalSha
	for {
		var script *redis.Cmd
		// That the script has an error is read from its own answer.
		_, _ = r.opts.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Exists(ctx, keys[0])
			script = run(ctx, p, keys, args...)
			return nil
		})
		err := answer.read(script, charges, answer.results)
		if !redis.HasErrorPrefix(script.Err(), "NOSCRIPT") {
			return err
		}
		run = r.take.Eval
	}
}

// askMany asks a Cluster: one script for each key in one round trip to each server. What
// others refuse is given back.
func (r *Redis) askMany(ctx context.Context, charges []Charge, answer *reply) error {
	admitted, errs := true, []error(nil)
	answers, err := r.opts.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range charges {
			if answer.told {
				p.Exists(ctx, redisKey(charges[i].Key))
			}
			// The whole script: whether a server of a Cluster knows its hash would be found out too late.
			r.take.Eval(ctx, p, []string{redisKey(charges[i].Key)}, appendArgs(nil, &charges[i], answer.beyond[i])...)
		}
		return nil
	})
	answers = slices.DeleteFunc(answers, func(c redis.Cmder) bool { return c.Name() == "exists" })
	if len(answers) != len(charges) {
		return fmt.Errorf("asking Redis: %w", errors.Join(err, errors.New("an answer is missing")))
	}
	taken := make([]int, 0, len(charges))
	for i, one := range answers {
		script, ok := one.(*redis.Cmd)
		if !ok {
			errs = append(errs, fmt.Errorf("an answer is a %T", one))
			continue
		}
		if err := answer.read(script, charges[i:i+1], answer.results[i:i+1]); err != nil {
			errs = append(errs, err)
			continue
		}
		admitted = admitted && answer.admitted
		if !answer.results[i].Over {
			taken = append(taken, i)
		}
	}
	if answer.admitted = admitted && len(errs) == 0; !answer.admitted {
		r.giveBack(context.WithoutCancel(ctx), charges, answer.results, taken)
	}
	return errors.Join(errs...)
}

// giveBack undoes what was taken by a message that is refused, or decided elsewhere. It does not wait for long.
func (r *Redis) giveBack(ctx context.Context, charges []Charge, results []Result, taken []int) {
	if len(taken) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	_, err := r.opts.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, i := range taken {
			units := min(charges[i].Units, charges[i].Rule.Requests)
			results[i].Used -= units
			r.back.Eval(ctx, p, []string{redisKey(charges[i].Key)}, units)
		}
		return nil
	})
	if err != nil {
		r.log.Debug("units not given back", "error", err)
	}
}

func redisKey(k Key) string { return redisPrefix + k.String() }

// takeArgs is how many arguments take.lua gets for each charge.
const takeArgs = 5

func appendArgs(args []any, c *Charge, beyond bool) []any {
	limit := c.Rule.Requests
	if c.Rule.Shadow {
		limit = -limit
	}
	return append(args, limit, c.Units, c.Rule.Per.Microseconds(), grain(c.Rule.Requests), beyond)
}

// read takes apart what take.lua gives. Of several servers' clocks one is kept: they order what each
// key's own server says, and a key that moves is ordered anew.
func (a *reply) read(answer *redis.Cmd, charges []Charge, results []Result) error {
	values, err := answer.Int64Slice()
	if err != nil {
		return fmt.Errorf("asking Redis: %w", err)
	}
	if len(values) != 2+2*len(charges) {
		return fmt.Errorf("asking Redis: %d values for %d limits", len(values), len(charges))
	}
	for i := range charges {
		used, wait := values[2+2*i], values[3+2*i]
		results[i] = Result{
			Limit: charges[i].Rule.Requests, Used: used, Over: wait > 0, RetryAfter: time.Duration(wait) * time.Microsecond,
		}
	}
	a.admitted, a.clock = values[0] == 1, values[1]
	return nil
}

// failed notes that Redis gave no answer, and says what loss that is. A single late one may be chance; what is
// not late is an error.
func (r *Redis) failed(err error, now phase, l loss) loss {
	r.failures.Add(1)
	if !errors.Is(err, context.DeadlineExceeded) || r.slow.Add(1) >= slowAnswers {
		return r.lose(err, r.feed.Load())
	}
	if now == settling {
		return l
	}
	return loss{}
}

// lose says that Redis is away, if it is not known yet and the feed is the one in use.
func (r *Redis) lose(err error, of *feed) loss {
	r.changing.Lock()
	defer r.changing.Unlock()
	if phase(r.phase.Load()) != away && r.feed.Load() == of {
		r.lost.Store(&loss{number: r.lost.Load().number + 1, at: r.opts.Memory.now()})
		r.phase.Store(int32(away))
		r.log.Warn("Redis is away: this processor keeps to its share of rate limits", "error", err)
	}
	return *r.lost.Load()
}

// enter changes the phase, unless Redis has gone away meanwhile.
func (r *Redis) enter(from, to phase) bool {
	r.changing.Lock()
	defer r.changing.Unlock()
	if phase(r.phase.Load()) != from {
		return false
	}
	r.slow.Store(0)
	r.phase.Store(int32(to))
	return true
}
