package trace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter is one whose time is made: each batch takes a while, or until its context ends.
type exporter struct {
	takes   time.Duration
	batches []int
}

func (e *exporter) ExportSpans(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
	timer := time.NewTimer(e.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		e.batches = append(e.batches, len(batch))
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *exporter) Shutdown(context.Context) error { return nil }

// TestQueueIsBounded: with a receiver that answers nothing the end of a span costs no time, however many there
// are; what finds no room is counted, and so is each batch that takes too long.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung, counts := &exporter{takes: time.Hour}, &Counts{}
		p := NewTo(hung, Source{Service: "extproc"}, counts, nil)
		for range maxBatch {
			p.Start(t.Context(), "s").End()
		}
		synctest.Wait() // the sender has a whole batch and is stuck with it
		const more = maxQueued + 1000
		began := time.Now()
		for range more {
			p.Start(t.Context(), "s").End()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("ending spans took %v", took)
		}
		if counts.Dropped() != 1000 || counts.Sent() != 0 {
			t.Errorf("%d dropped, %d sent", counts.Dropped(), counts.Sent())
		}
		time.Sleep(sendTimeout + time.Second)
		if counts.Dropped() != 1000+maxBatch {
			t.Errorf("%d dropped after the first batch's time", counts.Dropped())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began = time.Now()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("closing took %v", took)
		}
		if total := counts.Dropped() + counts.Sent(); total != maxBatch+more {
			t.Errorf("%d spans are counted, %d were ended", total, maxBatch+more)
		}
	})
}

// TestBatches: spans leave together, in half a second at most, and all that are left at the end.
func TestBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quick, counts := &exporter{}, &Counts{}
		p := NewTo(quick, Source{Service: "extproc"}, counts, nil)
		for range 3 {
			p.Start(t.Context(), "s").End()
		}
		synctest.Wait()
		if counts.Sent() != 0 {
			t.Error("spans left one by one")
		}
		time.Sleep(sendEvery)
		synctest.Wait()
		if counts.Sent() != 3 {
			t.Errorf("%d sent after %v", counts.Sent(), sendEvery)
		}
		const rest = 2*maxBatch + 7
		for range rest {
			p.Start(t.Context(), "s").End()
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if counts.Sent() != 3+rest || counts.Dropped() != 0 {
			t.Errorf("%d sent, %d dropped", counts.Sent(), counts.Dropped())
		}
		for _, n := range quick.batches {
			if n > maxBatch {
				t.Errorf("a batch of %d", n)
			}
		}
		p.Start(t.Context(), "late").End()
		if counts.Dropped() != 1 {
			t.Error("a span after the end is not counted")
		}
	})
}

// TestClosingGivesUp: what a receiver does not take in time is dropped, and the exporter's own end is told.
func TestClosingGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counts := &Counts{}
		p := NewTo(&failing{}, Source{}, counts, nil)
		p.Start(t.Context(), "s").End()
		if err := p.Close(t.Context()); err == nil {
			t.Error("the exporter's error at its end is lost")
		}
		if counts.Dropped() != 1 {
			t.Errorf("%d dropped", counts.Dropped())
		}
	})
}

type failing struct{}

var errFailing = errors.New("no")

func (failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return errFailing }
func (failing) Shutdown(context.Context) error                             { return errFailing }
