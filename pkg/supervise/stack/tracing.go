package stack

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"
)

// Tracing says where spans go. The zero value: nowhere.
type Tracing struct {
	// Find returns the path of a Jaeger to run. It may build one for minutes: nothing waits for it, and ctx
	// ends with the Stack. nil runs none.
	Find func(ctx context.Context) (path string, err error)
	// Query is the URL of a Jaeger that runs already, OTLP where it takes spans by gRPC, IP:port. They are not
	// used where there is Find.
	Query, OTLP string
}

func (t *Tracing) on() bool { return t.Find != nil || t.OTLP != "" }

// TracingInfo is where traces are.
type TracingInfo struct {
	// Query is the URL of Jaeger's query API.
	Query string `json:"query"`
	// OTLP is where spans go by gRPC, OTLPHTTP by HTTP where that is known; host:port each.
	OTLP     string `json:"otlp"`
	OTLPHTTP string `json:"otlpHTTP,omitzero"`
	// Own says that this run starts it. It may not be up yet, or not at all.
	Own bool `json:"own,omitzero"`
}

// JaegerState is how far the Jaeger of a Stack has come.
type JaegerState string

// States of a Jaeger.
const (
	// JaegerNone: this Stack runs none.
	JaegerNone JaegerState = ""
	// JaegerComing: it is being looked for, built or started.
	JaegerComing JaegerState = "coming"
	JaegerUp     JaegerState = "up"
	// JaegerFailed: there is none, which a Step has said.
	JaegerFailed JaegerState = "failed"
)

// jaegerRun is a Jaeger that comes up beside everything else.
type jaegerRun struct {
	// cancel ends the search; ended is when its goroutine has.
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu    sync.Mutex
	state JaegerState
}

func (r *jaegerRun) become(state JaegerState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
}

func (r *jaegerRun) close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.ended.Wait()
}

// Jaeger says how far the Stack's own Jaeger has come.
func (s *Stack) Jaeger() JaegerState {
	s.jaeger.mu.Lock()
	defer s.jaeger.mu.Unlock()
	return s.jaeger.state
}

// placeTracing decides where spans go.
func (s *Stack) placeTracing() error {
	t := &s.opts.Tracing
	if !t.on() {
		return nil
	}
	if t.Find == nil {
		s.info.Tracing = &TracingInfo{Query: t.Query, OTLP: t.OTLP}
		return nil
	}
	var addresses [3]string
	for i, preferred := range []string{DefaultJaegerQuery, DefaultOTLPGRPC, DefaultOTLPHTTP} {
		var err error
		if addresses[i], err = s.place(preferred); err != nil {
			return err
		}
		if i > 0 && addresses[i] != preferred {
			// A Gateway that names the receiver means this one.
			s.remap[preferred] = addresses[i]
		}
	}
	// Nobody takes connections there until it is up: better refused than left waiting.
	s.ports.Release(addresses[:]...)
	s.info.Tracing = &TracingInfo{
		Query: (&url.URL{Scheme: "http", Host: addresses[0]}).String(), OTLP: addresses[1], OTLPHTTP: addresses[2], Own: true,
	}
	return nil
}

// otlp is where spans go; empty: nowhere.
func (s *Stack) otlp() string {
	if s.info.Tracing == nil {
		return ""
	}
	return s.info.Tracing.OTLP
}

// startJaeger begins to bring up a Jaeger and returns at once. What becomes of it is
// said in one Step.
func (s *Stack) startJaeger(ctx context.Context) {
	if s.opts.Tracing.Find == nil {
		return
	}
	ctx, s.jaeger.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.jaeger.become(JaegerComing)
	began, info := time.Now(), *s.info.Tracing
	s.jaeger.ended.Go(func() {
		err := s.bringUpJaeger(ctx, &info)
		switch {
		case err == nil:
			s.jaeger.become(JaegerUp)
		case ctx.Err() != nil:
			return
		default:
			s.jaeger.become(JaegerFailed)
		}
		s.report(Step{Name: StepJaeger, Beside: true, Done: true, Took: time.Since(began), Err: err})
	})
}

// StepJaeger is the name of the Step that says what became of Jaeger.
const StepJaeger = "Jaeger"

func (s *Stack) bringUpJaeger(ctx context.Context, info *TracingInfo) error {
	path, err := s.opts.Tracing.Find(ctx)
	if err != nil {
		return err
	}
	query, err := url.Parse(info.Query)
	if err != nil {
		return errors.New("no address for its query API")
	}
	return s.supervisor.Start(ctx, Jaeger(path, JaegerOptions{Query: query.Host, OTLPGRPC: info.OTLP, OTLPHTTP: info.OTLPHTTP}))
}
