package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/state"
	"github.com/holdfast-mcp/holdfast/pkg/control/succession"
)

const (
	// canaryTick is how often canaries are looked at that nobody says anything of.
	canaryTick = time.Second
	// leastCalls is how many calls a share must have had before the next one.
	leastCalls = 200
	everybody  = 100
)

// nextShare is what follows a share of callers that did no worse.
func nextShare(share int) int {
	for _, next := range []int{10, 25, 50} {
		if share < next {
			return next
		}
	}
	return everybody
}

type canaryState string

const (
	canaryRunning    canaryState = "running"
	canaryPromoted   canaryState = "promoted"
	canaryAborted    canaryState = "aborted"
	canaryRolledBack canaryState = "rolled back"
	canaryOvertaken  canaryState = "overtaken"
)

// canary is one server that gets another one's callers step by step, as it is kept on disk.
type canary struct {
	Server     string        `json:"server"`
	To         string        `json:"to"`
	State      canaryState   `json:"state"`
	Share      int           `json:"share"`
	Since      time.Time     `json:"since"`
	ShareSince time.Time     `json:"shareSince"`
	Ended      time.Time     `json:"ended,omitzero"`
	Each       time.Duration `json:"each"`
	By         string        `json:"by"`
	Reason     string        `json:"reason,omitzero"`
	Why        string        `json:"why,omitzero"`
	// Sample is what was counted when it ended, or was last saved.
	Sample succession.Sample `json:"sample"`
	// trial compares; what it has seen is not kept over restarts. before is what it had seen when the share began.
	trial  *succession.Trial
	before succession.Sample
}

// canaries has the last canary of each server. The turn of the plane's writer is taken before mu.
type canaries struct {
	mu   sync.Mutex
	all  map[string]*canary
	save func([]byte) error
	// wake says that there is something to look at.
	wake chan struct{}
}

// openCanaries begins with those that were under way at the last stop.
func (p *Plane) openCanaries() {
	c := &p.canaries
	c.all, c.wake = map[string]*canary{}, make(chan struct{}, 1)
	c.save = func(data []byte) error { return p.state.SaveMeasured(state.CanariesFileName, data) }
	data, err := p.state.LoadMeasured(state.CanariesFileName)
	var all []*canary
	if err == nil && data != nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		p.log.Warn("saved canaries are not usable; shares of callers stay as the configuration says", "error", err)
	}
	for _, one := range all {
		one.trial = &succession.Trial{}
		c.all[one.Server] = one
	}
}

// keep writes all of them down; mu is held.
func (c *canaries) keep() error {
	data, err := json.Marshal(slices.SortedFunc(maps.Values(c.all), func(a, b *canary) int { return a.Since.Compare(b.Since) }))
	if err != nil {
		return fmt.Errorf("saving canaries: %w", err)
	}
	return c.save(data)
}

// observe adds what a processor has counted.
func (c *canaries) observe(counts []*outcomev1.Count) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.all {
		if one.State == canaryRunning {
			one.trial.Observe(counts, one.Server, one.To)
			tell(c.wake)
		}
	}
}

// list gives copies of all, by server.
func (c *canaries) list() []canary {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []canary
	for _, name := range slices.Sorted(maps.Keys(c.all)) {
		one := *c.all[name]
		if one.State == canaryRunning {
			one.Sample = one.trial.Sample()
		}
		out = append(out, one)
	}
	return out
}

// followCanaries takes those back that are worse, and gives the others more, until ctx ends.
func (p *Plane) followCanaries(ctx context.Context) {
	tick := time.NewTicker(canaryTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.canaries.wake:
		case <-tick.C:
		}
		for _, name := range p.canaries.running() {
			if err := p.lookAtCanary(ctx, name); err != nil && ctx.Err() == nil && !errors.Is(err, errStopped) {
				p.log.ErrorContext(ctx, "canary does not get on", "server", name, "error", err)
			}
		}
	}
}

func (c *canaries) running() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for name, one := range c.all {
		if one.State == canaryRunning {
			out = append(out, name)
		}
	}
	return out
}

// lookAtCanary does what is due.
func (p *Plane) lookAtCanary(ctx context.Context, name string) error {
	c := &p.canaries
	c.mu.Lock()
	one := *c.all[name]
	worse, seen := one.trial.Worse(), one.trial.Sample()
	c.mu.Unlock()
	now := p.now()
	due := now.Sub(one.ShareSince) >= one.Each
	enough := min(seen.NextCalls-one.before.NextCalls, seen.BaseCalls-one.before.BaseCalls) >= leastCalls
	overtaken := p.overtaken(&one)
	switch {
	case overtaken != "":
		return p.endCanary(name, one.To, canaryOvertaken, overtaken)
	case worse != "":
		reason := fmt.Sprintf("canary %s taken back: %s", one.To, worse)
		if _, err := p.succeed(ctx, name, nil, canaryAuthor, reason, true); err != nil {
			return err
		}
		p.log.WarnContext(ctx, "canary taken back", "server", name, "successor", one.To, "share", one.Share, "reason", worse, "calls", seen.NextCalls, "failed", seen.NextFailed)
		return p.endCanary(name, one.To, canaryRolledBack, worse)
	case due && enough:
		return p.promoteCanary(ctx, &one, canaryAuthor, fmt.Sprintf("canary %s did no worse with %d %% of the callers: %d of %d calls failed, %d of %d before it",
			one.To, one.Share, seen.NextFailed, seen.NextCalls, seen.BaseFailed, seen.BaseCalls), true)
	case due:
		c.note(name, fmt.Sprintf("waits for %d calls on either side before it gets more", leastCalls))
	}
	return nil
}

// overtaken says that the configuration has something else than a canary says; empty where it has not.
func (p *Plane) overtaken(one *canary) string {
	head := p.newest()
	if head == nil {
		return ""
	}
	r, ok := head.Get(revisions.Ref{Kind: config.KindMCPServer, Name: one.Server})
	if !ok {
		return fmt.Sprintf("revision %d has no server %s", head.Number, one.Server)
	}
	next, err := config.SuccessorOf(r.YAML)
	if err != nil || next == nil || next.Server != one.To {
		return fmt.Sprintf("revision %d, by %s, has no such successor", head.Number, head.Author)
	}
	return ""
}

func (c *canaries) note(name, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.all[name]; one != nil {
		one.Why = why
	}
}

// promoteCanary gives a canary the next share of callers.
func (p *Plane) promoteCanary(ctx context.Context, one *canary, author, reason string, own bool) error {
	share := nextShare(one.Share)
	if _, err := p.succeed(ctx, one.Server, successor(one.To, share), author, reason, own); err != nil {
		return err
	}
	if share == everybody {
		return p.endCanary(one.Server, one.To, canaryPromoted, reason)
	}
	c := &p.canaries
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.all[one.Server]
	now.Share, now.ShareSince, now.Why, now.before = share, p.now(), "", now.trial.Sample()
	return c.keep()
}

func (p *Plane) endCanary(name, to string, how canaryState, why string) error {
	c := &p.canaries
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.all[name]
	if one == nil || one.To != to || one.State != canaryRunning {
		return nil
	}
	one.State, one.Why, one.Ended, one.Sample = how, why, p.now(), one.trial.Sample()
	if how == canaryPromoted {
		one.Share = everybody
	}
	return c.keep()
}

func successor(to string, share int) *config.Successor {
	percent := config.Percent(share)
	return &config.Successor{Server: to, Share: &percent}
}

// succeed makes the revision in which a server has another successor, nil for none.
func (p *Plane) succeed(ctx context.Context, server string, next *config.Successor, author, reason string, own bool) (*revisionMade, error) {
	ref := revisions.Ref{Kind: config.KindMCPServer, Name: server}
	return p.Backend().write(ctx, writing{
		origin: revisions.Origin{Author: author, Reason: bounded(reason, revisions.MaxReasonBytes)}, own: own,
		change: func(before revisions.Set) (revisions.Set, error) {
			r, ok := before.Get(ref)
			if !ok {
				return revisions.Set{}, fmt.Errorf("%w: there is no MCPServer %q", api.ErrUnknown, server)
			}
			text, err := config.WithSuccessor(r.YAML, next)
			if err != nil {
				return revisions.Set{}, fmt.Errorf("%w: MCPServer %s: %w", api.ErrSuccession, server, err)
			}
			return revisions.Rewrite(before, ref, text)
		},
	})
}
