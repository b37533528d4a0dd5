package outlier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/passive"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/shift"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/tier"
)

var (
	// ErrNotHeld: callers are not kept away from the region.
	ErrNotHeld = errors.New("nobody is kept away")
	// ErrNotWell: the region that callers would go back to is not well.
	ErrNotWell = errors.New("not well")
)

// held is why callers are kept away from a region that is well again; its zero value keeps nobody away.
type held struct {
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

func (h held) is() bool { return !h.Since.IsZero() }

// holdBack keeps callers away from regions that they have left, where an operator says when they go back. Where no other
// region is fit, the first one that is gets them all the same. m.mu is held.
func (m *Monitor) holdBack(s *server, now time.Time) {
	w := s.watched
	manual := w.ManualFailback && !w.Tiers.Disabled && len(w.Localities) > 1
	for _, l := range w.Localities {
		r := s.regions[l.Region]
		if !manual {
			r.held = held{}
			continue
		}
		if r.held.is() && s.behind(l.Region) {
			r.held = held{}
			m.act(s, l.Region, ByTiers, "nobody has to be kept away any more: another region is the first")
			continue
		}
		if r.held.is() || !s.serves(l.Region) || !s.fitToHold(l.Region) {
			continue
		}
		if why := s.left(l); why != "" {
			r.held = held{Since: now, Why: why}
			m.log.Warn("callers stay away until an operator says otherwise", "server", w.Name, "region", l.Region, "why", why)
			m.act(s, l.Region, ByTiers, "callers stay away until an operator says otherwise: "+why)
		}
	}
	if !manual || s.fitToHold("") {
		return
	}
	for _, l := range w.Localities {
		if r := s.regions[l.Region]; r.held.is() && s.fitIn(l.Region) {
			r.held = held{}
			m.log.Warn("callers go back, since no other region is fit", "server", w.Name, "region", l.Region)
			m.act(s, l.Region, ByTiers, "callers go back, since no other region is fit")
			return
		}
	}
}

// serves says that calls go to a region while it is well: in order, only the first that nobody is kept away from gets any.
func (s *server) serves(region string) bool {
	if s.watched.Failover != model.InOrder {
		return true
	}
	for _, l := range s.watched.Localities {
		if !s.regions[l.Region].held.is() {
			return l.Region == region
		}
	}
	return false
}

// behind says that a region comes after the one that calls go to, so that nobody comes back to it by itself.
func (s *server) behind(region string) bool {
	if s.watched.Failover != model.InOrder {
		return false
	}
	for _, l := range s.watched.Localities {
		switch {
		case l.Region == region:
			return false
		case !s.regions[l.Region].held.is() && s.fitIn(l.Region):
			return true
		}
	}
	return false
}

// fitToHold says that a region other than one is fit, and nobody is kept away from it.
func (s *server) fitToHold(than string) bool {
	return slices.ContainsFunc(s.watched.Localities, func(l model.Locality) bool {
		return l.Region != than && !s.regions[l.Region].held.is() && s.fitIn(l.Region)
	})
}

func (s *server) fitIn(region string) bool {
	for _, e := range s.endpoints {
		if e.target.Region == region && e.fit() && e.verdict != tier.Bad {
			return true
		}
	}
	return false
}

// left says why calls have left a region; empty where they have not. Envoy itself leaves endpoints that do not answer its checks.
func (s *server) left(l model.Locality) string {
	r := s.regions[l.Region]
	if r.shift.Away > 0 && r.shift.Away >= s.watched.Shift.Callers {
		return r.shift.Why
	}
	why := ""
	for _, one := range l.Endpoints {
		e := s.endpoints[one.Name]
		unanswered := e.verdict == tier.Bad && slices.Contains([]string{string(probe.TCP), string(probe.TLS), string(probe.HTTP)}, e.layer)
		if !e.out && !unanswered {
			return ""
		}
		if why == "" {
			why = e.layer + ": " + e.detail
		}
	}
	return why
}

// FailBack lets callers go back to the regions of a server that they are kept away from, or to one of them, in steps. It
// gives the regions. Errors are ErrNotHeld and ErrNotWell, after which nothing has changed, or that it could not be kept on disk.
func (m *Monitor) FailBack(server, region, by, reason string) ([]string, error) {
	back, err := m.failBack(server, region, by, reason)
	if err != nil {
		return nil, err
	}
	m.Tick()
	if err := m.saveTiers(); err != nil {
		return back, fmt.Errorf("callers go back, but a restart of the control plane would not know: %w", err)
	}
	return back, nil
}

func (m *Monitor) failBack(server, region, by, reason string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.servers[server]
	if s == nil {
		return nil, fmt.Errorf("%w from a region of server %q", ErrNotHeld, server)
	}
	var back []string
	for _, l := range s.watched.Localities {
		if (region == "" || region == l.Region) && s.regions[l.Region].held.is() {
			back = append(back, l.Region)
		}
	}
	switch {
	case len(back) == 0 && region != "":
		return nil, fmt.Errorf("%w from region %q of server %q", ErrNotHeld, region, server)
	case len(back) == 0:
		return nil, fmt.Errorf("%w from a region of server %q", ErrNotHeld, server)
	}
	var sick []string
	for _, name := range back {
		if !s.fitIn(name) || s.regions[name].shift.Away > 0 {
			sick = append(sick, name)
		}
	}
	if len(sick) > 0 {
		return nil, fmt.Errorf("%s of server %q: %w yet; callers would leave again", strings.Join(sick, ", "), server, ErrNotWell)
	}
	now := m.now()
	what := "callers go back"
	if reason != "" {
		what += ": " + reason
	}
	for _, name := range back {
		r := s.regions[name]
		r.held = held{}
		if !s.watched.Shift.Disabled && s.fitElsewhere(name) {
			r.shift = shift.Returning(now, shiftSettings(s.watched))
			m.windows.Freeze(passive.Region{Server: server, Region: name}, true)
		}
		m.act(s, name, by, what)
	}
	s.news = true
	return back, nil
}

// promotion is a region that another one is to take the place of.
type promotion struct{ server, from, to string }

// promotion says which region is to be the first in place of one that is given up. ok is false where that is not
// the first, or nobody but an operator may do it.
func (s *server) promotion(index int) (p promotion, ok bool) {
	w := s.watched
	if index != 0 || !w.PromotesItself || w.Failover == model.Shared {
		return promotion{}, false
	}
	for _, l := range w.Localities[1:] {
		if s.fitIn(l.Region) {
			return promotion{w.Name, w.Localities[0].Region, l.Region}, true
		}
	}
	return promotion{}, false
}

// promote asks for another first region, and waits for nobody: a revision takes its time.
func (m *Monitor) promote(p promotion) {
	m.mu.Lock()
	ctx := m.ctx
	if ctx == nil || m.opts.Promote == nil {
		// It is looked at again once there is somebody to ask.
		if s := m.servers[p.server]; s != nil && s.regions[p.from] != nil {
			s.regions[p.from].givenUp = false
		}
		m.mu.Unlock()
		return
	}
	m.watches.Go(func() { m.ask(ctx, p) })
	m.mu.Unlock()
}

func (m *Monitor) ask(ctx context.Context, p promotion) {
	what := p.to + " is promoted"
	if err := m.opts.Promote(ctx, p.server, p.from, p.to); err != nil {
		what = p.to + " could not be promoted: " + err.Error()
		m.log.Warn("no other region was promoted", "server", p.server, "region", p.from, "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.servers[p.server]; s != nil {
		m.act(s, p.from, ByTiers, what)
	}
}
