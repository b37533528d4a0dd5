// Package outlier watches the endpoints of MCP servers and says what calls they are to get. It joins what probes find
// (package probe) with what callers' calls say (package passive), scores each endpoint (package score), goes through
// tiers with one that is bad (package tier), sends callers away from a region that is slow (package shift), and keeps a record of
// incidents (package incident). What comes of it is a model.Health for each server.
package outlier

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"strconv"
	"sync"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/passive"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

const (
	// tick is how often everything that moves is looked at; a server's health changes at most once in it.
	tick = time.Second
	// idle is how often a server of which nothing is new is looked at.
	idle = 15 * time.Second
	// saveEvery is how often what is kept is written, where it has changed.
	saveEvery = 2 * time.Second
	// slots bound the probes that are under way.
	slots = 256
	// spreadOver is how many endpoints begin to be looked at in a second.
	spreadOver = 500
)

// Options of a Monitor. SetHealth is required.
type Options struct {
	// SetHealth takes what the endpoints of a server are to get. It is called at most once a second for a server, and
	// only when something is different.
	SetHealth func(server string, h model.Health)
	// Promote makes the region to the first one of a server, since from is given up; nil does nothing. It is called for servers
	// that allow it, and not before Run.
	Promote func(ctx context.Context, server, from, to string) error
	// Incidents is required.
	Incidents *incident.Log
	// SaveIncidents and SaveTiers keep data durably; nil keeps nothing.
	SaveIncidents, SaveTiers func([]byte) error
	// Tiers is what SaveTiers was given last.
	Tiers []byte
	// Passive: this control plane makes no probes; scores are made of calls alone.
	Passive bool
	// Mine says whether this control plane is the one that looks at an endpoint; nil: it looks at all.
	Mine func(server, endpoint string) bool
	// Share tells the other control planes what was found of an endpoint; nil: there are none.
	Share func(Finding)
	// Look makes the probes of an endpoint; nil makes real ones.
	Look func(probe.Target) func(context.Context, probe.Layer) probe.Result
	// Version of the program.
	Version string
	// Logger discards when nil; Now is time.Now.
	Logger *slog.Logger
	Now    func() time.Time
}

// Finding is what the control plane that looks at an endpoint has found.
type Finding struct {
	Server, Endpoint string
	Standings        []probe.Standing
}

// Monitor watches. It is safe for concurrent use; Run may be called once.
type Monitor struct {
	opts    Options
	log     *slog.Logger
	now     func() time.Time
	windows *passive.Windows
	slots   chan struct{}

	// saving is held by who writes tiers.
	saving sync.Mutex

	mu      sync.Mutex
	servers map[string]*server
	saved   savedTiers
	// ctx is Run's; nil before and after it.
	ctx     context.Context //nolint:containedctx // watches begin whenever the configuration changes
	watches sync.WaitGroup
}

// server is one that is watched. Its fields are guarded by Monitor.mu.
type server struct {
	watched   model.Watched
	endpoints map[string]*endpoint
	regions   map[string]*region
	// news: something may be different since it was looked at.
	news   bool
	looked time.Time
	// health is what was set last, setAt when; zero before the first time.
	health model.Health
	setAt  time.Time
	acts   []Act
}

// New makes a Monitor that watches nothing yet.
func New(opts Options) *Monitor {
	m := &Monitor{
		opts: opts, log: opts.Logger, now: opts.Now, windows: passive.New(), slots: make(chan struct{}, slots), servers: map[string]*server{},
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.opts.Look == nil {
		m.opts.Look = func(t probe.Target) func(context.Context, probe.Layer) probe.Result {
			return probe.New(t, opts.Version).Probe
		}
	}
	if m.opts.Mine == nil {
		m.opts.Mine = func(string, string) bool { return true }
	}
	saved, err := readTiers(opts.Tiers)
	if err != nil {
		m.log.Warn("saved tiers are not usable; endpoints count as well until they are found otherwise", "error", err)
	}
	m.saved = saved
	return m
}

// SetServers says what there is to watch. What is known of an endpoint stays where its name and address do.
// What was known of one before a restart is told before SetServers returns.
func (m *Monitor) SetServers(all []model.Watched) {
	m.setServers(all)
	m.Tick()
}

func (m *Monitor) setServers(all []model.Watched) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := make(map[string]bool, len(all))
	var endpoints []passive.Endpoint
	var regions []passive.Region
	for _, w := range all {
		known[w.Name] = true
		for _, l := range w.Localities {
			regions = append(regions, passive.Region{Server: w.Name, Region: l.Region})
			for _, e := range l.Endpoints {
				endpoints = append(endpoints, passive.Endpoint{Server: w.Name, Address: address(e)})
			}
		}
		s := m.servers[w.Name]
		if s == nil {
			s = &server{endpoints: map[string]*endpoint{}, regions: map[string]*region{}}
			m.servers[w.Name] = s
		} else if reflect.DeepEqual(s.watched, w) {
			continue
		}
		m.change(s, w)
	}
	for name, s := range m.servers {
		if !known[name] {
			for _, e := range s.endpoints {
				e.stop()
			}
			delete(m.servers, name)
		}
	}
	m.windows.Keep(endpoints, regions)
	m.startWatches()
}

// change brings one server to its new configuration.
func (m *Monitor) change(s *server, w model.Watched) {
	s.watched, s.news = w, true
	endpoints, regions := map[string]*endpoint{}, map[string]*region{}
	for _, l := range w.Localities {
		if regions[l.Region] = s.regions[l.Region]; regions[l.Region] == nil {
			regions[l.Region] = m.saved.region(w.Name, l.Region)
		}
		for _, one := range l.Endpoints {
			target := probe.Target{
				Server: w.Name, Region: l.Region, Name: one.Name, Address: address(one), Path: w.Path, TLS: w.TLS, Probes: w.Probes,
				CPU: w.Score.CPU, Memory: w.Score.Memory,
			}
			e := s.endpoints[one.Name]
			switch {
			case e == nil || e.target.Address != target.Address || e.target.Region != target.Region:
				fresh := m.saved.endpoint(w.Name, one.Name, target.Address)
				fresh.target, fresh.since = target, m.now()
				if e != nil {
					e.stop()
				}
				e = fresh
			case !reflect.DeepEqual(e.target, target):
				e.stop()
				e.target, e.standings = target, nil
			}
			endpoints[one.Name] = e
		}
	}
	for name, e := range s.endpoints {
		if endpoints[name] != e {
			e.stop()
		}
	}
	s.endpoints, s.regions = endpoints, regions
}

func address(e model.Endpoint) string {
	return net.JoinHostPort(e.Host, strconv.FormatUint(uint64(e.Port), 10))
}

// startWatches begins to look at the endpoints that are this control plane's, and stops with those that are
// not any more. m.mu is held.
func (m *Monitor) startWatches() {
	if m.ctx == nil || m.opts.Passive {
		return
	}
	var fresh []*endpoint
	for _, s := range m.servers {
		for _, e := range s.endpoints {
			mine := m.opts.Mine(e.target.Server, e.target.Name)
			switch {
			case mine && e.watch == nil:
				fresh = append(fresh, e)
			case !mine && e.watch != nil:
				e.stop()
			}
		}
	}
	spread := time.Duration(1+len(fresh)/spreadOver) * time.Second
	for _, e := range fresh {
		m.start(e, time.Duration(rand.Int64N(int64(spread)))) //nolint:gosec // no secret
	}
}

func (m *Monitor) start(e *endpoint, delay time.Duration) {
	ctx, cancel := context.WithCancel(m.ctx) //nolint:contextcheck // a watch outlives whoever changed the configuration
	watch := probe.NewWatch(probe.WatchOptions{
		Target: e.target, Look: m.opts.Look(e.target), Slots: m.slots, Delay: delay,
		Told: func(all []probe.Standing) { m.told(e, all, ctx) },
	})
	e.watch, e.cancel = watch, cancel
	m.watches.Go(func() { watch.Run(ctx) })
}

// told takes what a watch has found.
func (m *Monitor) told(e *endpoint, all []probe.Standing, ctx context.Context) { //nolint:revive // the watch's, to tell an old one
	m.mu.Lock()
	if ctx.Err() == nil {
		m.find(e, all)
	}
	m.mu.Unlock()
	if share := m.opts.Share; share != nil {
		share(Finding{Server: e.target.Server, Endpoint: e.target.Name, Standings: all})
	}
}

// find joins standings with what is known. m.mu is held.
func (m *Monitor) find(e *endpoint, all []probe.Standing) {
	s := m.servers[e.target.Server]
	if s == nil || s.endpoints[e.target.Name] != e {
		return
	}
	if e.differs(all) {
		s.news = true
	}
	e.take(all, m.now())
}

// Found takes what another control plane has found of an endpoint that is not this one's to look at.
func (m *Monitor) Found(f Finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.servers[f.Server]
	if s == nil {
		return
	}
	if e := s.endpoints[f.Endpoint]; e != nil && e.watch == nil {
		m.find(e, f.Standings)
	}
}

// Redistribute asks Mine again: another control plane has come or gone.
func (m *Monitor) Redistribute() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.startWatches()
}

// Observe takes one summary of a processor.
func (m *Monitor) Observe(s *outcomev1.Summary) {
	now := m.now()
	m.windows.Observe(s.GetCounts(), s.GetLoads(), now)
	m.mu.Lock()
	for _, c := range s.GetCounts() {
		if known := m.servers[c.GetServer()]; known != nil {
			known.news = true
		}
	}
	for _, l := range s.GetLoads() {
		if known := m.servers[l.GetServer()]; known != nil {
			known.news = true
		}
	}
	var calls []*outcomev1.Calls
	for _, c := range s.GetCalls() {
		if m.servers[c.GetServer()] != nil {
			calls = append(calls, c)
		}
	}
	m.mu.Unlock()
	for _, c := range calls {
		m.opts.Incidents.Count(c.GetServer(), incident.Calls{Answered: uint64(c.GetAnswered()), Degraded: uint64(c.GetDegraded()), Failed: uint64(c.GetFailed())})
	}
}

// Run watches until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	watching, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	m.ctx = watching
	m.startWatches() //nolint:contextcheck // it has the context from m
	m.mu.Unlock()
	every := time.NewTicker(tick)
	defer every.Stop()
	save := time.NewTicker(saveEvery)
	defer save.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-every.C:
			m.Tick() //nolint:contextcheck // who promotes goes on with the context of Run, which m has
		case <-save.C:
			m.save()
		}
	}
	m.mu.Lock()
	m.ctx = nil
	for _, s := range m.servers {
		for _, e := range s.endpoints {
			e.stop()
		}
	}
	m.mu.Unlock()
	cancel()
	m.watches.Wait()
	m.save()
}

// Tick looks at every server once; Run does so every second.
func (m *Monitor) Tick() {
	now := m.now()
	type change struct {
		server string
		health model.Health
	}
	var changes []change
	var given []promotion
	m.mu.Lock()
	for name, s := range m.servers {
		if !s.news && !s.moving() && now.Sub(s.looked) < idle {
			continue
		}
		s.news, s.looked = false, now
		given = append(given, m.evaluate(s, now)...)
		h := s.compute()
		// Once a second at most: a tick that comes early waits for the next.
		if !reflect.DeepEqual(h, s.health) && now.Sub(s.setAt) >= tick*9/10 {
			s.health, s.setAt = h, now
			changes = append(changes, change{name, h})
		} else if !reflect.DeepEqual(h, s.health) {
			s.news = true
		}
	}
	m.mu.Unlock()
	for _, c := range changes {
		m.opts.SetHealth(c.server, c.health)
	}
	for _, p := range given {
		m.promote(p)
	}
}

// save keeps what has changed.
func (m *Monitor) save() {
	if keep := m.opts.SaveIncidents; keep != nil {
		data, changed, err := m.opts.Incidents.Saved()
		if err == nil && changed {
			err = keep(data)
		}
		if err != nil {
			m.opts.Incidents.Unsaved()
			m.log.Warn("incidents are not kept", "error", err)
		}
	}
	if err := m.saveTiers(); err != nil {
		m.log.Warn("tiers are not kept", "error", err)
	}
}

// saveTiers keeps where endpoints and regions stand, where that has changed.
func (m *Monitor) saveTiers() error {
	keep := m.opts.SaveTiers
	if keep == nil {
		return nil
	}
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	data, changed, err := m.tiers()
	m.mu.Unlock()
	if err != nil || !changed {
		return err
	}
	if err := keep(data); err != nil {
		return err
	}
	m.mu.Lock()
	m.saved.last = data
	m.mu.Unlock()
	return nil
}
