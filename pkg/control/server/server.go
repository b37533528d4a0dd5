// Package server is the xDS side of the control plane: go-control-plane's caches
// and ADS server, and the book that is kept of every stream: who it is, what it
// was sent, and what it said to it. It decides nothing; package rollout does.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	sotwv3 "github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// DefaultMaxStreams bounds the ADS streams that are open at once.
const DefaultMaxStreams = 1024

// EventKind says what happened to a stream.
type EventKind int

// Kinds of events.
const (
	// Opened: the stream said who it is.
	Opened EventKind = iota + 1
	// Changed: it subscribed to something or acknowledged something.
	Changed
	// Refused: it refused something; Event.Refusal has the words.
	Refused
	// Closed: it is gone.
	Closed
)

// Event is something that happened to a stream.
type Event struct {
	Kind    EventKind
	Peer    Peer
	Refusal Refusal
}

// Options of a Server.
type Options struct {
	// Notify is told every event, from the stream's own goroutine and in its order.
	// It may block; the stream then waits. Required.
	Notify func(Event)
	// Logger discards when nil.
	Logger *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// MaxStreams is DefaultMaxStreams when 0.
	MaxStreams int
}

// Server has the caches. It is safe for concurrent use.
type Server struct {
	log        *slog.Logger
	notify     func(Event)
	now        func() time.Time
	maxStreams int

	envoys   *deltaCache
	policies *cachev3.LinearCache
	gate     *gate
	catalog  *cachev3.LinearCache
	// keys are those of session ids: a secret, so nothing about them is logged.
	keys     *cachev3.LinearCache
	keysGate *gate
	shares   *cachev3.LinearCache

	mu      sync.Mutex
	streams map[rollout.Key]*stream
	open    int
	answers map[string]Answers
}

// New makes a server without resources: streams wait until they are shown some.
func New(opts Options) *Server {
	s := &Server{
		log: opts.Logger, notify: opts.Notify, now: opts.Now, maxStreams: opts.MaxStreams,
		streams: make(map[rollout.Key]*stream), answers: make(map[string]Answers),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.maxStreams <= 0 {
		s.maxStreams = DefaultMaxStreams
	}
	quiet := quietLogger{s.log}
	s.envoys = newDeltaCache(cachev3.NewSnapshotCache(true, cachev3.IDHash{}, quiet))
	s.policies = cachev3.NewLinearCache(names.TypeURLRoutePolicy, cachev3.WithLogger(quiet))
	s.catalog = cachev3.NewLinearCache(names.TypeURLCatalog, cachev3.WithLogger(quiet))
	s.gate = newGate(s.policies)
	s.keys = cachev3.NewLinearCache(names.TypeURLSessionKeys)
	s.keysGate = newGate(s.keys)
	s.shares = cachev3.NewLinearCache(names.TypeURLShares, cachev3.WithLogger(quiet))
	return s
}

// ADS gives the gRPC service. Its streams end when ctx does.
func (s *Server) ADS(ctx context.Context) discoveryv3.AggregatedDiscoveryServiceServer {
	mux := &cachev3.MuxCache{
		Classify:      func(r *cachev3.Request) string { return cacheOf(r.GetTypeUrl()) },
		ClassifyDelta: func(r *cachev3.DeltaRequest) string { return cacheOf(r.GetTypeUrl()) },
		Caches: map[string]cachev3.Cache{
			"": s.envoys, names.TypeURLRoutePolicy: s.gate, names.TypeURLCatalog: s.catalog,
			names.TypeURLSessionKeys: s.keysGate, names.TypeURLShares: s.shares,
		},
	}
	return serverv3.NewServer(ctx, mux, s.callbacks(), sotwv3.WithOrderedADS(), sotwv3.WithLogger(quietLogger{s.log}))
}

func cacheOf(typeURL string) string {
	if kindOf(typeURL) == rollout.Processor {
		return typeURL
	}
	return ""
}

// Show gives an Envoy's stream a set. A stream that is gone is passed over.
func (s *Server) Show(key rollout.Key, set *resources.Set) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streams[key]
	if !ok {
		return nil
	}
	if err := set.Usable(); err != nil {
		return fmt.Errorf("showing %s a set: %w", st.peer.ID, err)
	}
	var err error
	if st.peer.Delta {
		err = s.envoys.Show(key, set)
	} else {
		err = s.envoys.SetSnapshot(context.Background(), string(key), set.Referenced().Snapshot())
	}
	if err != nil {
		return fmt.Errorf("showing %s a set: %w", st.peer.ID, err)
	}
	return nil
}

// SetPolicies gives all processors these policies and no others. Before the first
// call processors are told nothing.
func (s *Server) SetPolicies(g resources.Group) error {
	s.policies.SetResources(g.Messages())
	if err := s.gate.Open(); err != nil {
		return fmt.Errorf("answering processors that waited: %w", err)
	}
	return nil
}

// UpdateCatalog changes what processors are told of the catalog.
func (s *Server) UpdateCatalog(changed map[string]resources.Message, removed []string) error {
	if err := s.catalog.UpdateResources(changed, removed); err != nil {
		return fmt.Errorf("updating the catalog: %w", err)
	}
	return nil
}

// UpdateShares changes what processors are told of callers that are sent away from regions.
func (s *Server) UpdateShares(changed map[string]resources.Message, removed []string) error {
	if err := s.shares.UpdateResources(changed, removed); err != nil {
		return fmt.Errorf("updating shares: %w", err)
	}
	return nil
}

// SetSessionKeys gives all processors the keys of session ids. Before the first call
// they are told nothing of any.
func (s *Server) SetSessionKeys(keys resources.Message) error {
	s.keys.SetResources(map[string]resources.Message{names.SessionKeys: keys})
	if err := s.keysGate.Open(); err != nil {
		return fmt.Errorf("answering processors that waited for session keys: %w", err)
	}
	return nil
}

// Holds says whether an Envoy's stream has acknowledged a whole set.
func (s *Server) Holds(key rollout.Key, set *resources.Set) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streams[key]
	return ok && st.holds(set)
}

// HoldsPolicies says whether a processor's stream has acknowledged these policies.
func (s *Server) HoldsPolicies(key rollout.Key, g resources.Group) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streams[key]
	if !ok {
		return false
	}
	sub, ok := st.types[names.TypeURLRoutePolicy]
	return ok && sub.holdsPolicies(g)
}

// opening admits a stream, or not.
func (s *Server) opening() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// go-control-plane reports the end of refused streams too.
	s.open++
	if s.open > s.maxStreams {
		return errTooManyStreams
	}
	return nil
}

// closed forgets a stream. go-control-plane has cancelled its watches by then.
func (s *Server) closed(key rollout.Key) {
	s.mu.Lock()
	s.open--
	st, ok := s.streams[key]
	delete(s.streams, key)
	s.envoys.Clear(key)
	s.envoys.ClearSnapshot(string(key))
	s.mu.Unlock()
	if ok {
		s.notify(Event{Kind: Closed, Peer: st.peer})
	}
}

// enter finds the stream of a request, or makes it from the first one's node.
func (s *Server) enter(key rollout.Key, node *corev3.Node, typeURL string, delta bool) (st *stream, fresh bool, err error) {
	if st, ok := s.streams[key]; ok {
		return st, false, nil
	}
	peer, err := identify(node, typeURL)
	if err != nil {
		return nil, false, err
	}
	peer.Key, peer.Delta, peer.Since = key, delta, s.now()
	st = &stream{peer: peer, types: make(map[string]*subscription), node: &corev3.Node{Id: string(key)}}
	s.streams[key] = st
	return st, true, nil
}
