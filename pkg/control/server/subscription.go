package server

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
)

// subscription is what one stream was sent of one type, and what it said to it.
type subscription struct {
	// wildcard: everything of the type; otherwise the names asked for. Delta only.
	wildcard bool
	names    map[string]bool
	// sent are the responses without an answer yet, the oldest first.
	sent []response
	// latest is what the peer has if it takes everything sent (processors).
	latest map[string]string
	// acked is what it has by its own word: name → version (delta). hashed condenses it, ""
	// until somebody asks.
	acked  map[string]string
	hashed string
	// against is the group that holds was last asked about, and lagging the names of which
	// the peer has not what is in it.
	against resources.Group
	lagging map[string]struct{}
	// ackedVersion is the version of the whole type that it took last (state of the world).
	ackedVersion string
	nack         *Refusal
}

// response is one that awaits its answer.
type response struct {
	nonce string
	at    time.Time
	// version of the whole type (state of the world).
	version string
	// changed and removed are what a delta response says; after is what a processor has
	// if it takes this and all before.
	changed map[string]string
	removed []string
	after   map[string]string
}

// Refusal is a NACK.
type Refusal struct {
	TypeURL string
	// Detail is in the peer's own words, bounded and printable.
	Detail string
	At     time.Time
	// Standing: nothing of the type was acknowledged since.
	Standing bool

	version string
	changed map[string]string
	removed []string
}

// Concerns says whether what was refused is part of g, the resources of that type
// which the peer is shown now. A refusal of something since taken back is not.
func (r Refusal) Concerns(g resources.Group) bool {
	if r.version != "" {
		return r.version == g.Version()
	}
	for name, version := range r.changed {
		if g[name].Version != version {
			return false
		}
	}
	for _, name := range r.removed {
		if _, ok := g[name]; ok {
			return false
		}
	}
	return true
}

// remember notes a response that is about to be sent.
func (s *subscription) remember(r response) {
	if len(s.sent) >= maxUnanswered {
		s.sent = slices.Delete(s.sent, 0, 1)
	}
	s.sent = append(s.sent, r)
}

// answer takes the answer to the response with that nonce, and to those before it.
// whole: an ACK covers everything sent so far, refused or not, since the peer judges
// its resources together; otherwise it covers what its response had.
func (s *subscription) answer(nonce string, refused bool, whole bool) (response, bool) {
	i := slices.IndexFunc(s.sent, func(r response) bool { return r.nonce == nonce })
	if nonce == "" || i < 0 {
		return response{}, false
	}
	for _, r := range s.sent[:i] {
		s.accept(r, whole)
	}
	r := s.sent[i]
	s.sent = slices.Delete(s.sent, 0, i+1)
	if !refused {
		s.accept(r, whole)
		if s.nack != nil {
			s.nack.Standing = false
		}
	}
	return r, true
}

func (s *subscription) accept(r response, whole bool) {
	s.ackedVersion = r.version
	if whole {
		s.acked, s.against, s.hashed = maps.Clone(r.after), nil, ""
		return
	}
	for name, version := range r.changed {
		s.acked[name] = version
		s.compare(name)
	}
	for _, name := range r.removed {
		s.lose(name)
	}
	s.hashed = ""
}

// lose notes that the peer has no such resource any more.
func (s *subscription) lose(name string) {
	delete(s.acked, name)
	s.hashed = ""
	s.compare(name)
}

// holds says whether the peer has g as far as it asked for it. Asked about the same group again,
// which must not have been changed, it looks at nothing but what is left to be acknowledged.
func (s *subscription) holds(g resources.Group, delta bool) bool {
	if !delta {
		return s.ackedVersion == g.Version()
	}
	if g == nil {
		g = resources.Group{}
	}
	if s.against == nil || !g.Is(s.against) {
		s.against, s.lagging = g, map[string]struct{}{}
		for name := range g {
			s.compare(name)
		}
		for name := range s.acked {
			s.compare(name)
		}
	}
	return len(s.lagging) == 0
}

// compare notes whether the peer has of one name what it was asked about last.
func (s *subscription) compare(name string) {
	if s.against == nil {
		return
	}
	r, exists := s.against[name]
	version, has := s.acked[name]
	if (s.wildcard || s.names[name]) && (has != exists || version != r.Version) {
		s.lagging[name] = struct{}{}
	} else {
		delete(s.lagging, name)
	}
}

// version condenses what the peer has.
func (s *subscription) version(delta bool) string {
	switch {
	case !delta:
		return s.ackedVersion
	case len(s.acked) == 0:
		return ""
	default:
		if s.hashed == "" {
			s.hashed = resources.HashVersions(s.acked)
		}
		return s.hashed
	}
}

// silentSince is when the oldest unanswered response was sent; zero without one.
func (s *subscription) silentSince() time.Time {
	if len(s.sent) == 0 {
		return time.Time{}
	}
	return s.sent[0].at
}
