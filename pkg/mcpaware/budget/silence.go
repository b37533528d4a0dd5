package budget

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is known of endpoints.
const (
	maxEndpoints = 4096
	// recent is how long after the last try that went there a silent endpoint explains retries.
	recent = time.Second
)

// Endpoint is where a try goes.
type Endpoint struct {
	Server, Address string
}

// Silence knows which endpoints take calls and answer nothing at all, well or badly. A retry away from such
// a one costs nothing: it brings the endpoint that it goes to no more than what it gets anyway once the silent one
// is out, and a region that hangs for the seconds until health checks notice would use up any budget. It is
// safe for concurrent use; noting takes no lock and allocates nothing for endpoints that it knows.
type Silence struct {
	now   func() time.Time
	epoch time.Time

	// known is replaced as a whole, under mu.
	known atomic.Pointer[map[Endpoint]*liveness]
	mu    sync.Mutex
}

// liveness holds times since the epoch in nanoseconds.
type liveness struct {
	// first try that nothing has been heard after, 0 where there is none; last try of all.
	first, last atomic.Int64
}

// NewSilence makes a Silence in which nothing has been tried; now nil is time.Now.
func NewSilence(now func() time.Time) *Silence {
	if now == nil {
		now = time.Now
	}
	s := &Silence{now: now, epoch: now().Add(-time.Nanosecond)}
	s.known.Store(&map[Endpoint]*liveness{})
	return s
}

// Begun notes a try.
func (s *Silence) Begun(e Endpoint) {
	at := int64(s.now().Sub(s.epoch))
	l := s.liveness(e, at)
	l.last.Store(at)
	l.first.CompareAndSwap(0, at)
}

// Heard notes that an endpoint has answered, whatever it said.
func (s *Silence) Heard(e Endpoint) {
	if l := (*s.known.Load())[e]; l != nil {
		l.first.Store(0)
	}
}

// Explains says that a retry which goes to e is there because another endpoint of the server is
// silent: for at least wait, the time that a try may take, while e is not.
func (s *Silence) Explains(e Endpoint, wait time.Duration) bool {
	at := int64(s.now().Sub(s.epoch))
	known := *s.known.Load()
	if l := known[e]; l != nil && l.silent(at, wait) {
		return false
	}
	for other, l := range known {
		if other.Server == e.Server && other != e && l.silent(at, wait) {
			return true
		}
	}
	return false
}

func (l *liveness) silent(at int64, wait time.Duration) bool {
	first := l.first.Load()
	return first != 0 && at-first >= int64(wait) && at-l.last.Load() <= int64(wait+recent)
}

func (s *Silence) liveness(e Endpoint, at int64) *liveness {
	if l := (*s.known.Load())[e]; l != nil {
		return l
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.known.Load()
	if l := known[e]; l != nil {
		return l
	}
	next := maps.Clone(known)
	if len(next) >= maxEndpoints {
		maps.DeleteFunc(next, func(_ Endpoint, l *liveness) bool { return at-l.last.Load() > int64(time.Minute) })
	}
	l := &liveness{}
	if len(next) < maxEndpoints {
		next[e] = l
		s.known.Store(&next)
	}
	return l
}
