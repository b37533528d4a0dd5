package stack

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// bringingUp is as much of a Stack as a Jaeger needs.
func bringingUp(t *testing.T, find func(context.Context) (string, error)) (s *Stack, steps chan Step) {
	t.Helper()
	supervisor, err := supervise.New(supervise.Options{LogDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	steps = make(chan Step, 10)
	s = &Stack{supervisor: supervisor, remap: map[string]string{}, opts: Options{
		AnyPorts: true, Tracing: Tracing{Find: find}, OnStep: func(step Step) { steps <- step },
	}}
	if err := s.placeTracing(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, steps
}

// TestNoJaegerCostsOneStep: a Jaeger that cannot be had, or that does not start, is said
// once and never tried again.
func TestNoJaegerCostsOneStep(t *testing.T) {
	t.Parallel()
	broken := errors.New("no compiler")
	for name, find := range map[string]func(context.Context) (string, error){
		"it cannot be built": func(context.Context) (string, error) { return "", broken },
		"it does not start":  func(context.Context) (string, error) { return "/bin/false", nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, steps := bringingUp(t, find)
			s.startJaeger(t.Context())
			step := <-steps
			if step.Name != StepJaeger || !step.Beside || !step.Done || step.Err == nil {
				t.Errorf("the step is %+v", step)
			}
			s.jaeger.ended.Wait()
			if s.Jaeger() != JaegerFailed || len(steps) != 0 {
				t.Errorf("then it is %q, and %d more steps", s.Jaeger(), len(steps))
			}
		})
	}
}

// TestClosingEndsTheSearch: whoever stops everything does not wait for a Jaeger that is being
// built, and hears nothing of it.
func TestClosingEndsTheSearch(t *testing.T) {
	t.Parallel()
	searching := make(chan struct{})
	s, steps := bringingUp(t, func(ctx context.Context) (string, error) {
		close(searching)
		<-ctx.Done()
		return "", ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	s.startJaeger(ctx)
	<-searching
	cancel() // the end of Start's context is not the end of the search
	if s.Jaeger() != JaegerComing {
		t.Errorf("it is %q", s.Jaeger())
	}
	closed, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	if err := s.Close(closed); err != nil || closed.Err() != nil {
		t.Errorf("closing: %v, %v", err, closed.Err())
	}
	if len(steps) != 0 {
		t.Errorf("it said %+v", <-steps)
	}
}
