package server

import (
	"maps"

	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Answers are what all peers said to responses of one type.
type Answers struct{ Acks, Nacks uint64 }

// otherTypes are all that we do not serve, which peers may ask for all the same.
const otherTypes = "other"

// Answers gives them by the type's short name, since the server was made.
func (s *Server) Answers() map[string]Answers {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.answers)
}

// countAnswer is called with s.mu held. A request without a nonce answers nothing, nor does
// one with a nonce that is not known.
func (s *Server) countAnswer(typeURL, nonce string, refusal *Refusal, err error) {
	if nonce == "" || err != nil {
		return
	}
	name := otherTypes
	switch typeURL {
	case resourcev3.ClusterType, resourcev3.EndpointType, resourcev3.ListenerType, resourcev3.RouteType, names.TypeURLRoutePolicy, names.TypeURLCatalog, names.TypeURLShares:
		name = TypeName(typeURL)
	}
	a := s.answers[name]
	if refusal != nil {
		a.Nacks++
	} else {
		a.Acks++
	}
	s.answers[name] = a
}
