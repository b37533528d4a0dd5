package passive

import (
	"maps"
	"slices"
	"sync"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

const (
	// endpointSeconds are looked back at for an endpoint, regionSeconds for a region now.
	endpointSeconds = 60
	regionSeconds   = 5
	// A region's usual times are those of five minutes, without the last fifteen seconds.
	usualWidth  = 5 * time.Second
	usualPieces = 60
	usualSkip   = 3
	// loadAge is how long what an endpoint said of its load counts.
	loadAge = 30 * time.Second
	// maxTools and maxAgents bound what is named of a minute.
	maxTools  = 32
	maxAgents = 256
)

// Endpoint names an endpoint as processors do.
type Endpoint struct {
	Server string
	// Address is host:port.
	Address string
}

// Region names a region of a server.
type Region struct{ Server, Region string }

// Seen is what calls say of an endpoint in the last minute.
type Seen struct {
	Good, Failed uint64
	// P95 is the time within which 95 of 100 answers began; 0 without answers.
	P95 time.Duration
	// LastGood is when a list or a call of a tool was last answered; zero where none was.
	LastGood time.Time
	// JustGood and JustFailed are those of the last ten seconds.
	JustGood, JustFailed uint64
	// CPU and Memory are what the endpoint itself said lately, shares from 0 to 1; nil where it did not.
	CPU, Memory *float64
}

// Pace is what calls say of a region.
type Pace struct {
	// Calls and P95 of the last five seconds.
	Calls uint64
	P95   time.Duration
	// UsualCalls and Usual, the P95 of the five minutes before.
	UsualCalls uint64
	Usual      time.Duration
}

// Hurt is whom a server's failures of the last minute have hurt.
type Hurt struct {
	// Tools whose calls failed, sorted, and how many callers at least; bounded.
	Tools  []string
	Agents int
}

type endpoint struct {
	ring     *ring
	lastGood time.Time
	cpu, mem *float64
	loadAt   time.Time
}

type region struct {
	now, usual *ring
	// tools and agents that failed, by when last.
	tools  map[string]time.Time
	agents map[uint64]time.Time
}

// Windows are those of all servers. They are safe for concurrent use. What is not known by Keep is not counted.
type Windows struct {
	mu        sync.Mutex
	endpoints map[Endpoint]*endpoint
	regions   map[Region]*region
	// frozen regions keep the usual times that they have.
	frozen map[Region]bool
}

// New makes Windows that know nothing.
func New() *Windows {
	return &Windows{endpoints: map[Endpoint]*endpoint{}, regions: map[Region]*region{}, frozen: map[Region]bool{}}
}

// Keep says which endpoints and regions there are. What others have is forgotten.
func (w *Windows) Keep(endpoints []Endpoint, regions []Region) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endpoints = kept(w.endpoints, endpoints, func() *endpoint { return &endpoint{} })
	w.regions = kept(w.regions, regions, func() *region { return &region{} })
	maps.DeleteFunc(w.frozen, func(r Region, _ bool) bool { return w.regions[r] == nil })
}

func kept[K comparable, V any](before map[K]*V, keys []K, fresh func() *V) map[K]*V {
	out := make(map[K]*V, len(keys))
	for _, k := range keys {
		if out[k] = before[k]; out[k] == nil {
			out[k] = fresh()
		}
	}
	return out
}

// Freeze keeps a region's usual times as they are, while it is known not to be as usual.
func (w *Windows) Freeze(r Region, frozen bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen[r] = frozen
}

// Observe counts one summary of a processor.
func (w *Windows) Observe(counts []*outcomev1.Count, loads []*outcomev1.Load, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range counts {
		s := slot{good: c.GetGood(), failed: c.GetFailed(), busy: c.GetBusy()}
		s.took.add(c.GetLatency())
		if e := w.endpoints[Endpoint{c.GetServer(), c.GetEndpoint()}]; e != nil {
			if e.ring == nil {
				e.ring = newRing(time.Second, endpointSeconds)
			}
			e.ring.add(&s, now)
			if s.good > 0 && (c.GetMethod() == "tools/call" || c.GetMethod() == "tools/list") {
				e.lastGood = now
			}
		}
		key := Region{c.GetServer(), c.GetRegion()}
		if r := w.regions[key]; r != nil {
			r.observe(c, &s, now, w.frozen[key])
		}
	}
	for _, l := range loads {
		if e := w.endpoints[Endpoint{l.GetServer(), l.GetEndpoint()}]; e != nil {
			e.cpu, e.mem, e.loadAt = share(l.Cpu), share(l.Memory), now
		}
	}
}

// share takes what a server says for one where it can be.
func share(x *float32) *float64 {
	if x == nil || !(*x >= 0 && *x <= 10) {
		return nil
	}
	v := float64(*x)
	return &v
}

func (r *region) observe(c *outcomev1.Count, s *slot, now time.Time, frozen bool) {
	if r.now == nil {
		// One piece more than is looked at: the one under way is not whole.
		r.now, r.usual = newRing(time.Second, regionSeconds+1), newRing(usualWidth, usualPieces+usualSkip)
		r.tools, r.agents = map[string]time.Time{}, map[uint64]time.Time{}
	}
	r.now.add(s, now)
	if !frozen {
		r.usual.add(s, now)
	}
	if s.failed == 0 {
		return
	}
	note(r.tools, c.GetTool(), now, maxTools)
	for _, a := range c.GetFailedPrincipals() {
		note(r.agents, a, now, maxAgents)
	}
}

func note[K comparable](seen map[K]time.Time, key K, now time.Time, limit int) {
	var none K
	if key == none {
		return
	}
	if _, ok := seen[key]; !ok && len(seen) >= limit {
		maps.DeleteFunc(seen, func(_ K, at time.Time) bool { return now.Sub(at) > endpointSeconds*time.Second })
		if len(seen) >= limit {
			return
		}
	}
	seen[key] = now
}

// Endpoint gives what calls say of an endpoint.
func (w *Windows) Endpoint(key Endpoint, now time.Time) Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.endpoints[key]
	if e == nil {
		return Seen{}
	}
	out := Seen{LastGood: e.lastGood}
	if now.Sub(e.loadAt) <= loadAge {
		out.CPU, out.Memory = e.cpu, e.mem
	}
	if e.ring != nil {
		s := e.ring.sum(now, 0, endpointSeconds)
		out.Good, out.Failed, out.P95 = uint64(s.good), uint64(s.failed), s.took.quantile(0.95)
		const just = 10
		s = e.ring.sum(now, 0, just)
		out.JustGood, out.JustFailed = uint64(s.good), uint64(s.failed)
	}
	return out
}

// Region gives what calls say of a region.
func (w *Windows) Region(key Region, now time.Time) Pace {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.regions[key]
	if r == nil || r.now == nil {
		return Pace{}
	}
	recent, usual := r.now.sum(now, 0, regionSeconds+1), r.usual.sum(now, usualSkip, usualPieces+usualSkip)
	return Pace{
		Calls: recent.took.total(), P95: recent.took.quantile(0.95),
		UsualCalls: usual.took.total(), Usual: usual.took.quantile(0.95),
	}
}

// Hurt gives whom the failures in a region have hurt in the last minute.
func (w *Windows) Hurt(key Region, now time.Time) Hurt {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.regions[key]
	if r == nil {
		return Hurt{}
	}
	old := func(at time.Time) bool { return now.Sub(at) > endpointSeconds*time.Second }
	maps.DeleteFunc(r.tools, func(_ string, at time.Time) bool { return old(at) })
	maps.DeleteFunc(r.agents, func(_ uint64, at time.Time) bool { return old(at) })
	return Hurt{Tools: slices.Sorted(maps.Keys(r.tools)), Agents: len(r.agents)}
}
