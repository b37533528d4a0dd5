package results

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Run keeps a Store in touch with Redis until ctx ends: what was remembered before this process
// began is read, what is remembered from now on is written, and what was purged is deleted. It returns nil.
func (s *Store) Run(ctx context.Context) error {
	if s.shared == nil {
		<-ctx.Done()
		return nil
	}
	var group sync.WaitGroup
	group.Go(func() { s.warm(ctx) })
	group.Go(func() { s.sweepAll(ctx) })
	defer group.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-s.shared.queue:
			outcome := OK
			if s.shared.write(ctx, p) != nil {
				outcome = Failed
			}
			s.opts.Observer.Kept(Redis, outcome)
		}
	}
}

// warm reads what others, or this process before it began anew, have remembered, until a part of the
// memory is full of it. A Redis that is away is asked again until it has answered once.
func (s *Store) warm(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		taken, err := s.warmOnce(ctx)
		if err == nil {
			if taken > 0 {
				s.opts.Logger.Info("remembered results read", "results", taken)
			}
			return
		}
		s.opts.Logger.Debug("remembered results are not read yet", "error", err)
		timer.Reset(away)
	}
}

func (s *Store) warmOnce(ctx context.Context) (taken int, err error) {
	var reading error
	var mu sync.Mutex // a Cluster's servers are looked through side by side
	err = s.shared.scan(ctx, "", func(keys []string) bool {
		mu.Lock()
		defer mu.Unlock()
		n, err := s.take(ctx, keys)
		taken += n
		reading = err
		return err == nil && taken < maxWarm && s.Bytes() < uint64(s.opts.MaxBytes/warmPart) //nolint:gosec // positive
	})
	if err == nil {
		err = reading
	}
	return taken, err
}

// take reads some results into memory.
func (s *Store) take(ctx context.Context, keys []string) (taken int, err error) {
	pipe := s.shared.client.Pipeline()
	answers := make([]*redis.StringCmd, len(keys))
	for i, key := range keys {
		answers[i] = pipe.Get(ctx, key)
	}
	// A key that has gone meanwhile is no error of the others; each says how it went.
	_, _ = pipe.Exec(ctx)
	for i, key := range keys {
		raw, err := answers[i].Bytes()
		switch {
		case err == redis.Nil: //nolint:errorlint // never wrapped
			continue
		case err != nil:
			return taken, err
		}
		server, tool, at, ok := parse(key)
		if !ok {
			continue
		}
		entry, err := decode(raw, at)
		if err != nil || entry.GetServer() != server || toolHash(entry.GetTool()) != tool || !entry.GetAsOf().IsValid() {
			continue
		}
		if !s.usable(entry, server, entry.GetTool(), entry.GetMaxAge().AsDuration()) {
			continue
		}
		if _, there := s.memory.SetIfAbsent(at, entry); there {
			taken++
		}
	}
	return taken, nil
}

// sweepAll deletes what was purged. It is for tidiness: nothing leads there any more.
func (s *Store) sweepAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.shared.woken:
		}
		for _, at := range s.shared.taken() {
			if err := s.sweepOne(ctx, at); err != nil {
				s.opts.Logger.Debug("purged results are not deleted", "error", err)
			}
		}
	}
}

func (s *Store) sweepOne(ctx context.Context, of scope) error {
	wanted := toolHash(of.tool)
	return s.shared.scan(ctx, of.server, func(keys []string) bool {
		pipe := s.shared.client.Pipeline()
		for _, key := range keys {
			server, tool, at, ok := parse(key)
			if ok && (of.tool == "" || tool == wanted) && at.epoch < s.epochs.least(server, of) {
				pipe.Unlink(ctx, key)
			}
		}
		_, err := pipe.Exec(ctx)
		return err == nil
	})
}
