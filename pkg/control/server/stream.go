package server

import (
	"errors"
	"maps"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

// errForeignNonce marks an answer to a response that is not known, which the
// protocol has the server ignore.
var errForeignNonce = errors.New("answer to an unknown response")

// stream is one ADS stream. It is guarded by Server.mu.
type stream struct {
	peer Peer
	// resumed: the peer came with resources that it had from an earlier stream.
	resumed bool
	types   map[string]*subscription
	// node replaces the peer's own in requests: go-control-plane keys its caches by
	// node id, and two streams may well have one (an Envoy that restarts hot).
	node *corev3.Node
}

// admit checks that a request fits the stream and gives its subscription.
func (st *stream) admit(typeURL string) (sub *subscription, first bool, err error) {
	if kindOf(typeURL) != st.peer.Kind {
		return nil, false, grpcstatus.Errorf(codes.InvalidArgument, "type %q on a stream of kind %s", typeURL, st.peer.Kind)
	}
	if st.peer.Kind == rollout.Processor && !st.peer.Delta {
		return nil, false, grpcstatus.Errorf(codes.InvalidArgument, "type %q is served over incremental xDS only", typeURL)
	}
	if sub, ok := st.types[typeURL]; ok {
		return sub, false, nil
	}
	if len(st.types) >= maxTypes {
		return nil, false, grpcstatus.Errorf(codes.ResourceExhausted, "more than %d resource types on one stream", maxTypes)
	}
	sub = &subscription{names: map[string]bool{}, acked: map[string]string{}, latest: map[string]string{}}
	st.types[typeURL] = sub
	return sub, true, nil
}

// deltaRequest takes a request: a subscription, an answer, or both.
func (st *stream) deltaRequest(req *discoveryv3.DeltaDiscoveryRequest, s *Server) (*Refusal, error) {
	sub, first, err := st.admit(req.GetTypeUrl())
	if err != nil {
		return nil, err
	}
	if first {
		if len(req.GetInitialResourceVersions()) > maxResources {
			return nil, grpcstatus.Errorf(codes.ResourceExhausted, "more than %d initial resource versions", maxResources)
		}
		sub.acked = maps.Clone(req.GetInitialResourceVersions())
		if sub.acked == nil {
			sub.acked = map[string]string{}
		}
		if st.peer.Kind == rollout.Processor {
			sub.latest = maps.Clone(sub.acked)
		}
		sub.wildcard = len(req.GetResourceNamesSubscribe()) == 0
		st.resumed = st.resumed || len(sub.acked) > 0
	}
	if err := sub.subscribe(req.GetResourceNamesSubscribe(), req.GetResourceNamesUnsubscribe()); err != nil {
		return nil, err
	}
	detail := req.GetErrorDetail()
	r, ok := sub.answer(req.GetResponseNonce(), detail != nil, st.peer.Kind == rollout.Processor)
	if !ok {
		return nil, errForeignNonce
	}
	if detail == nil {
		return nil, nil
	}
	sub.nack = &Refusal{
		TypeURL: req.GetTypeUrl(), Detail: words(detail.GetMessage()), At: s.now(), Standing: true,
		changed: r.changed, removed: r.removed,
	}
	return sub.nack, nil
}

// subscribe follows the delta protocol's subscription rules: "*" is everything,
// and the first request without names is too.
func (s *subscription) subscribe(add, remove []string) error {
	for _, name := range add {
		if name == "*" {
			s.wildcard = true
			s.forget()
			continue
		}
		s.names[name] = true
		s.compare(name)
	}
	for _, name := range remove {
		if name == "*" {
			s.wildcard = false
			s.forget()
			continue
		}
		delete(s.names, name)
		s.compare(name)
		if !s.wildcard {
			s.lose(name)
			delete(s.latest, name)
		}
	}
	if len(s.names) > maxResources {
		return grpcstatus.Errorf(codes.ResourceExhausted, "more than %d resource names", maxResources)
	}
	return nil
}

func (st *stream) deltaResponse(resp *discoveryv3.DeltaDiscoveryResponse, s *Server) {
	sub, ok := st.types[resp.GetTypeUrl()]
	if !ok {
		return
	}
	r := response{nonce: resp.GetNonce(), at: s.now(), changed: make(map[string]string, len(resp.GetResources())), removed: resp.GetRemovedResources()}
	for _, res := range resp.GetResources() {
		r.changed[res.GetName()] = res.GetVersion()
	}
	if st.peer.Kind == rollout.Processor {
		maps.Copy(sub.latest, r.changed)
		for _, name := range r.removed {
			delete(sub.latest, name)
		}
		r.after = maps.Clone(sub.latest)
	}
	sub.remember(r)
}

// worldRequest is deltaRequest for state-of-the-world streams. go-control-plane
// answers a request whose version is not the current one at once, so a refusal,
// which repeats the version before, would be answered with what was just refused,
// thousands of times a second. The refused version is put in its place: then
// nothing is sent until there is something else.
func (st *stream) worldRequest(req *discoveryv3.DiscoveryRequest, s *Server) (*Refusal, error) {
	sub, first, err := st.admit(req.GetTypeUrl())
	if err != nil {
		return nil, err
	}
	if len(req.GetResourceNames()) > maxResources {
		return nil, grpcstatus.Errorf(codes.ResourceExhausted, "more than %d resource names", maxResources)
	}
	if first {
		sub.ackedVersion = req.GetVersionInfo()
		st.resumed = st.resumed || req.GetVersionInfo() != ""
	}
	detail := req.GetErrorDetail()
	r, ok := sub.answer(req.GetResponseNonce(), detail != nil, false)
	if !ok {
		return nil, errForeignNonce
	}
	if detail == nil {
		return nil, nil
	}
	req.VersionInfo = r.version
	sub.nack = &Refusal{TypeURL: req.GetTypeUrl(), Detail: words(detail.GetMessage()), At: s.now(), Standing: true, version: r.version}
	return sub.nack, nil
}

func (st *stream) worldResponse(resp *discoveryv3.DiscoveryResponse, s *Server) {
	if sub, ok := st.types[resp.GetTypeUrl()]; ok {
		sub.remember(response{nonce: resp.GetNonce(), at: s.now(), version: resp.GetVersionInfo()})
	}
}

// holds says whether an Envoy has a set. It acknowledges a cluster only when that is
// warm, and endpoints as soon as it has them: a new cluster takes both, and where
// nothing but endpoints has changed they are all that there is to acknowledge. A
// type that a fresh Envoy has not asked for yet counts as held; an Envoy that
// comes back serves with all of them, and asks for all of them.
func (st *stream) holds(set *resources.Set) bool {
	for _, typeURL := range resources.Types() {
		if typeURL == resourcev3.EndpointType && (!st.peer.Delta || len(set.Endpoints) == 0) {
			// In state of the world a set has more endpoints than the Envoy is sent.
			continue
		}
		sub, ok := st.types[typeURL]
		if !ok {
			if st.resumed {
				return false
			}
			continue
		}
		if st.peer.Delta && !sub.holds(set, typeURL) || !st.peer.Delta && sub.ackedVersion != set.TypeVersion(typeURL) {
			return false
		}
	}
	return len(st.types) > 0
}
