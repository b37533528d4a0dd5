package trace

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// maxQueued spans wait for the sender; one takes about two kilobytes.
	maxQueued = 4096
	// maxBatch spans go out together.
	maxBatch = 512
	// sendEvery is how long a span waits for others at most.
	sendEvery = 500 * time.Millisecond
)

// Counts are what became of spans, over all Pipelines that they were given to. The zero
// value is ready.
type Counts struct{ sent, dropped atomic.Uint64 }

// Sent is how many spans a receiver took, Dropped how many found no room or no receiver.
func (c *Counts) Sent() uint64    { return c.sent.Load() }
func (c *Counts) Dropped() uint64 { return c.dropped.Load() } // see Sent

// queue is a sdktrace.SpanProcessor that never blocks.
type queue struct {
	exporter sdktrace.SpanExporter
	address  string
	counts   *Counts
	log      *slog.Logger
	spans    chan sdktrace.ReadOnlySpan
	// away: the last batch was not taken. It belongs to the sender.
	away bool

	stop    chan struct{}
	once    sync.Once
	stopped chan struct{}
	// ctx ends sends that Close does not wait for.
	ctx    context.Context
	cancel context.CancelFunc
}

var _ sdktrace.SpanProcessor = (*queue)(nil)

func newQueue(exporter sdktrace.SpanExporter, address string, counts *Counts, logger *slog.Logger) *queue {
	ctx, cancel := context.WithCancel(context.Background())
	q := &queue{
		exporter: exporter, address: address, counts: counts, log: logger,
		spans: make(chan sdktrace.ReadOnlySpan, maxQueued), stop: make(chan struct{}), stopped: make(chan struct{}),
		ctx: ctx, cancel: cancel,
	}
	go q.run()
	return q
}

// OnStart implements sdktrace.SpanProcessor.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd queues a span, or drops it.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	select {
	case <-q.stop:
	default:
		select {
		case q.spans <- s:
			return
		default:
		}
	}
	q.counts.dropped.Add(1)
}

// ForceFlush implements sdktrace.SpanProcessor; spans leave soon by themselves.
func (q *queue) ForceFlush(context.Context) error { return nil }

// Shutdown sends what is queued until ctx ends, and drops the rest.
func (q *queue) Shutdown(ctx context.Context) error {
	q.once.Do(func() { close(q.stop) })
	select {
	case <-q.stopped:
	case <-ctx.Done():
		q.cancel()
		<-q.stopped
	}
	q.cancel()
	return q.exporter.Shutdown(ctx)
}

func (q *queue) run() {
	defer close(q.stopped)
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	batch := make([]sdktrace.ReadOnlySpan, 0, maxBatch)
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) < maxBatch {
				continue
			}
		case <-tick.C:
		case <-q.stop:
			q.rest(batch)
			return
		}
		q.send(batch)
		clear(batch)
		batch = batch[:0]
	}
}

// rest sends what is left, in batches.
func (q *queue) rest(batch []sdktrace.ReadOnlySpan) {
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) < maxBatch {
				continue
			}
			q.send(batch)
			batch = batch[:0]
		default:
			q.send(batch)
			return
		}
	}
}

func (q *queue) send(batch []sdktrace.ReadOnlySpan) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(q.ctx, sendTimeout)
	defer cancel()
	err := q.exporter.ExportSpans(ctx, batch)
	n := uint64(len(batch))
	if err != nil {
		q.counts.dropped.Add(n)
	} else {
		q.counts.sent.Add(n)
	}
	// A line when the receiver goes and one when it is back, not one a batch.
	switch {
	case err != nil && !q.away:
		q.log.Warn("traces are dropped: their receiver does not take them", "address", q.address, "error", err)
	case err == nil && q.away:
		q.log.Info("traces are taken again", "address", q.address)
	}
	q.away = err != nil
}
