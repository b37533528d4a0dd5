package server

import (
	"iter"
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
	// against is the set that holds was last asked about, compared its resources of this type
	// (never nil then). unlike are the names of which the peer has not what is in it, true for
	// those that it asked for, whose number is lagging.
	against  *resources.Set
	compared resources.Group
	unlike   map[string]bool
	lagging  int
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

// Changed names what was refused; nil where that is not known (state of the world).
func (r Refusal) Changed() []string {
	if r.version != "" {
		return nil
	}
	return slices.Sorted(maps.Keys(r.changed))
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
		s.acked = maps.Clone(r.after)
		s.forget()
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

// holds says whether the peer has a set's resources of a type as far as it asked for them.
// Asked about another set than before it looks only at what is different in that.
func (s *subscription) holds(set *resources.Set, typeURL string) bool {
	if set == s.against && s.compared != nil {
		return s.lagging == 0
	}
	var names iter.Seq[string]
	if s.compared == nil {
		s.unlike, s.lagging = map[string]bool{}, 0
		names = union(maps.Keys(set.Group(typeURL)), maps.Keys(s.acked))
	} else {
		d := set.Since(typeURL, s.compared)
		names = union(slices.Values(d.Changed), slices.Values(d.Removed))
	}
	s.against, s.compared = set, set.Group(typeURL)
	if s.compared == nil {
		s.compared = resources.Group{}
	}
	for name := range names {
		s.compare(name)
	}
	return s.lagging == 0
}

// holdsPolicies is holds for processors, who acknowledge all that they have at once.
func (s *subscription) holdsPolicies(g resources.Group) bool {
	if s.wildcard {
		return g.Matches(s.acked)
	}
	for name := range s.names {
		r, exists := g[name]
		if version, has := s.acked[name]; has != exists || version != r.Version {
			return false
		}
	}
	return true
}

func union[V any](seqs ...iter.Seq[V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, seq := range seqs {
			for v := range seq {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// forget has the next question looked at as a whole.
func (s *subscription) forget() { s.against, s.compared, s.hashed = nil, nil, "" }

// compare notes whether the peer has of one name what it was asked about last.
func (s *subscription) compare(name string) {
	if s.compared == nil {
		return
	}
	if s.unlike[name] {
		s.lagging--
	}
	r, exists := s.compared[name]
	version, has := s.acked[name]
	if has == exists && version == r.Version {
		delete(s.unlike, name)
		return
	}
	wanted := s.wildcard || s.names[name]
	s.unlike[name] = wanted
	if wanted {
		s.lagging++
	}
}

// version condenses what the peer has.
func (s *subscription) version(typeURL string, delta bool) string {
	switch {
	case !delta:
		return s.ackedVersion
	case len(s.acked) == 0:
		return ""
	case s.hashed == "" && s.against != nil:
		s.hashed = s.against.VersionOf(typeURL, s.acked, s.unlike)
	case s.hashed == "":
		s.hashed = resources.HashVersions(s.acked)
	}
	return s.hashed
}

// silentSince is when the oldest unanswered response was sent; zero without one.
func (s *subscription) silentSince() time.Time {
	if len(s.sent) == 0 {
		return time.Time{}
	}
	return s.sent[0].at
}
