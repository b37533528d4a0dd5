package server

import (
	"cmp"
	"slices"
	"time"

	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// State is how one stream stands.
type State struct {
	Peer Peer
	// Types by type URL.
	Types map[string]TypeState
	// Waiting is when the oldest unanswered response was sent; zero without one.
	Waiting time.Time
	// Refusal is the last one of any type, nil without one.
	Refusal *Refusal
}

// TypeState is how one resource type of a stream stands.
type TypeState struct {
	// Acked is the version (content hash) that was acknowledged last.
	Acked string
	// Resources is their number, of a delta stream.
	Resources int
	Pending   bool
}

// States gives all streams in order of kind, node id and age.
func (s *Server) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]State, 0, len(s.streams))
	for _, st := range s.streams {
		out = append(out, st.state())
	}
	slices.SortFunc(out, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Peer.Kind, b.Peer.Kind), cmp.Compare(a.Peer.ID, b.Peer.ID), a.Peer.Since.Compare(b.Peer.Since), cmp.Compare(a.Peer.Key, b.Peer.Key))
	})
	return out
}

func (st *stream) state() State {
	out := State{Peer: st.peer, Types: make(map[string]TypeState, len(st.types))}
	for typeURL, sub := range st.types {
		out.Types[typeURL] = TypeState{Acked: sub.version(typeURL, st.peer.Delta), Resources: len(sub.acked), Pending: len(sub.sent) > 0}
		if at := sub.silentSince(); !at.IsZero() && (out.Waiting.IsZero() || at.Before(out.Waiting)) {
			out.Waiting = at
		}
		if sub.nack != nil && (out.Refusal == nil || sub.nack.At.After(out.Refusal.At)) {
			refusal := *sub.nack
			out.Refusal = &refusal
		}
	}
	return out
}

// Regions gives the regions where Envoys are connected, sorted.
func (s *Server) Regions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, st := range s.streams {
		if st.peer.Kind == rollout.Envoy {
			out = append(out, st.peer.Region)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TypeName is the short name of a resource type for people; the type URL itself
// for types that are not served.
func TypeName(typeURL string) string {
	switch typeURL {
	case resourcev3.ClusterType:
		return "clusters"
	case resourcev3.EndpointType:
		return "endpoints"
	case resourcev3.ListenerType:
		return "listeners"
	case resourcev3.RouteType:
		return "routes"
	case names.TypeURLRoutePolicy:
		return "policies"
	case names.TypeURLCatalog:
		return "catalog"
	case names.TypeURLShares:
		return "shares"
	default:
		return clean(typeURL)
	}
}
