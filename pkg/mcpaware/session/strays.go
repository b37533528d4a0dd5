package session

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

const (
	// strayAge is how long a session that was opened in vain is left alone: a call may
	// still be under way in it.
	strayAge = 20 * time.Second
	// maxStrays bounds what is remembered of openings, openingAge for how long.
	maxStrays  = 50_000
	openingAge = 10 * time.Minute
	// maxEnding bounds how many are ended at a time.
	maxEnding = 16
)

// strays are the sessions that were opened here and are not the one in force: another
// processor had opened the same one, before or at the same time. A call of the session
// ends them, since only its caller has the credentials to do so.
type strays struct {
	mu sync.Mutex
	// mine are recent openings, in whose place the fleet may put another one.
	mine map[string][]opening
	lost map[string][]opening
	// waiting is the number of keys in lost.
	waiting atomic.Int64
	ending  chan struct{}
}

type opening struct {
	endpoint, id string
	at           time.Time
}

func (s *strays) init() {
	s.mine, s.lost, s.ending = map[string][]opening{}, map[string][]opening{}, make(chan struct{}, maxEnding)
}

// opened remembers an opening of this processor.
func (s *strays) opened(key string, state *sessionv1.State) {
	if state.GetUpstreamId() == "" {
		return // the server keeps none
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mine) >= maxStrays {
		forget(s.mine, now)
	}
	if len(s.mine) < maxStrays {
		s.mine[key] = append(s.mine[key], opening{state.GetEndpoint(), state.GetUpstreamId(), now})
	}
}

// forget lets go of what is older than openingAge.
func forget(all map[string][]opening, now time.Time) {
	for key, list := range all {
		if now.Sub(list[len(list)-1].at) > openingAge {
			delete(all, key)
		}
	}
}

// replaced notes that a state has given way to another one.
func (s *strays) replaced(key string, old, kept *sessionv1.State) {
	if old.GetUpstreamId() == "" || (old.GetEndpoint() == kept.GetEndpoint() && old.GetUpstreamId() == kept.GetUpstreamId()) {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.mine[key]
	for i, o := range list {
		if o.endpoint != old.GetEndpoint() || o.id != old.GetUpstreamId() {
			continue
		}
		if s.mine[key] = append(list[:i:i], list[i+1:]...); len(s.mine[key]) == 0 {
			delete(s.mine, key)
		}
		if len(s.lost) >= maxStrays {
			forget(s.lost, now)
		}
		if len(s.lost) < maxStrays {
			o.at = now
			s.lost[key] = append(s.lost[key], o)
		}
		break
	}
	s.waiting.Store(int64(len(s.lost)))
}

// due takes out the strays of a session that may be ended now.
func (s *strays) due(key string) []opening {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.lost[key]
	if len(list) == 0 || now.Sub(list[len(list)-1].at) < strayAge {
		return nil
	}
	delete(s.lost, key)
	s.waiting.Store(int64(len(s.lost)))
	return list
}

// HasStrays says whether Tidy may have anything to do. It costs next to nothing.
func (r *Reopener) HasStrays() bool { return r.strays.waiting.Load() > 0 }

// Tidy ends the sessions that were opened here for s in vain, in the background, with
// the headers of a request of s: at gives all but the address. One that does not take
// it ends when its server lets go of idle sessions.
func (r *Reopener) Tidy(s *Session, server string, at Target) {
	select {
	case r.strays.ending <- struct{}{}:
	default:
		return // another call of the session will do it
	}
	due := r.strays.due(s.Key(server))
	if len(due) == 0 {
		<-r.strays.ending
		return
	}
	go func() {
		defer func() { <-r.strays.ending }()
		for _, o := range due {
			at.Address = o.endpoint
			r.end(at, o.id)
		}
	}()
}

// end tells a server that a session is over. Whether it worked makes no difference here.
func (r *Reopener) end(at Target, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), ReopenTimeout)
	defer cancel()
	resp, err := r.send(ctx, http.MethodDelete, at, id, at.Version, "")
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxOpeningBytes))
	_ = resp.Body.Close()
}
