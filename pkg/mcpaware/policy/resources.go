package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// resource is one xDS resource as the control plane sent it.
type resource struct {
	version string
	body    *anypb.Any
}

// resourceSet is what one delta xDS subscription knows. A delta response says
// what differs from everything the server has sent before on the stream, refused
// or not, so two sets are kept: what was sent, and what was last accepted.
// It is not safe for concurrent use.
type resourceSet struct {
	typeURL string
	// accepted is the last set that was ACKed; the maps are replaced, never changed.
	accepted map[string]resource
	// sent is the server's view on the current stream.
	sent map[string]resource
	// synced says that the current stream has delivered a first response.
	synced bool
	limit  int
	// mayEmpty: a first response that takes away everything is believed.
	mayEmpty bool
}

func newResourceSet(typeURL string, limit int) *resourceSet {
	return &resourceSet{typeURL: typeURL, accepted: map[string]resource{}, limit: limit}
}

// errEmptiesEverything refuses the first response of a stream when all it does is
// to take away everything: a control plane that has just started and has not read
// its configuration looks exactly like that.
var errEmptiesEverything = errors.New("the first response of the stream removes every resource and adds none; keeping the last accepted ones")

// open begins a new stream: the server is told what is held, and sends the
// difference, refused resources included.
func (s *resourceSet) open() map[string]string {
	s.sent = maps.Clone(s.accepted)
	s.synced = false
	versions := make(map[string]string, len(s.accepted))
	for name, r := range s.accepted {
		versions[name] = r.version
	}
	return versions
}

// apply works one response into the server's view and gives the set that results.
// Nothing is accepted until accept is called.
func (s *resourceSet) apply(resp *discoveryv3.DeltaDiscoveryResponse) (map[string]resource, error) {
	next := maps.Clone(s.sent)
	first := !s.synced
	s.synced = true
	var errs []error
	for _, r := range resp.GetResources() {
		switch {
		case r.GetName() == "":
			errs = append(errs, errors.New("a resource has no name"))
			continue
		case r.GetResource().GetTypeUrl() != s.typeURL:
			errs = append(errs, fmt.Errorf("resource %q: type %q, want %q", r.GetName(), r.GetResource().GetTypeUrl(), s.typeURL))
		}
		next[r.GetName()] = resource{version: r.GetVersion(), body: r.GetResource()}
	}
	for _, name := range resp.GetRemovedResources() {
		delete(next, name)
	}
	s.sent = next
	if len(next) > s.limit {
		errs = append(errs, fmt.Errorf("%d resources, at most %d are held", len(next), s.limit))
	}
	if first && len(next) == 0 && len(s.accepted) > 0 && !s.mayEmpty {
		errs = append(errs, errEmptiesEverything)
	}
	return next, errors.Join(errs...)
}

func (s *resourceSet) accept(set map[string]resource) { s.accepted = set }

// decodeAll unpacks a whole set in order of resource name; newMessage makes an
// empty message of the set's type.
func decodeAll[M proto.Message](set map[string]resource, newMessage func() M) ([]M, error) {
	out := make([]M, 0, len(set))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(set)) {
		m := newMessage()
		if err := proto.Unmarshal(set[name].body.GetValue(), m); err != nil {
			errs = append(errs, fmt.Errorf("resource %q: %w", name, err))
			continue
		}
		out = append(out, m)
	}
	return out, errors.Join(errs...)
}
