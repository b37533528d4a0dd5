// Package incident keeps what went wrong with servers, and when it was noticed, dealt with and over, and how many calls
// were answered: enough to say what callers were promised and got, month by month. All of it is bounded.
package incident

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// Bounds on what is kept.
const (
	// MaxIncidents are kept, the newest.
	MaxIncidents = 1000
	// maxActions, maxTools and maxEndpoints of one incident.
	maxActions   = 50
	maxTools     = 32
	maxEndpoints = 32
	// maxMonths of calls are kept of a server.
	maxMonths = 13
	// maxServers whose calls are counted.
	maxServers = 10_000
)

// Action is something that was done about an incident.
type Action struct {
	At time.Time `json:"at"`
	// By is "probes", "tiers", "calls" or "operator NAME".
	By string `json:"by"`
	// What in words.
	What string `json:"what"`
}

// Incident is one.
type Incident struct {
	// ID grows by one.
	ID int `json:"id"`
	// Server and Region that it is about.
	Server string `json:"server"`
	Region string `json:"region"`
	// Endpoints that were affected, by name.
	Endpoints []string `json:"endpoints,omitzero"`
	// Layer that failed first: a probe's, Score or "calls". Detail says how.
	Layer  string `json:"layer"`
	Detail string `json:"detail,omitzero"`
	// Tier is the farthest that things have gone.
	Tier string `json:"tier,omitzero"`
	// Began is when it was wrong first, Detected when that was certain, Mitigated when calls went elsewhere, and
	// Recovered when all was well again. Escalated is when it was found to need somebody. Zero: not yet, or never.
	Began     time.Time `json:"began"`
	Detected  time.Time `json:"detected"`
	Mitigated time.Time `json:"mitigated,omitzero"`
	Escalated time.Time `json:"escalated,omitzero"`
	Recovered time.Time `json:"recovered,omitzero"`
	// Tools whose calls failed meanwhile, and how many callers were affected at least.
	Tools  []string `json:"tools,omitzero"`
	Agents int      `json:"agents,omitzero"`
	// Actions in order.
	Actions []Action `json:"actions,omitzero"`
}

// Open says that it is not over.
func (i *Incident) Open() bool { return i.Recovered.IsZero() }

// ToDetect is the time until it was certain.
func (i *Incident) ToDetect() time.Duration { return i.Detected.Sub(i.Began) }

// ToRestore is the time until callers were served again: until calls went elsewhere or all was well, whichever came
// first. ok is false while neither has happened.
func (i *Incident) ToRestore() (d time.Duration, ok bool) {
	end := i.Recovered
	if !i.Mitigated.IsZero() && (end.IsZero() || i.Mitigated.Before(end)) {
		end = i.Mitigated
	}
	if end.IsZero() {
		return 0, false
	}
	return max(end.Sub(i.Began), 0), true
}

// Automatic says that nobody was needed.
func (i *Incident) Automatic() bool { return i.Escalated.IsZero() }

// Calls of a server as its callers saw them end.
type Calls struct {
	Answered uint64 `json:"answered"`
	Degraded uint64 `json:"degraded,omitzero"`
	Failed   uint64 `json:"failed,omitzero"`
}

// Key names what an incident is about: there is one at a time.
type Key struct{ Server, Region string }

// content is what is on disk.
type content struct {
	Next      int                         `json:"next"`
	Incidents []*Incident                 `json:"incidents"`
	Months    map[string]map[string]Calls `json:"months"`
}

// Log keeps incidents and calls. It is safe for concurrent use.
type Log struct {
	now func() time.Time

	mu      sync.Mutex
	next    int
	all     []*Incident
	open    map[Key]*Incident
	months  map[string]map[string]Calls
	changed bool
}

// NewLog makes a Log of what was saved; nil or empty data is an empty one. Data that cannot be read is an error, and the Log
// is empty.
func NewLog(saved []byte, now func() time.Time) (*Log, error) {
	l := &Log{now: now, next: 1, open: map[Key]*Incident{}, months: map[string]map[string]Calls{}}
	if len(saved) == 0 {
		return l, nil
	}
	var c content
	if err := json.Unmarshal(saved, &c); err != nil {
		return l, fmt.Errorf("reading incidents: %w", err)
	}
	l.next = max(c.Next, 1)
	for _, i := range c.Incidents {
		if i == nil {
			continue
		}
		l.all = append(l.all, i)
		l.next = max(l.next, i.ID+1)
		if i.Open() {
			l.open[Key{i.Server, i.Region}] = i
		}
	}
	for server, months := range c.Months {
		if months != nil {
			l.months[server] = months
		}
	}
	l.trim()
	return l, nil
}

// Saved gives what is to be kept, and whether it has changed since the call before.
func (l *Log) Saved() (data []byte, changed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.changed {
		return nil, false, nil
	}
	data, err = json.Marshal(content{Next: l.next, Incidents: l.all, Months: l.months}, json.Deterministic(true))
	if err != nil {
		return nil, true, fmt.Errorf("writing incidents: %w", err)
	}
	l.changed = false
	return data, true, nil
}

// Unsaved says that what Saved gave last could not be kept.
func (l *Log) Unsaved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = true
}

// Score is the layer of an incident of which only the score tells.
const Score = "score"

// Begin opens an incident, or finds the one that is open. fresh says that it is a new one. One that began with the
// score, which sums up what is wrong, takes the name of the layer that a probe then finds.
func (l *Log) Begin(key Key, layer, detail string, began time.Time) (fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.open[key]; i != nil {
		if i.Layer == Score && layer != Score && layer != "" {
			i.Layer, i.Detail, l.changed = layer, detail, true
		}
		return false
	}
	now := l.now()
	if began.IsZero() || began.After(now) {
		began = now
	}
	i := &Incident{ID: l.next, Server: key.Server, Region: key.Region, Layer: layer, Detail: detail, Began: began, Detected: now}
	l.next++
	l.all = append(l.all, i)
	l.open[key] = i
	l.trim()
	l.changed = true
	return true
}

// trim forgets the oldest that are over and, where that is not enough, the oldest.
func (l *Log) trim() {
	for len(l.all) > MaxIncidents {
		at := slices.IndexFunc(l.all, func(i *Incident) bool { return !i.Open() })
		at = max(at, 0)
		delete(l.open, Key{l.all[at].Server, l.all[at].Region})
		l.all = slices.Delete(l.all, at, at+1)
	}
}

// with changes the open incident of a key, where there is one.
func (l *Log) with(key Key, change func(*Incident) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.open[key]; i != nil && change(i) {
		l.changed = true
	}
}

// Affects notes an endpoint and how far things have gone.
func (l *Log) Affects(key Key, endpoint, tier string) {
	l.with(key, func(i *Incident) bool {
		i.Tier = tier
		if endpoint != "" && !slices.Contains(i.Endpoints, endpoint) && len(i.Endpoints) < maxEndpoints {
			i.Endpoints = append(i.Endpoints, endpoint)
		}
		return true
	})
}

// Acted notes something that was done.
func (l *Log) Acted(key Key, by, what string) {
	l.with(key, func(i *Incident) bool {
		if len(i.Actions) >= maxActions {
			return false
		}
		i.Actions = append(i.Actions, Action{At: l.now(), By: by, What: what})
		return true
	})
}

// Mitigated notes that calls go elsewhere.
func (l *Log) Mitigated(key Key) {
	l.with(key, func(i *Incident) bool {
		if !i.Mitigated.IsZero() {
			return false
		}
		i.Mitigated = l.now()
		return true
	})
}

// Escalated notes that somebody is needed.
func (l *Log) Escalated(key Key) {
	l.with(key, func(i *Incident) bool {
		if !i.Escalated.IsZero() {
			return false
		}
		i.Escalated = l.now()
		return true
	})
}

// Hurt notes whose calls have failed.
func (l *Log) Hurt(key Key, tools []string, agents int) {
	l.with(key, func(i *Incident) bool {
		before := len(i.Tools)
		for _, tool := range tools {
			if !slices.Contains(i.Tools, tool) && len(i.Tools) < maxTools {
				i.Tools = append(i.Tools, tool)
			}
		}
		more := agents > i.Agents
		i.Agents = max(i.Agents, agents)
		return more || len(i.Tools) > before
	})
}

// Recovered closes an incident.
func (l *Log) Recovered(key Key) (closed Incident, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.open[key]
	if i == nil {
		return Incident{}, false
	}
	i.Recovered = l.now()
	delete(l.open, key)
	l.changed = true
	return i.clone(), true
}

func (i *Incident) clone() Incident {
	out := *i
	out.Endpoints, out.Tools, out.Actions = slices.Clone(i.Endpoints), slices.Clone(i.Tools), slices.Clone(i.Actions)
	return out
}

// Current is the open incident of a key.
func (l *Log) Current(key Key) (Incident, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.open[key]; i != nil {
		return i.clone(), true
	}
	return Incident{}, false
}

// Incidents gives those of a server, or of all where it is empty, newest first.
func (l *Log) Incidents(server string) []Incident {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Incident
	for _, i := range slices.Backward(l.all) {
		if server == "" || i.Server == server {
			out = append(out, i.clone())
		}
	}
	return out
}

// Count adds calls of a server to the month of now.
func (l *Log) Count(server string, c Calls) {
	if c == (Calls{}) {
		return
	}
	month := Month(l.now())
	l.mu.Lock()
	defer l.mu.Unlock()
	months := l.months[server]
	if months == nil {
		if len(l.months) >= maxServers {
			return
		}
		months = map[string]Calls{}
		l.months[server] = months
	}
	sum := months[month]
	sum.Answered, sum.Degraded, sum.Failed = sum.Answered+c.Answered, sum.Degraded+c.Degraded, sum.Failed+c.Failed
	months[month] = sum
	for len(months) > maxMonths {
		delete(months, slices.Min(slices.Collect(maps.Keys(months))))
	}
	l.changed = true
}

// Month is that of a time, such as 2026-11, in UTC.
func Month(t time.Time) string { return t.UTC().Format("2006-01") }

// CallsOf gives the calls of a server in a month.
func (l *Log) CallsOf(server, month string) Calls {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.months[server][month]
}

// Known gives the servers of which anything is kept, sorted.
func (l *Log) Known() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[string]bool{}
	for server := range l.months {
		names[server] = true
	}
	for _, i := range l.all {
		names[i.Server] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// byBegan orders incidents.
func byBegan(a, b Incident) int { return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.ID, b.ID)) }
