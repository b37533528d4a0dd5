package trace

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// closeWithin bounds the sending of what a Pipeline holds that is no longer used.
const closeWithin = 3 * time.Second

// Current is the Pipeline in use, which the configuration may replace at any time. Its
// methods are safe for concurrent use.
type Current struct {
	source   Source
	counts   *Counts
	log      *slog.Logger
	pipeline atomic.Pointer[Pipeline]

	mu     sync.Mutex
	closed bool
	ending sync.WaitGroup
}

// NewCurrent makes a Current without a Pipeline. counts and logger may be nil.
func NewCurrent(source Source, counts *Counts, logger *slog.Logger) *Current {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if counts == nil {
		counts = &Counts{}
	}
	return &Current{source: source, counts: counts, log: logger}
}

// Pipeline returns the one in use; nil while nothing is traced.
func (c *Current) Pipeline() *Pipeline { return c.pipeline.Load() }

// Use changes the receiver; nil sends nothing any more. It does not block; what the Pipeline
// before holds is still sent.
func (c *Current) Use(s *Settings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.pipeline.Load()
	if c.closed || (old == nil && s == nil) || (old != nil && s != nil && old.Settings() == *s) {
		return
	}
	var next *Pipeline
	if s != nil {
		var err error
		if next, err = New(*s, c.source, c.counts, c.log); err != nil {
			c.log.Error("no traces", "error", err)
		}
	}
	c.pipeline.Store(next)
	c.end(old)
}

// Close sends what is queued, for three seconds at most.
func (c *Current) Close() {
	c.mu.Lock()
	c.closed = true
	c.end(c.pipeline.Swap(nil))
	c.mu.Unlock()
	c.ending.Wait()
}

func (c *Current) end(p *Pipeline) {
	if p == nil {
		return
	}
	c.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			c.log.Debug("traces were lost at the end", "error", err)
		}
	})
}
