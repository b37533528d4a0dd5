package control

import (
	"context"
	"maps"
	"slices"
	"time"

	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/overlay"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

const (
	// healthPace is the least time between two pushes of one server's health, and between two to an Envoy
	// that has not taken what it was shown: a rollout gets on however endpoints flap.
	healthPace = time.Second
	// weightStep is by how much a weight must change to be told, unless it becomes full.
	weightStep = 5
	// maxShare is all callers of a region.
	maxShare = 100
)

// health is what was measured and ordered of endpoints. It is guarded by Plane.mu.
type health struct {
	layer overlay.Layer
	// measured is what SetHealth was told, by server.
	measured map[string]model.Health
	// regions of servers, as far as they are known: a region that is drained for all is none of those who lack it.
	regions map[string][]string
	// told is what the Envoys and processors were told last, and when.
	told map[string]toldHealth
	// shared are the servers of which processors have shares.
	shared map[string]bool
	// look is when a drain goes on by itself.
	look time.Time
	// due are servers of which there may be something to tell; wake says that there is one.
	due  map[string]bool
	wake chan struct{}
}

type toldHealth struct {
	health model.Health
	at     time.Time
}

func newHealth() health {
	return health{
		measured: map[string]model.Health{}, regions: map[string][]string{}, told: map[string]toldHealth{}, shared: map[string]bool{}, due: map[string]bool{}, wake: make(chan struct{}, 1),
	}
}

// SetHealth lays what was measured of a server's endpoints over every revision, in place of
// what was measured before. Names that the configuration does not have change nothing. It waits
// for nobody: Envoys and processors are told by Run, and of one server at most once a second.
func (p *Plane) SetHealth(server string, h model.Health) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.health.measured[server] = h
	p.health.due[server] = true
	tell(p.health.wake)
}

// followHealth tells Envoys and processors of health until ctx ends.
func (p *Plane) followHealth(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.health.wake:
		case <-timer.C:
		}
		timer.Reset(p.bringHealth(ctx))
	}
}

// bringHealth tells what is due, and says how long there is nothing to do.
func (p *Plane) bringHealth(ctx context.Context) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, wait := p.now(), time.Hour
	if look := p.health.look; !look.IsZero() && !now.Before(look) {
		for name := range p.health.told {
			p.health.due[name] = true
		}
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(p.health.due)) {
		last, next := p.health.told[name], p.healthOf(name)
		if left := healthPace - now.Sub(last.at); left > 0 && matters(last.health, next) {
			wait = min(wait, left)
			continue
		}
		delete(p.health.due, name)
		if !matters(last.health, next) {
			continue
		}
		p.health.told[name] = toldHealth{next, now}
		p.health.layer.Set(name, next)
		changed = append(changed, name)
	}
	if p.health.look = p.drains.Next(); !p.health.look.IsZero() {
		wait = min(wait, max(0, p.health.look.Sub(now)))
	}
	if len(changed) > 0 {
		p.tellShares(ctx, changed)
		p.touch()
	}
	return min(wait, p.showHealth(ctx, now))
}

// showHealth shows each Envoy what there is now, and says how long those may wait that are not
// to be shown anything yet.
func (p *Plane) showHealth(ctx context.Context, now time.Time) time.Duration {
	wait := time.Hour
	for key, s := range p.shown {
		set := p.withHealth(ctx, s.base)
		if set == s.set {
			continue
		}
		if standing, ok := p.machine.Standing(key); ok && !standing.InSync {
			if left := healthPace - now.Sub(s.at); left > 0 {
				wait = min(wait, left)
				continue
			}
		}
		s.set, s.at = set, now
		p.shown[key] = s
		if err := p.server.Show(key, set); err != nil {
			p.log.ErrorContext(ctx, "node is not told of health", "node", p.peers[key].ID, "error", err)
		}
	}
	return wait
}

// withHealth lays it over a set. Where that fails, the revision's own endpoints are better than none.
func (p *Plane) withHealth(ctx context.Context, base *resources.Set) *resources.Set {
	set, err := p.health.layer.Over(base)
	if err != nil {
		p.log.ErrorContext(ctx, "health is not laid over a revision", "error", err)
		return base
	}
	return set
}

// healthOf is what counts of a server now.
func (p *Plane) healthOf(server string) model.Health {
	h := p.drains.Over(server, p.health.measured[server])
	if known, ok := p.health.regions[server]; ok && len(h.Regions) > 0 {
		h.Regions = maps.Clone(h.Regions)
		maps.DeleteFunc(h.Regions, func(region string, _ model.HealthState) bool { return !slices.Contains(known, region) })
	}
	return h
}

// tellShares tells processors of servers whose health has changed.
func (p *Plane) tellShares(ctx context.Context, servers []string) {
	changed := map[string]resources.Message{}
	var removed []string
	for _, name := range servers {
		shares := sharesOf(name, p.health.told[name].health)
		switch {
		case shares != nil:
			changed[name] = shares
		case p.health.shared[name]:
			removed = append(removed, name)
		}
		p.health.shared[name] = shares != nil
	}
	if len(changed)+len(removed) == 0 {
		return
	}
	if err := p.server.UpdateShares(changed, removed); err != nil {
		p.log.ErrorContext(ctx, "processors are not told of shares", "error", err)
	}
}

// sharesOf is what processors are told of a server, nil where that is nothing.
func sharesOf(name string, h model.Health) *policyv1.Shares {
	out := &policyv1.Shares{Server: name}
	regions := map[string]bool{}
	for region := range h.Shares {
		regions[region] = true
	}
	for region := range h.Regions {
		regions[region] = true
	}
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		one := &policyv1.RegionShare{
			Region: region, Drained: h.Regions[region] >= model.Draining,
			Away: uint32(min(max(h.Shares[region], 0), maxShare)), //nolint:gosec // 0 to 100
		}
		if one.GetAway() > 0 || one.GetDrained() {
			out.Regions = append(out.Regions, one)
		}
	}
	if len(out.GetRegions()) == 0 {
		return nil
	}
	return out
}

// matters says whether Envoys and processors have to be told of a difference.
func matters(from, to model.Health) bool {
	if !maps.Equal(from.Shares, to.Shares) || !maps.Equal(from.Regions, to.Regions) {
		return true
	}
	for name := range from.Endpoints {
		if differs(from.Endpoints[name], to.Endpoints[name]) {
			return true
		}
	}
	for name := range to.Endpoints {
		if differs(from.Endpoints[name], to.Endpoints[name]) {
			return true
		}
	}
	return false
}

func differs(from, to model.EndpointHealth) bool {
	a, b := from.Part(), to.Part()
	return from.State != to.State || from.Ordered != to.Ordered ||
		a != b && (max(a, b)-min(a, b) >= weightStep || b == model.MaxWeight)
}

// refusesHealth takes a refusal of what was laid over a revision, which says nothing of the
// revision: it is taken back for all. Envoy refuses no health that it is sent rightly.
func (p *Plane) refusesHealth(ctx context.Context, peer server.Peer, s shown, r server.Refusal) bool {
	if r.TypeURL != resourcev3.EndpointType || !r.Concerns(s.set.Group(r.TypeURL)) || !p.health.layer.Refused(s.base, s.set, r.Changed()) {
		return false
	}
	p.log.ErrorContext(ctx, "node refused endpoints with their health", "node", peer.ID, "detail", r.Detail)
	tell(p.health.wake)
	return true
}

// keepHealth lets go of what was laid over sets that no Envoy is shown any more.
func (p *Plane) keepHealth() {
	p.health.layer.Keep(func(yield func(*resources.Set) bool) {
		for _, s := range p.shown {
			if !yield(s.base) {
				return
			}
		}
	})
}

// recallHealth has what was shown before a restart shown with the health that it had, from the first stream on.
func (p *Plane) recallHealth() {
	for _, r := range p.revisions {
		for _, set := range r.Sets() {
			for name, assignment := range set.Endpoints {
				server := snapshot.ServerOf(name)
				p.health.due[server], p.health.regions[server] = true, snapshot.RegionsOf(assignment.Message)
			}
		}
	}
	p.bringHealth(context.Background())
}

// lookAtHealth has all servers of a revision looked at: it may have regions that others had not.
func (p *Plane) lookAtHealth(r *revision.Revision) {
	for _, s := range r.Servers {
		regions := make([]string, 0, len(s.Regions))
		for _, region := range s.Regions {
			regions = append(regions, region.Name)
		}
		p.health.due[s.Name], p.health.regions[s.Name] = true, regions
	}
	tell(p.health.wake)
}
