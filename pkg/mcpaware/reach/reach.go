// Package reach finds out whether servers behind tools can be reached at all, for lists of tools: what
// cannot be called is not to be offered. Envoy knows by its health checks, but tells nobody; so a
// processor asks the same of each endpoint itself. What calls come to is not decided by it.
package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

const (
	// interval between two looks at all servers.
	interval = time.Second
	// defaultTimeout of one, where the server's health check has none.
	defaultTimeout = 500 * time.Millisecond
	// failuresToDown is how often in a row no endpoint of a server answers until it is down; one
	// answer is enough to be up.
	failuresToDown = 2
	// atOnce bounds the endpoints that are asked side by side.
	atOnce = 16
	// maxPageBytes of an answer are read.
	maxPageBytes = 4 << 10
)

// Options of a Prober. Servers is required.
type Options struct {
	// Servers are those that are looked at; it is asked each time.
	Servers func() []*policyv1.Server
	// Logger discards where nil.
	Logger *slog.Logger
}

// Prober knows which servers are down. It is safe for concurrent use; Run looks.
type Prober struct {
	opts   Options
	client *http.Client
	dialer net.Dialer
	// failures in a row; it belongs to Run's goroutine.
	failures map[string]int
	// down are the servers that are, since when; it is replaced, never changed.
	down atomic.Pointer[map[string]time.Time]
}

// New makes a Prober, to which every server is up.
func New(o Options) *Prober {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Prober{opts: o, failures: map[string]int{}, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	p.down.Store(&map[string]time.Time{})
	return p
}

// Quiet says that no server is down. It costs one atomic load; nil is always quiet.
func (p *Prober) Quiet() bool { return p == nil || len(*p.down.Load()) == 0 }

// Down says since when a server is down.
func (p *Prober) Down(server string) (since time.Time, down bool) {
	if p == nil {
		return time.Time{}, false
	}
	since, down = (*p.down.Load())[server]
	return since, down
}

// Run looks again and again until ctx ends. It returns nil.
func (p *Prober) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.Round(ctx)
		}
	}
}

// Round looks at every server once.
func (p *Prober) Round(ctx context.Context) {
	servers := map[string]*policyv1.Server{}
	for _, s := range p.opts.Servers() {
		servers[s.GetName()] = s
	}
	var mu sync.Mutex
	answered := map[string]bool{}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for name, s := range servers {
		for _, e := range s.GetEndpoints() {
			group.Go(func() error {
				if p.ask(ctx, e.GetAddress(), s.GetHealthCheck()) == nil {
					mu.Lock()
					defer mu.Unlock()
					answered[name] = true
				}
				return nil
			})
		}
	}
	_ = group.Wait() // no endpoint fails the others
	if ctx.Err() == nil {
		p.take(servers, answered)
	}
}

func (p *Prober) take(servers map[string]*policyv1.Server, answered map[string]bool) {
	before, now := *p.down.Load(), map[string]time.Time{}
	for name := range p.failures {
		if servers[name] == nil {
			delete(p.failures, name)
		}
	}
	for name, s := range servers {
		since, was := before[name]
		if answered[name] || len(s.GetEndpoints()) == 0 {
			p.failures[name] = 0
			if was {
				p.opts.Logger.Info("server can be reached again", "server", name, "down_for", time.Since(since).Round(time.Millisecond))
			}
			continue
		}
		if p.failures[name]++; p.failures[name] < failuresToDown && !was {
			continue
		}
		if !was {
			since = time.Now()
			p.opts.Logger.Warn("server cannot be reached: no endpoint answers", "server", name)
		}
		now[name] = since
	}
	p.down.Store(&now)
}

var errSick = errors.New("the endpoint is not healthy")

// ask is Envoy's health check, or a mere connection where there is none.
func (p *Prober) ask(ctx context.Context, address string, h *policyv1.HealthCheck) error {
	timeout := h.GetTimeout().AsDuration()
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if h.GetPath() == "" {
		conn, err := p.dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+h.GetPath(), nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", address, err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("asking %s: %w", address, err)
	}
	_, err = io.CopyN(io.Discard, resp.Body, maxPageBytes)
	if closeErr := resp.Body.Close(); closeErr != nil || err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, closeErr)
	}
	switch status := resp.StatusCode; {
	case status < http.StatusMultipleChoices, status == http.StatusTooManyRequests, h.GetAcceptMissing() && status >= http.StatusBadRequest && status < http.StatusInternalServerError:
		return nil
	}
	return errSick
}
