package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// told bounds how many keys Redis is told of in one round trip.
const told = 200

// Run looks for Redis while it is away, until ctx ends. It returns nil then.
func (r *Redis) Run(ctx context.Context) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	defer r.leave()
	var settled time.Time
	for first := true; ; first = false {
		switch phase(r.phase.Load()) {
		case away:
			r.leave()
			err := r.comeBack(ctx)
			switch {
			case err == nil && first:
				// Nothing was admitted before.
				r.share(away)
			case err == nil:
				settled = time.Now().Add(settleTime)
				r.enter(away, settling)
			case first && ctx.Err() == nil:
				r.log.Warn("Redis is away: this processor keeps to its share of rate limits", "error", err)
			}
		case settling:
			r.check(ctx)
			if time.Now().After(settled) {
				r.share(settling)
			}
		case shared:
			r.check(ctx)
			r.settleDebts(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// share lets Redis decide.
func (r *Redis) share(from phase) {
	if r.enter(from, shared) {
		r.log.Info("Redis counts rate limits for all processors", "after_absence", from == settling)
	}
}

// leave ends the feed, if there is one.
func (r *Redis) leave() {
	if f := r.feed.Swap(nil); f != nil {
		f.close()
	}
}

// comeBack finds out whether Redis is there, and tells it what was admitted without it.
func (r *Redis) comeBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	f, err := r.hear(ctx)
	if err != nil {
		return fmt.Errorf("looking for Redis: %w", err)
	}
	defer func() {
		if r.feed.Load() != f {
			f.close()
		}
	}()
	alive := redisPrefix + "alive:" + r.opts.Instance
	// A Redis that has lost its memory is told all that is known here, not only what it has missed.
	lost, err := r.opts.Client.Exists(ctx, alive).Result()
	if err != nil {
		return fmt.Errorf("looking for Redis: %w", err)
	}
	if err := r.tell(ctx, lost == 0); err != nil {
		return err
	}
	if err := r.opts.Client.Set(ctx, alive, 1, 0).Err(); err != nil {
		return fmt.Errorf("looking for Redis: %w", err)
	}
	r.feed.Store(f)
	return nil
}

// settleDebts tells Redis of single messages that it was too slow for.
func (r *Redis) settleDebts(ctx context.Context) {
	if r.opts.Memory.debts.Load() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := r.tell(ctx, false); err != nil {
		r.log.Debug("Redis not told what was admitted without it", "error", err)
	}
}

// tell hands over what was admitted here and Redis has not heard of, or everything.
func (r *Redis) tell(ctx context.Context, all bool) error {
	debts := r.opts.Memory.drainDebts(all)
	for begin := 0; begin < len(debts); begin += told {
		part := debts[begin:min(begin+told, len(debts))]
		answers, err := r.opts.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, d := range part {
				args := make([]any, 0, 2+2*len(d.ages))
				args = append(args, d.rule.Per.Microseconds(), grain(d.rule.Requests))
				for i := range d.ages {
					args = append(args, d.ages[i].Microseconds(), d.units[i])
				}
				r.owe.Eval(ctx, p, []string{redisKey(d.key)}, args...)
			}
			return nil
		})
		for _, answer := range answers {
			err = errors.Join(err, answer.Err())
		}
		if err != nil {
			r.opts.Memory.owe(debts[begin:])
			return fmt.Errorf("telling Redis what was admitted without it: %w", err)
		}
	}
	return nil
}
