package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

var errTooManyStreams = grpcstatus.Error(codes.ResourceExhausted, "too many xDS streams")

// go-control-plane numbers delta and state-of-the-world streams apart.
func deltaKey(id int64) rollout.Key { return rollout.Key(fmt.Sprintf("delta-%d", id)) }
func worldKey(id int64) rollout.Key { return rollout.Key(fmt.Sprintf("sotw-%d", id)) }

// callbacks keep the book. go-control-plane calls them from the stream's goroutine:
// for a request before the caches see it, for a response before it is sent.
func (s *Server) callbacks() serverv3.Callbacks {
	return serverv3.CallbackFuncs{
		DeltaStreamOpenFunc:   func(context.Context, int64, string) error { return s.opening() },
		StreamOpenFunc:        func(context.Context, int64, string) error { return s.opening() },
		DeltaStreamClosedFunc: func(id int64, _ *corev3.Node) { s.closed(deltaKey(id)) },
		StreamClosedFunc:      func(id int64, _ *corev3.Node) { s.closed(worldKey(id)) },
		StreamDeltaRequestFunc: func(id int64, req *discoveryv3.DeltaDiscoveryRequest) error {
			return s.deltaRequest(deltaKey(id), req)
		},
		StreamRequestFunc: func(id int64, req *discoveryv3.DiscoveryRequest) error {
			return s.worldRequest(worldKey(id), req)
		},
		StreamDeltaResponseFunc: func(id int64, _ *discoveryv3.DeltaDiscoveryRequest, resp *discoveryv3.DeltaDiscoveryResponse) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if st, ok := s.streams[deltaKey(id)]; ok {
				st.deltaResponse(resp, s)
			}
		},
		StreamResponseFunc: func(_ context.Context, id int64, _ *discoveryv3.DiscoveryRequest, resp *discoveryv3.DiscoveryResponse) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if st, ok := s.streams[worldKey(id)]; ok {
				st.worldResponse(resp, s)
			}
		},
	}
}

func (s *Server) deltaRequest(key rollout.Key, req *discoveryv3.DeltaDiscoveryRequest) error {
	s.mu.Lock()
	st, fresh, err := s.enter(key, req.GetNode(), req.GetTypeUrl(), true)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	req.Node = st.node
	if req.GetTypeUrl() == names.TypeURLCatalog {
		s.keepUnknown(req)
	}
	refusal, err := st.deltaRequest(req, s)
	s.countAnswer(req.GetTypeUrl(), req.GetResponseNonce(), refusal, err)
	return s.tell(st, fresh, refusal, err)
}

func (s *Server) worldRequest(key rollout.Key, req *discoveryv3.DiscoveryRequest) error {
	s.mu.Lock()
	st, fresh, err := s.enter(key, req.GetNode(), req.GetTypeUrl(), false)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	req.Node = st.node
	refusal, err := st.worldRequest(req, s)
	s.countAnswer(req.GetTypeUrl(), req.GetResponseNonce(), refusal, err)
	return s.tell(st, fresh, refusal, err)
}

// tell passes on what a request meant. It is entered with s.mu held and leaves
// without it.
func (s *Server) tell(st *stream, fresh bool, refusal *Refusal, err error) error {
	peer := st.peer
	events := make([]Event, 0, 2)
	if fresh {
		events = append(events, Event{Kind: Opened, Peer: peer})
	}
	switch {
	case err != nil && !errors.Is(err, errForeignNonce):
	case refusal != nil:
		events = append(events, Event{Kind: Refused, Peer: peer, Refusal: *refusal})
		err = nil
	default:
		events = append(events, Event{Kind: Changed, Peer: peer})
		err = nil
	}
	s.mu.Unlock()
	for _, e := range events {
		s.notify(e)
	}
	return err
}

// keepUnknown hides from the catalog's cache what only the processor knows: the
// catalog is remembered by those who saw the answers, and a control plane that has
// just started must not take theirs away.
func (s *Server) keepUnknown(req *discoveryv3.DeltaDiscoveryRequest) {
	if len(req.GetInitialResourceVersions()) == 0 {
		return
	}
	here := s.catalog.GetResources()
	for name := range req.GetInitialResourceVersions() {
		if _, ok := here[name]; !ok {
			delete(req.GetInitialResourceVersions(), name)
		}
	}
}

// quietLogger passes go-control-plane's messages on at debug level: its caches say
// something for every watch.
type quietLogger struct{ log *slog.Logger }

func (q quietLogger) Debugf(format string, args ...any) { q.say(format, args) }
func (q quietLogger) Infof(format string, args ...any)  { q.say(format, args) }
func (q quietLogger) Warnf(format string, args ...any)  { q.say(format, args) }
func (q quietLogger) Errorf(format string, args ...any) { q.say(format, args) }

func (q quietLogger) say(format string, args []any) {
	ctx := context.Background()
	if q.log.Enabled(ctx, slog.LevelDebug) {
		q.log.DebugContext(ctx, "xds cache", "message", fmt.Sprintf(format, args...))
	}
}
