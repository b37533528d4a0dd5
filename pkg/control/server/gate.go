package server

import (
	"context"
	"errors"
	"sync"

	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// gate holds the watches of a cache back until it has content. A LinearCache
// answers a first request even when it is empty, and to a processor that starts
// again with policies from disk that would say: there are none.
type gate struct {
	inner cachev3.Cache

	mu      sync.Mutex
	open    bool
	waiting map[*parked]struct{}
}

var _ cachev3.Cache = (*gate)(nil)

// parked is a watch that waits. Once let through, cancel is the inner cache's.
type parked struct {
	request *cachev3.DeltaRequest
	sub     cachev3.Subscription
	out     chan cachev3.DeltaResponse
	cancel  func()
}

func newGate(inner cachev3.Cache) *gate {
	return &gate{inner: inner, waiting: make(map[*parked]struct{})}
}

// Open lets all watches through, now and from now on.
func (g *gate) Open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return nil
	}
	g.open = true
	var errs []error
	for p := range g.waiting {
		cancel, err := g.inner.CreateDeltaWatch(p.request, p.sub, p.out)
		if err != nil {
			errs = append(errs, err)
		}
		p.cancel = cancel
		delete(g.waiting, p)
	}
	return errors.Join(errs...)
}

func (g *gate) CreateDeltaWatch(req *cachev3.DeltaRequest, sub cachev3.Subscription, out chan cachev3.DeltaResponse) (func(), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return g.inner.CreateDeltaWatch(req, sub, out)
	}
	p := &parked{request: req, sub: sub, out: out}
	g.waiting[p] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.waiting, p)
		if p.cancel != nil {
			p.cancel()
		}
	}, nil
}

func (g *gate) CreateWatch(*cachev3.Request, cachev3.Subscription, chan cachev3.Response) (func(), error) {
	return nil, errors.New("served over incremental xDS only")
}

func (g *gate) Fetch(context.Context, *cachev3.Request) (cachev3.Response, error) {
	return nil, errors.New("served over incremental xDS only")
}
