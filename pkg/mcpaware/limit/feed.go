package limit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// feedChannel is where take.lua tells news.
	feedChannel = redisPrefix + "news"
	// feedPing is how often the feed is asked whether it lives, and feedSilence how long it may
	// say nothing.
	feedPing    = time.Second
	feedSilence = 3 * time.Second
)

// feed hears what Redis tells all processors, until ended.
type feed struct {
	sub    *redis.PubSub
	ended  chan struct{}
	pinged time.Time
}

// hear opens a feed. What it hears goes to the memory; when it breaks Redis counts as away, since
// nobody knows then what others take of this processor's shares.
func (r *Redis) hear(ctx context.Context) (*feed, error) {
	f := &feed{sub: r.opts.Client.Subscribe(ctx, feedChannel), ended: make(chan struct{}), pinged: time.Now()}
	if _, err := f.sub.ReceiveTimeout(ctx, probeTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribing to %s: %w", feedChannel, err), f.sub.Close())
	}
	go func() {
		defer close(f.ended)
		for {
			got, err := f.sub.ReceiveTimeout(context.WithoutCancel(ctx), feedSilence)
			if err != nil {
				r.lose(fmt.Errorf("hearing what other processors use: %w", err), f)
				return
			}
			if message, ok := got.(*redis.Message); ok {
				if n, err := parseNews(message.Payload); err != nil {
					r.log.Debug("news of rate limits not understood", "error", err)
				} else {
					r.opts.Memory.learn(n)
				}
			}
		}
	}()
	return f, nil
}

// close ends a feed and waits for it. What has come in and is not read is lost.
func (f *feed) close() {
	// What it says of a connection that is gone helps nobody.
	_ = f.sub.Close()
	<-f.ended
}

// check sees to it that a feed that says nothing is found out: now and then it is asked for a
// sign of life, and one that has broken before it was in use is noticed here.
func (r *Redis) check(ctx context.Context) {
	f := r.feed.Load()
	select {
	case <-f.ended:
		r.lose(errors.New("hearing what other processors use: the connection is gone"), f)
		return
	default:
	}
	if time.Since(f.pinged) < feedPing {
		return
	}
	f.pinged = time.Now()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// Where it fails, so does hearing.
	_ = f.sub.Ping(ctx)
}

// drained waits, no longer than for an answer, until all has been heard that Redis said before it went away.
func (r *Redis) drained(l loss) {
	f := r.feed.Load()
	if f == nil {
		return
	}
	select {
	case <-f.ended:
		return
	default:
	}
	left := r.opts.Timeout - time.Duration(r.opts.Memory.now()-l.at)
	if left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-f.ended:
	case <-timer.C:
	}
}

// parseNews reads what take.lua tells: key, units used, Redis's clock, limit, and length of the window, in
// microseconds.
func parseNews(text string) (news, error) {
	var n news
	key, rest, _ := strings.Cut(strings.TrimPrefix(text, redisPrefix), " ")
	if hex.DecodedLen(len(key)) != len(n.key) {
		return news{}, fmt.Errorf("%d bytes are not a key", len(key))
	}
	if _, err := hex.Decode(n.key[:], []byte(key)); err != nil {
		return news{}, fmt.Errorf("reading a key: %w", err)
	}
	var micros int64
	if _, err := fmt.Sscan(rest, &n.used, &n.clock, &n.limit, &micros); err != nil {
		return news{}, fmt.Errorf("reading figures: %w", err)
	}
	if n.used < 0 || n.limit < 1 || micros < 1 || micros > int64(maxPer/time.Microsecond) {
		return news{}, fmt.Errorf("%d of %d in %d µs", n.used, n.limit, micros)
	}
	n.per = time.Duration(micros) * time.Microsecond
	return n, nil
}

// maxPer is the longest window that is believed.
const maxPer = 366 * 24 * time.Hour
