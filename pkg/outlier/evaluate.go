package outlier

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/passive"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/shift"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/tier"
)

// Whoever acts.
const (
	ByProbes = "probes"
	ByTiers  = "tiers"
	ByCalls  = "calls"
)

const (
	// maxActs of a server are remembered.
	maxActs = 50
	// shedWeight is what an endpoint gets of its calls while they are shed.
	shedWeight = 25
	// settled is for how many looks in a row a score has to ask for another weight.
	settled = 5
	// weightStep is the least by which weights differ.
	weightStep = 10
)

// Act is something that was done about a server.
type Act struct {
	At time.Time
	// Region or endpoint that it was done about, by whom, and what in words.
	About, By, What string
}

// region is one of a server that is watched.
type region struct {
	shift shift.State
	// away is the share of callers that tiers send away, given up that its standby was promoted.
	away    int
	givenUp bool
	held    held
}

// moving says that time alone may change what is to be done.
func (s *server) moving() bool {
	for _, r := range s.regions {
		if !r.shift.Began.IsZero() {
			return true
		}
	}
	for _, e := range s.endpoints {
		if e.state.Tier != tier.Steady || e.verdict != tier.Good || e.weight != 0 && e.weight != 100 || e.row > 0 {
			return true
		}
		if e.aging {
			return true
		}
	}
	return false
}

// evaluate looks at a server anew and gives the regions that are given up now.
func (m *Monitor) evaluate(s *server, now time.Time) (givenUp []promotion) {
	w := s.watched
	for _, l := range w.Localities {
		key := incident.Key{Server: w.Name, Region: l.Region}
		for _, one := range l.Endpoints {
			e := s.endpoints[one.Name]
			seen := m.windows.Endpoint(passive.Endpoint{Server: w.Name, Address: e.target.Address}, now)
			e.judge(seen, w, now)
			m.step(s, key, e, now)
		}
	}
	s.eject()
	for _, l := range w.Localities {
		s.weigh(l, now)
	}
	for i, l := range w.Localities {
		m.shiftRegion(s, i, now)
		if up := !w.Tiers.Disabled && s.abandoned(l); up && !s.regions[l.Region].givenUp {
			s.regions[l.Region].givenUp = true
			if p, ok := s.promotion(i); ok {
				givenUp = append(givenUp, p)
			}
		} else if !up {
			s.regions[l.Region].givenUp = false
		}
		m.record(s, l, now)
	}
	m.holdBack(s, now)
	return givenUp
}

// step takes an endpoint through the tiers.
func (m *Monitor) step(s *server, key incident.Key, e *endpoint, now time.Time) {
	before := e.state
	e.state = before.Step(e.verdict, e.badSince, now, tierSettings(s.watched.Tiers))
	if e.watch != nil {
		e.watch.Faster(e.state.Tier != tier.Steady)
	}
	if e.state.Tier == before.Tier {
		return
	}
	what := fmt.Sprintf("%s is %s", e.target.Name, e.state.Tier)
	if e.state.Tier == tier.Steady {
		what = fmt.Sprintf("%s is well again", e.target.Name)
		m.log.Info("endpoint is well again", "server", s.watched.Name, "region", key.Region, "endpoint", e.target.Name)
	} else {
		what += fmt.Sprintf(": %s: %s", e.layer, e.detail)
		m.log.Warn("endpoint is not well", "server", s.watched.Name, "region", key.Region, "endpoint", e.target.Name,
			"tier", e.state.Tier.String(), "layer", e.layer, "detail", e.detail, "since", e.state.BadSince)
		if m.opts.Incidents.Begin(key, e.layer, e.detail, e.state.BadSince) {
			m.log.Warn("incident began", "server", s.watched.Name, "region", key.Region, "layer", e.layer)
		}
		m.opts.Incidents.Affects(key, e.target.Name, e.state.Tier.String())
	}
	by := ByTiers
	if before.Tier == tier.Steady || e.state.Tier == tier.Steady {
		by = ByProbes
	}
	m.act(s, key.Region, by, what)
}

// act remembers what was done. m.mu is held.
func (m *Monitor) act(s *server, about, by, what string) {
	s.acts = append(s.acts, Act{At: m.now(), About: about, By: by, What: what})
	if more := len(s.acts) - maxActs; more > 0 {
		s.acts = slices.Delete(s.acts, 0, more)
	}
	m.opts.Incidents.Acted(incident.Key{Server: s.watched.Name, Region: about}, by, what)
}

// fit says that an endpoint can take the calls of others.
func (e *endpoint) fit() bool { return e.state.Tier < tier.Shedding }

// fitElsewhere says whether another region than one has an endpoint that is fit.
func (s *server) fitElsewhere(than string) bool {
	for _, e := range s.endpoints {
		if e.target.Region != than && e.fit() {
			return true
		}
	}
	return false
}

// eject picks who is taken out, region by region.
func (s *server) eject() {
	t := s.watched.Tiers
	for _, l := range s.watched.Localities {
		candidates := make([]tier.Candidate, 0, len(l.Endpoints))
		for _, one := range l.Endpoints {
			e := s.endpoints[one.Name]
			e.out = false
			candidates = append(candidates, tier.Candidate{Name: one.Name, Tier: e.state.Tier, Since: e.state.BadSince, Score: e.score.Value})
		}
		elsewhere := s.fitElsewhere(l.Region)
		bounds := tier.Bounds{MaxEjected: t.MaxEjected, Panic: t.PanicLimit}
		if bounds.MaxEjected < 0 {
			bounds.MaxEjected = t.PanicLimit
			if elsewhere {
				bounds.MaxEjected = 100
			}
		}
		for _, i := range tier.Eject(candidates, elsewhere, bounds) {
			s.endpoints[candidates[i].Name].out = true
		}
	}
}

// weigh gives the endpoints of a region their weights, by tier and by how their scores compare.
func (s *server) weigh(l model.Locality, now time.Time) {
	best := 0.0
	for _, one := range l.Endpoints {
		if e := s.endpoints[one.Name]; !e.out {
			best = max(best, e.score.Value)
		}
	}
	for _, one := range l.Endpoints {
		e := s.endpoints[one.Name]
		e.weight = min(e.byScore(best), e.state.Returning(now, tierSettings(s.watched.Tiers)))
		if e.state.Tier >= tier.Shedding {
			e.weight = min(e.weight, shedWeight)
		}
	}
}

// byScore is a weight in steps, which changes when the score has asked for another for a while.
func (e *endpoint) byScore(best float64) int {
	wanted := 100
	if best > 0 {
		wanted = int(math.Round(100*e.score.Value/best/weightStep)) * weightStep
	}
	wanted = min(max(wanted, weightStep), 100)
	if e.proposed == 0 {
		e.proposed = 100
	}
	if wanted == e.proposed {
		e.row = 0
		return e.proposed
	}
	if e.row++; e.row >= settled {
		e.proposed, e.row = wanted, 0
	}
	return e.proposed
}

// shiftRegion decides which callers leave a region.
func (m *Monitor) shiftRegion(s *server, index int, now time.Time) {
	w := s.watched
	l := w.Localities[index]
	r := s.regions[l.Region]
	r.away = s.shed(l, now)
	if w.Shift.Disabled || len(w.Localities) < 2 {
		r.shift = shift.State{}
		return
	}
	key := passive.Region{Server: w.Name, Region: l.Region}
	in := shift.Input{Here: m.windows.Region(key, now), Somewhere: s.fitElsewhere(l.Region) && !s.othersLeave(l.Region), Well: s.well(l)}
	for _, other := range w.Localities {
		if other.Region != l.Region {
			if there := m.windows.Region(passive.Region{Server: w.Name, Region: other.Region}, now); there.Calls > in.There.Calls {
				in.There = there
			}
		}
	}
	before := r.shift
	r.shift = before.Step(in, now, shiftSettings(w))
	if r.shift.Away == before.Away {
		return
	}
	m.windows.Freeze(key, r.shift.Away > 0)
	incidentKey := incident.Key{Server: w.Name, Region: l.Region}
	what := fmt.Sprintf("%d%% of callers go to another region", r.shift.Away)
	if before.Away == 0 {
		what += ": " + r.shift.Why
		m.opts.Incidents.Begin(incidentKey, layerCalls, r.shift.Why, now)
	}
	if r.shift.Away == 0 {
		what = "all callers are back"
	}
	m.log.Warn("callers of a slow region move", "server", w.Name, "region", l.Region, "away_percent", r.shift.Away, "why", r.shift.Why)
	m.act(s, l.Region, ByCalls, what)
}

func shiftSettings(w model.Watched) shift.Settings {
	return shift.Settings{
		Slowdown: w.Shift.Slowdown, Target: w.Score.ResponseTimeTarget, Critical: w.Score.ResponseTimeCritical, MinimumCalls: w.Shift.MinimumCalls,
		Callers: w.Shift.Callers, Bound: w.Shift.Target, MinHold: w.Tiers.MinHold, MaxHold: w.Tiers.MaxHold, Return: w.Tiers.Return,
	}
}

// othersLeave says that callers leave another region, which can then not be one to go to.
func (s *server) othersLeave(than string) bool {
	for name, r := range s.regions {
		if name != than && r.shift.Away > 0 {
			return true
		}
	}
	return false
}

// well says that probes find nothing wrong with a region.
func (s *server) well(l model.Locality) bool {
	for _, one := range l.Endpoints {
		e := s.endpoints[one.Name]
		took := e.probeTime()
		if e.verdict == tier.Good && (took == nil || *took < s.watched.Score.ResponseTimeCritical) {
			return true
		}
	}
	return false
}

// shed is the share of callers that leave a region because none of its endpoints is to get all its calls: weights
// inside the region cannot say that. Envoy itself leaves a region of which nothing is in service.
func (s *server) shed(l model.Locality, now time.Time) int {
	best := 0
	for _, one := range l.Endpoints {
		if e := s.endpoints[one.Name]; !e.out {
			w := e.state.Returning(now, tierSettings(s.watched.Tiers))
			if e.state.Tier >= tier.Shedding {
				w = shedWeight
			}
			best = max(best, w)
		}
	}
	if best == 0 || best == 100 || !s.fitElsewhere(l.Region) {
		return 0
	}
	return 100 - best
}

// abandoned says that no endpoint of a region is left.
func (s *server) abandoned(l model.Locality) bool {
	for _, one := range l.Endpoints {
		if s.endpoints[one.Name].state.Tier < tier.Abandoned {
			return false
		}
	}
	return s.fitElsewhere(l.Region)
}

// record keeps the region's incident up to date.
func (m *Monitor) record(s *server, l model.Locality, now time.Time) {
	key := incident.Key{Server: s.watched.Name, Region: l.Region}
	if _, open := m.opts.Incidents.Current(key); !open {
		return
	}
	r := s.regions[l.Region]
	over := r.shift.Began.IsZero()
	worst := tier.Steady
	mitigated := r.shift.Away > 0 || r.away > 0
	for _, one := range l.Endpoints {
		e := s.endpoints[one.Name]
		worst = max(worst, e.state.Tier)
		over = over && e.state.Tier == tier.Steady
		mitigated = mitigated || e.out || e.state.Tier >= tier.Shedding && s.share(l, e)
	}
	hurt := m.windows.Hurt(passive.Region{Server: key.Server, Region: key.Region}, now)
	m.opts.Incidents.Hurt(key, hurt.Tools, hurt.Agents)
	if mitigated && !s.watched.Tiers.Disabled {
		m.opts.Incidents.Mitigated(key)
	}
	if worst == tier.Abandoned {
		m.opts.Incidents.Escalated(key)
	}
	if over {
		if done, ok := m.opts.Incidents.Recovered(key); ok {
			m.log.Info("incident is over", "server", key.Server, "region", key.Region, "took", done.Recovered.Sub(done.Began).Round(time.Millisecond))
		}
	}
}

// share says that another endpoint of the region is fit and gets the calls.
func (s *server) share(l model.Locality, e *endpoint) bool {
	for _, one := range l.Endpoints {
		if other := s.endpoints[one.Name]; other != e && other.fit() {
			return true
		}
	}
	return false
}

// compute gives what the endpoints are to get. What is well is left out.
func (s *server) compute() model.Health {
	if s.watched.Tiers.Disabled {
		return model.Health{}
	}
	var h model.Health
	for name, e := range s.endpoints {
		one := model.EndpointHealth{State: model.Healthy, Weight: e.weight}
		switch {
		case e.out:
			one.State = model.Unhealthy
		case e.state.Tier >= tier.Shedding && e.verdict == tier.Strained && e.layer != layerScore:
			// It asks for fewer calls itself.
			one.State = model.Degraded
		case s.regions[e.target.Region].held.is():
			// Calls go there again where no other region has an endpoint that is healthy, whoever is away then.
			one.State = model.Degraded
		}
		if one.Weight == 0 {
			one.Weight = 100
		}
		if one != (model.EndpointHealth{State: model.Healthy, Weight: 100}) {
			if h.Endpoints == nil {
				h.Endpoints = map[string]model.EndpointHealth{}
			}
			h.Endpoints[name] = one
		}
	}
	for name, r := range s.regions {
		if away := max(r.away, r.shift.Away); away > 0 {
			if h.Shares == nil {
				h.Shares = map[string]int{}
			}
			h.Shares[name] = away
		}
	}
	return h
}
