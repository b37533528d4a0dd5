package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"

	"github.com/holdfast-mcp/holdfast/pkg/drill"
)

// Proxy is a Toxiproxy that the operator has put before what is to be broken.
type Proxy struct {
	// API is its address, http://host:port.
	API string
	// Names of the proxies to break.
	Names []string
}

// toxic is what one drill does to a proxy; the zero value closes it.
type toxic struct {
	kind       string
	streams    []string
	attributes toxiproxy.Attributes
	does       string
}

// cutBytes are let through before a connection is closed: a health check's answer, not an event.
const cutBytes = 400

// toxics by drill. A proxy of connections knows nothing of what goes through them, so it makes no answers.
func toxics() map[string]toxic {
	down := toxic{does: "takes no connections"}
	return map[string]toxic{
		drill.RegionLoss: down, drill.Crash: down, drill.Flapping: down, drill.ControlPlaneLoss: down, drill.ExtprocLoss: down, drill.RedisLoss: down,
		drill.Hang:      {kind: "timeout", streams: []string{"upstream", "downstream"}, attributes: toxiproxy.Attributes{"timeout": 0}, does: "lets nothing through"},
		drill.Slow:      {kind: "latency", streams: []string{"downstream"}, does: "makes every answer take ten times as long"},
		drill.BrokenSSE: {kind: "limit_data", streams: []string{"downstream"}, attributes: toxiproxy.Attributes{"bytes": cutBytes}, does: fmt.Sprintf("closes each connection after %d bytes", cutBytes)},
	}
}

// ErrNotByProxy is in the error of a drill that no proxy of connections can play.
var ErrNotByProxy = errors.New("a fault proxy cannot make answers: this drill needs commands")

// Fault breaks the proxies as the drill of that name wants it.
func (p Proxy) Fault(kind string) (drill.Fault, error) {
	t, ok := toxics()[kind]
	switch {
	case !ok:
		return drill.Fault{}, ErrNotByProxy
	case p.API == "" || len(p.Names) == 0:
		return drill.Fault{}, errors.New("a fault proxy is its API's address and the names of the proxies to break")
	}
	client := toxiproxy.NewClient(strings.TrimRight(p.API, "/"))
	each := func(do func(*toxiproxy.Proxy) error) func(context.Context) error {
		return func(ctx context.Context) error {
			return bounded(ctx, func() error {
				var errs []error
				for _, name := range p.Names {
					proxy, err := client.Proxy(name)
					if err == nil {
						err = do(proxy)
					}
					if err != nil {
						errs = append(errs, fmt.Errorf("proxy %q at %s: %w", name, p.API, err))
					}
				}
				return errors.Join(errs...)
			})
		}
	}
	names := strings.Join(p.Names, " and ")
	f := drill.Fault{
		Does: fmt.Sprintf("the fault proxy %s %s", names, t.does), Undoes: fmt.Sprintf("the fault proxy %s is as before", names),
		Break: each(t.add), Mend: each(t.remove),
	}
	if kind == drill.Slow {
		f.BreakBy = func(ctx context.Context, usual time.Duration) error {
			slow := t
			slow.attributes = toxiproxy.Attributes{"latency": longer(usual).Milliseconds()}
			return each(slow.add)(ctx)
		}
	}
	return f, nil
}

// longer is what makes a call take ten times as long as it usually does.
func longer(usual time.Duration) time.Duration {
	const times, least, most = 9, 10 * time.Millisecond, 30 * time.Second
	return min(most, max(least, times*usual.Round(time.Millisecond)))
}

func (t toxic) add(p *toxiproxy.Proxy) error {
	if t.kind == "" {
		return p.Disable() //nolint:wrapcheck // the caller says which proxy
	}
	for _, stream := range t.streams {
		if _, err := p.AddToxic(t.name(stream), t.kind, stream, 1, t.attributes); err != nil {
			return err //nolint:wrapcheck // the caller says which proxy
		}
	}
	return nil
}

func (t toxic) remove(p *toxiproxy.Proxy) error {
	if t.kind == "" {
		return p.Enable() //nolint:wrapcheck // the caller says which proxy
	}
	there, err := p.Toxics()
	if err != nil {
		return err //nolint:wrapcheck // the caller says which proxy
	}
	for _, stream := range t.streams {
		name := t.name(stream)
		if !slices.ContainsFunc(there, func(have toxiproxy.Toxic) bool { return have.Name == name }) {
			continue
		}
		if err := p.RemoveToxic(name); err != nil {
			return err //nolint:wrapcheck // the caller says which proxy
		}
	}
	return nil
}

func (t toxic) name(stream string) string { return "holdfast-drill-" + t.kind + "-" + stream }

// bounded ends the wait for what takes no context when ctx does.
func bounded(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the fault proxy: %w", ctx.Err())
	}
}
