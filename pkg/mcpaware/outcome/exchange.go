package outcome

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// Bounds of what processors tell each other; outcome.proto names them too.
const (
	maxDrained       = 4096
	maxNamed         = 8
	latencyBuckets   = 129
	maxNameBytes     = 512
	maxMergedAnswers = 1 << 24
)

// pending is what one tool of one endpoint answered since the last Drain.
type pending struct {
	good, busy       uint32
	failed           failures
	latency          [latencyBuckets]uint32
	goodBy, failedBy principals
	// confirmed is how often another region has done what failed here.
	confirmed uint32
}

// principals are distinct callers, the first few.
type principals struct {
	list [maxNamed]uint64
	n    uint8
}

func (p *principals) add(principal uint64) {
	if int(p.n) < len(p.list) && !slices.Contains(p.list[:p.n], principal) {
		p.list[p.n] = principal
		p.n++
	}
}

func (p *pending) empty() bool { return p.good|p.failed.n|p.busy|p.confirmed == 0 }

func (p *pending) add(c *Call, class Class) {
	switch class {
	case Failed:
		p.failed.add(failuresOf(c.Principal, 1))
		p.failedBy.add(c.Principal)
	case Succeeded, Refused:
		p.good++
		p.goodBy.add(c.Principal)
	case Busy:
		p.busy++
	case Unrelated:
		return
	}
	p.latency[latencyBucket(c.Took)]++
}

// latencyBucket is the index i of the least 2^(i/8) milliseconds that took fits into; the
// last bucket holds all that took longer.
func latencyBucket(took time.Duration) int {
	if took <= time.Millisecond {
		return 0
	}
	octave := bits.Len64(uint64((took - 1) / time.Millisecond)) //nolint:gosec // positive
	if octave > latencyBuckets/perOctave {
		return latencyBuckets - 1
	}
	i, within := perOctave*(octave-1), float64(took)/float64(time.Millisecond<<(octave-1))
	for _, edge := range octaveEdges {
		if i++; within <= edge {
			return i
		}
	}
	return i + 1
}

const perOctave = 8

// octaveEdges are 2^(1/8) to 2^(7/8).
var octaveEdges = [perOctave - 1]float64{ //nolint:gochecknoglobals // constant
	1.0905077326652577, 1.189207115002721, 1.2968395546510096, math.Sqrt2, 1.5422108254079407, 1.681792830507429, 1.8340080864093424,
}

func (p *pending) count(key endpointKey, region string, tool toolKey) *outcomev1.Count {
	last := latencyBuckets
	for last > 0 && p.latency[last-1] == 0 {
		last--
	}
	out := &outcomev1.Count{
		Server: key.server, Endpoint: key.endpoint, Region: region, Method: tool.method, Tool: tool.tool,
		Good: p.good, Failed: p.failed.n, Busy: p.busy, Latency: slices.Clone(p.latency[:last]),
		GoodPrincipals: slices.Clone(p.goodBy.list[:p.goodBy.n]), FailedPrincipals: slices.Clone(p.failedBy.list[:p.failedBy.n]),
		FailedSurplus: p.failed.lead.surplus, Confirmed: p.confirmed,
	}
	if out.GetFailedSurplus() > 0 {
		// The one that has the surplus comes first.
		rest := slices.DeleteFunc(out.GetFailedPrincipals(), func(by uint64) bool { return by == p.failed.lead.principal })
		out.FailedPrincipals = append([]uint64{p.failed.lead.principal}, rest[:min(len(rest), maxNamed-1)]...)
	}
	return out
}

// Drain returns what was observed here since the call before, at most 4096 counts,
// the busiest where there were more; nil where nothing was. What Merge brought in
// is not among it. It is for one caller at a time, about once a second.
func (w *Window) Drain() []*outcomev1.Count {
	w.mu.RLock()
	keys := make([]endpointKey, 0, len(w.endpoints))
	endpoints := make([]*endpoint, 0, len(w.endpoints))
	for key, e := range w.endpoints {
		keys, endpoints = append(keys, key), append(endpoints, e)
	}
	w.mu.RUnlock()
	var out []*outcomev1.Count
	for i, e := range endpoints {
		out = e.drain(keys[i], out)
	}
	slices.SortFunc(out, busiest)
	return out[:min(len(out), maxDrained)]
}

func (e *endpoint) drain(key endpointKey, out []*outcomev1.Count) []*outcomev1.Count {
	e.mu.Lock()
	defer e.mu.Unlock()
	for tool, c := range e.tools {
		if c.pending.empty() {
			continue
		}
		out = append(out, c.pending.count(key, e.region, tool))
		c.pending = pending{}
	}
	return out
}

func busiest(a, b *outcomev1.Count) int {
	total := func(c *outcomev1.Count) uint64 {
		return uint64(c.GetGood()) + uint64(c.GetFailed()) + uint64(c.GetBusy())
	}
	return cmp.Or(
		cmp.Compare(total(b), total(a)), cmp.Compare(a.GetServer(), b.GetServer()), cmp.Compare(a.GetEndpoint(), b.GetEndpoint()),
		cmp.Compare(a.GetMethod(), b.GetMethod()), cmp.Compare(a.GetTool(), b.GetTool()))
}

// Merge counts what other processors observed as if it had just been observed
// here. Counts without a server or endpoint, or with names longer than 512 bytes, are passed over.
func (w *Window) Merge(counts []*outcomev1.Count) {
	for _, c := range counts[:min(len(counts), maxDrained)] {
		if acceptable(c) {
			w.merge(c)
		}
	}
}

func acceptable(c *outcomev1.Count) bool {
	if c.GetServer() == "" || c.GetEndpoint() == "" || c.GetGood() > maxMergedAnswers || c.GetFailed() > maxMergedAnswers {
		return false
	}
	for _, name := range []string{c.GetServer(), c.GetEndpoint(), c.GetRegion(), c.GetMethod(), c.GetTool()} {
		if len(name) > maxNameBytes {
			return false
		}
	}
	return c.GetGood()+c.GetFailed() > 0 || c.GetConfirmed() > 0 && c.GetConfirmed() <= maxMergedAnswers
}

// failuresIn are those of a summary; without a surplus nobody knows whose they are.
func failuresIn(m *outcomev1.Count) failures {
	f := failures{n: m.GetFailed()}
	if named := m.GetFailedPrincipals(); len(named) > 0 {
		f.lead = lead{principal: named[0], surplus: min(m.GetFailedSurplus(), f.n)}
	}
	return f
}

func (w *Window) merge(m *outcomev1.Count) {
	at := w.clock()
	e := w.endpoint(endpointKey{m.GetServer(), m.GetEndpoint()}, m.GetRegion())
	for _, list := range [][]uint64{m.GetGoodPrincipals(), m.GetFailedPrincipals()} {
		seeAll(&e.server.callers, list, at)
	}
	if m.GetTool() != "" {
		e.server.see(m.GetTool(), at)
		e.server.mergeTool(m, at)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = at
	seeAll(&e.failing, m.GetFailedPrincipals(), at)
	// Nobody knows the order within the second: one answer ends the row.
	if m.GetGood() > 0 || at-e.lastFailure > windowSpan {
		e.row = failures{}
	}
	failed := failuresIn(m)
	if failed.n > 0 {
		e.lastFailure = at
		if m.GetGood() == 0 {
			e.row.add(failed)
		}
	}
	if c := e.tool(toolKey{method: m.GetMethod(), tool: m.GetTool()}, at, m.GetGood()+m.GetFailed() > 0); c != nil {
		c.add(at, m.GetGood(), failed)
		c.exceed(int64(e.speakFor(failed, e.server.onlyCaller(at))) - int64(m.GetGood()))
	}
}

// seeAll notes callers that another processor named.
func seeAll(c *callers, list []uint64, at time.Duration) {
	for _, p := range list[:min(len(list), maxNamed)] {
		c.see(p, at)
	}
}

func (s *server) mergeTool(m *outcomev1.Count, at time.Duration) {
	confirmed := min(m.GetConfirmed(), maxMergedAnswers)
	c := s.cell(cellKey{m.GetTool(), m.GetRegion()}, m.GetFailed() > 0 || confirmed > 0, at)
	if c == nil {
		return
	}
	seeAll(&c.callers, m.GetFailedPrincipals(), at)
	// Nobody knows the order within the second: one answer ends the row.
	if m.GetFailed() > 0 {
		c.fail(failuresIn(m), at)
	}
	if confirmed > 0 {
		c.confirm(confirmed, at)
	}
	if m.GetGood() > 0 {
		seeAll(&c.answering, m.GetGoodPrincipals(), at)
		c.answer(m.GetGood(), at)
	}
}
