package outcomes

import (
	"maps"
	"slices"
	"strings"
	"time"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// Verdicts is what a tool of an endpoint answered, over all processors.
type Verdicts struct {
	Server, Method, Tool, Region, Endpoint string
	// Recent are the last ten seconds, Minute the last sixty.
	Recent, Minute Counts
}

// Counts of answers; see outcomev1.Count.
type Counts struct{ Good, Failed, Busy uint64 }

// Processors gives the names of those that share outcomes, sorted.
func (s *Server) Processors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processorsLocked()
}

// Dropped counts entries of summaries that were not taken: beyond a bound, or not usable.
func (s *Server) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Breakers gives the newest word about every breaker that is not closed, in order of
// server, tool and region. What operators hold is in Overrides.
func (s *Server) Breakers() []*outcomev1.Breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := s.newestLocked(nil)
	maps.DeleteFunc(newest, func(_ Key, h held) bool { return h.closed() })
	out := make([]*outcomev1.Breaker, 0, len(newest))
	for _, key := range slices.SortedFunc(maps.Keys(newest), Key.Compare) {
		out = append(out, newest[key].breaker)
	}
	return out
}

// Verdicts gives what was answered in the last minute, in order of server, tool, region,
// method and endpoint.
func (s *Server) Verdicts() []Verdicts {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.windows.verdicts(now)
}

// Known gives the tools of a server that answered in the last minute or have a breaker.
func (s *Server) Known(server string) []string {
	tools := map[string]struct{}{}
	for _, v := range s.Verdicts() {
		// A caller can invent a tool, but not have it answer well.
		if v.Server == server && v.Tool != "" && v.Minute.Good > 0 {
			tools[v.Tool] = struct{}{}
		}
	}
	for _, b := range s.Breakers() {
		if b.GetServer() == server {
			tools[b.GetTool()] = struct{}{}
		}
	}
	for _, o := range s.Overrides() {
		if o.GetServer() == server {
			tools[o.GetTool()] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(tools))
}

const (
	windowSeconds = 60
	recentSeconds = int64(recentSpan / time.Second)
)

// windows count answers by the second, for people.
type windows struct {
	byKey map[countKey]*window
	// swept is the second in which the silent ones were last looked for.
	swept int64
}

type window struct {
	last    int64
	seconds [windowSeconds]second
}

type second struct {
	at                 int64
	good, failed, busy uint32
}

// add counts, and says how many counts found no room.
func (w *windows) add(counts []*outcomev1.Count, now time.Time) (dropped uint64) {
	at := now.Unix()
	for _, c := range counts {
		key := keyOf(c)
		one := w.byKey[key]
		if one == nil {
			if len(w.byKey) >= maxWindows && !w.forget(at) {
				dropped++
				continue
			}
			one = &window{}
			w.byKey[cloned(key)] = one
		}
		one.last = at
		b := &one.seconds[at%windowSeconds]
		if b.at != at {
			*b = second{at: at}
		}
		b.good, b.failed, b.busy = plus(b.good, c.GetGood()), plus(b.failed, c.GetFailed()), plus(b.busy, c.GetBusy())
	}
	return dropped
}

// cloned is a key that does not hold the whole message in memory.
func cloned(k countKey) countKey {
	for _, field := range []*string{&k.server, &k.method, &k.tool, &k.region, &k.endpoint} {
		*field = strings.Clone(*field)
	}
	return k
}

// forget drops what was silent for a minute, and says whether there is room now.
func (w *windows) forget(at int64) bool {
	if w.swept != at {
		w.swept = at
		maps.DeleteFunc(w.byKey, func(_ countKey, one *window) bool { return at-one.last >= windowSeconds })
	}
	return len(w.byKey) < maxWindows
}

func (w *windows) verdicts(now time.Time) []Verdicts {
	at := now.Unix()
	w.forget(at)
	out := make([]Verdicts, 0, len(w.byKey))
	for key, one := range w.byKey {
		v := Verdicts{Server: key.server, Method: key.method, Tool: key.tool, Region: key.region, Endpoint: key.endpoint}
		for _, b := range one.seconds {
			age := at - b.at
			if age < windowSeconds {
				v.Minute.add(b)
			}
			if age < recentSeconds {
				v.Recent.add(b)
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Verdicts) int {
		return slices.Compare([]string{a.Server, a.Tool, a.Region, a.Method, a.Endpoint}, []string{b.Server, b.Tool, b.Region, b.Method, b.Endpoint})
	})
	return out
}

func (c *Counts) add(b second) {
	c.Good += uint64(b.good)
	c.Failed += uint64(b.failed)
	c.Busy += uint64(b.busy)
}
