package results

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// maxPending bounds what this processor found out of date and the fleet has no number for yet. With
// more, all of it is out of date.
const maxPending = 64

// own marks an epoch that this processor has made up, until the fleet has a number: nobody
// else knows it, so what is remembered meanwhile is not shared.
const own = 1 << 63

func shareable(epoch uint64) bool { return epoch&own == 0 }

// scope is what a purge is about; empty members are all of that kind.
type scope struct{ server, tool string }

func (s scope) covers(server, tool string) bool {
	return (s.server == "" || s.server == server) && (s.tool == "" || s.tool == tool)
}

// epochs are the numbers of the last purges. It is safe for concurrent use.
type epochs struct {
	// some: there are any, so that calls pass by where there are none.
	some atomic.Bool
	mu   sync.RWMutex
	// serials of the fleet's purges, pending the made-up epochs of what is out of date here.
	serials map[scope]uint64
	pending map[scope]pending
}

type pending struct {
	epoch  uint64
	reason string
}

func newEpochs() epochs {
	return epochs{serials: map[scope]uint64{}, pending: map[scope]pending{}}
}

func scopes(server, tool string) [3]scope {
	return [...]scope{{}, {server: server}, {server, tool}}
}

// of is the epoch of a tool's results.
func (e *epochs) of(server, tool string) uint64 {
	if !e.some.Load() {
		return 0
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	var serial uint64
	for _, at := range scopes(server, tool) {
		if p, ok := e.pending[at]; ok {
			return p.epoch
		}
		serial = max(serial, e.serials[at])
	}
	return serial
}

// outdate gives a scope an epoch of its own, and says whether it had none.
func (e *epochs) outdate(at scope, reason string) (first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.some.Store(true)
	_, known := e.pending[at]
	if !known && len(e.pending) >= maxPending {
		clear(e.pending)
		at = scope{}
	}
	e.pending[at] = pending{epoch: own | rand.Uint64(), reason: reason} //nolint:gosec // no secret: unlike others
	return !known
}

// adopt takes the fleet's purges and gives those that are new.
func (e *epochs) adopt(purges []*outcomev1.Purge) []scope {
	e.mu.Lock()
	defer e.mu.Unlock()
	var fresh []scope
	for _, p := range purges {
		at := scope{p.GetServer(), p.GetTool()}
		if p.GetSerial()&own != 0 || p.GetSerial() <= e.serials[at] {
			continue
		}
		e.serials[at] = p.GetSerial()
		e.some.Store(true)
		fresh = append(fresh, at)
		// What was out of date here is in the purge.
		for pendingAt := range e.pending {
			if at.covers(pendingAt.server, pendingAt.tool) || at == pendingAt {
				delete(e.pending, pendingAt)
			}
		}
	}
	return fresh
}

// Invalidate has the results of a server, or of one tool of it, not given any more: here at once,
// elsewhere when the fleet has heard of it. tool may be empty for all.
func (s *Store) Invalidate(server, tool, reason string) {
	at := scope{server, tool}
	if s.epochs.outdate(at, reason) {
		s.opts.Logger.Info("remembered results are out of date", "server", server, "tool", tool, "reason", reason)
	}
	s.drop(at)
}

// Outdated is what is out of date here and has no number of the fleet's yet. It is said again until
// it has.
func (s *Store) Outdated() []*outcomev1.Outdated {
	if !s.epochs.some.Load() {
		return nil
	}
	s.epochs.mu.RLock()
	defer s.epochs.mu.RUnlock()
	var out []*outcomev1.Outdated
	for at, p := range s.epochs.pending {
		out = append(out, &outcomev1.Outdated{Server: at.server, Tool: at.tool, Reason: p.reason, Id: p.epoch})
	}
	return out
}

// Adopt takes the purges that are in force in the fleet.
func (s *Store) Adopt(purges []*outcomev1.Purge) {
	for _, at := range s.epochs.adopt(purges) {
		s.opts.Logger.Info("remembered results purged", "server", at.server, "tool", at.tool, "left", s.drop(at))
		if s.shared != nil {
			s.shared.sweep(at)
		}
	}
}

// drop lets go of what no epoch leads to any more, and gives how much is left.
func (s *Store) drop(at scope) int {
	for key, e := range s.memory.All() {
		if at.covers(e.GetServer(), e.GetTool()) && s.outdated(key, e) {
			s.memory.Invalidate(key)
		}
	}
	return s.Entries()
}

func (s *Store) outdated(at slot, e *policyv1.CachedEntry) bool {
	return at.epoch != s.epochs.of(e.GetServer(), e.GetTool())
}

// least is the epoch below which nothing leads to results of a server within a purge's scope.
func (e *epochs) least(server string, of scope) uint64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return max(e.serials[scope{}], e.serials[scope{server: server}], e.serials[of])
}
