package extproc

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Methods that make part of what a session is opened again with.
const (
	methodSetLevel    = "logging/setLevel"
	methodSubscribe   = "resources/subscribe"
	methodUnsubscribe = "resources/unsubscribe"
)

// followSession finds where a session is that may have been opened again elsewhere. The
// answer is nil where it is anywhere, and the request can go there.
func (e *edge) followSession(owner *session.Session) *degrade.Answer {
	call := e.session.call
	call.Reinitialize = true
	// The store answers within its own time limit, or from memory.
	state, err := e.service.opts.Reopener.Store().Get(context.Background(), owner.Key(owner.Server))
	if err != nil {
		e.service.log.Warn("session not looked up", "error", err)
	}
	if state.GetEnded() {
		return noSession()
	}
	if e.request.Verb == http.MethodGet && state.GetOpenedAt() != 0 {
		e.session.moved = true
		what, answer := e.service.takeUp(owner, state.GetUpstreamId(), e.session.last)
		switch what {
		case session.Over, session.Moved:
			return answer
		case session.Anew:
			e.decision.RemoveHeaders = append(e.decision.RemoveHeaders, headerLastEvent)
			e.decision.SetHeaders = slices.DeleteFunc(e.decision.SetHeaders, func(h decide.HeaderValue) bool { return h.Name == headerLastEvent })
		case session.Resume:
		}
	}
	if state.GetEndpoint() != "" {
		call.Endpoint, call.UpstreamId = state.GetEndpoint(), state.GetUpstreamId()
	}
	switch e.decision.Call.GetMethod() {
	case methodSetLevel:
		if p := e.decision.Message.Params; len(p) <= session.MaxLogLevelBytes {
			call.Replayed = slices.Clone(p)
		}
	case methodSubscribe, methodUnsubscribe:
		call.Replayed = []byte(e.decision.Message.URI)
	}
	return nil
}

// endSession notes that a client has ended its session, so that nobody opens it again.
func (e *edge) endSession(local degrade.Local) {
	s := &e.session
	if e.request.Verb != http.MethodDelete || !s.call.GetReinitialize() || local.CodeDetails != viaUpstream || local.Status == http.StatusMethodNotAllowed {
		return
	}
	owner, err := s.keyring.Open(s.token)
	if err != nil {
		return
	}
	_, err = session.Change(context.Background(), e.service.opts.Reopener.Store(), owner.Key(owner.Server), func(state *sessionv1.State) bool {
		state.Ended = true
		return true
	})
	if err != nil {
		e.service.log.Warn("the end of a session is not kept", "error", err)
	}
}

// lostSession is noSession from the attempt point: Envoy sends it down untried, and
// the edge point knows it by the header.
func lostSession() *degrade.Answer {
	answer := noSession()
	answer.Headers = []degrade.HeaderValue{{Name: names.HeaderSession, Value: "lost"}}
	return answer
}

// findSession makes sure that the endpoint which Envoy picked has the session of the
// request, and opens it there where that is wanted. An answer takes the server's place:
// the session is lost, or the stream that the request is for.
func (a *attempt) findSession(h headers, mutation *extprocv3.HeaderMutation) (*degrade.Answer, error) {
	s := a.call.GetSession()
	here := a.endpoint.address == "" || s.GetEndpoint() == a.endpoint.address
	reopener := a.service.opts.Reopener
	if s.GetReinitialize() && reopener != nil && reopener.HasStrays() {
		a.tidySession(h)
	}
	switch {
	case here && (!s.GetReinitialize() || a.endpoint.attempt <= 1):
		return nil, nil //nolint:nilnil // no answer is what is hoped for
	case !s.GetReinitialize() || reopener == nil || a.verb == http.MethodDelete || a.service.opts.Keyring == nil:
		if here {
			return nil, nil //nolint:nilnil // as above
		}
		return lostSession(), nil
	}
	ring := a.service.opts.Keyring()
	if ring == nil {
		return lostSession(), nil
	}
	owner, err := ring.Open(s.GetToken())
	if err != nil {
		return lostSession(), nil //nolint:nilerr // the key has gone since the edge point used it
	}
	if here {
		// A try before this one was not made, or told that the session is lost.
		state, err := reopener.Store().Get(a.stream.Context(), owner.Key(owner.Server))
		if err != nil || !state.GetLost() {
			return nil, nil //nolint:nilerr,nilnil // then it is where it was
		}
	}
	// Envoy waits half a second for an answer, in which not every server opens a session.
	if err := a.send(&extprocv3.ProcessingResponse{OverrideMessageTimeout: durationpb.New(session.ReopenTimeout + time.Second)}); err != nil {
		return nil, err
	}
	began := time.Now()
	state, err := reopener.Reopen(a.stream.Context(), &owner, owner.Server, a.target(h))
	if session.Unreachable(err) {
		// Nor will Envoy reach it; it has other endpoints to try.
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		a.service.log.Warn("session not opened again", "server", a.call.GetServer(), "endpoint", a.endpoint.name, "error", err)
		if session.Lost(err) {
			return lostSession(), nil
		}
		return a.notOpened(h), nil
	}
	a.debug("session opened again", "elapsed", time.Since(began))
	if state.GetUpstreamId() == "" {
		mutation.RemoveHeaders = append(mutation.RemoveHeaders, headerSession)
	} else {
		mutation.SetHeaders = append(mutation.SetHeaders, setHeader(headerSession, state.GetUpstreamId()))
	}
	s.Endpoint, s.UpstreamId = state.GetEndpoint(), state.GetUpstreamId()
	if a.verb != http.MethodGet {
		return nil, nil //nolint:nilnil // as above
	}
	what, answer := a.service.takeUp(&owner, state.GetUpstreamId(), h.first(headerLastEvent))
	if what == session.Anew {
		mutation.RemoveHeaders = append(mutation.RemoveHeaders, headerLastEvent)
	}
	return answer, nil
}

// notOpened is the answer to a request whose session may be opened again later. A 404 would
// be the end of it for clients.
func (a *attempt) notOpened(h headers) *degrade.Answer {
	if a.verb == http.MethodGet {
		return waitingStream(h.first(headerLastEvent), waitMs)
	}
	return a.outOfReach()
}

// tidySession ends what was opened in vain for the session of the request.
func (a *attempt) tidySession(h headers) {
	ring := a.service.opts.Keyring()
	if ring == nil {
		return
	}
	if owner, err := ring.Open(a.call.GetSession().GetToken()); err == nil {
		a.service.opts.Reopener.Tidy(&owner, owner.Server, a.target(h))
	}
}

// target is the endpoint of the try with the headers of its request.
func (a *attempt) target(h headers) session.Target {
	return session.Target{
		Address: a.endpoint.address, Region: a.endpoint.region, Path: h.first(":path"), Host: h.first(":authority"),
		Header: h.forwarded(), Version: h.first("mcp-protocol-version"),
	}
}

// forwarded are the headers of a request that go along when a session is opened in its
// place: all but those of the message and the connection.
func (h headers) forwarded() http.Header {
	out := http.Header{}
	for _, v := range h {
		switch name := v.GetKey(); {
		case name == "" || name[0] == ':':
		case slices.Contains([]string{
			"content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer",
			"expect", "host", "accept", "accept-encoding", "last-event-id",
		}, name):
		case hasAnyPrefix(name, "mcp-", names.HeaderPrefix, names.EnvoyHeaderPrefix):
		default:
			out.Add(name, headerValue(v))
		}
	}
	return out
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return len(s) >= len(p) && s[:len(p)] == p })
}

// sessionForgotten says that the endpoint does not know the session, which can be opened
// again. 404 to a POST says so; where it could mean something else (a server without event
// streams, to GET), or something else could mean it (400, as many servers have it), the
// endpoint is asked.
func (a *attempt) sessionForgotten() bool {
	s := a.call.GetSession()
	if !s.GetReinitialize() || a.verb == http.MethodDelete || a.service.opts.Reopener == nil {
		return false
	}
	switch {
	case a.held.status == http.StatusNotFound && a.verb == http.MethodPost:
		return true
	case a.held.status != http.StatusNotFound && a.held.status != http.StatusBadRequest, a.asking == nil:
		return false
	}
	// Envoy waits half a second for an answer.
	if err := a.send(&extprocv3.ProcessingResponse{OverrideMessageTimeout: durationpb.New(session.ReopenTimeout + time.Second)}); err != nil {
		return false
	}
	return !a.service.opts.Reopener.Knows(a.stream.Context(), a.target(a.asking), s.GetUpstreamId())
}

// streamless says that the answer is that of a server which knows the session and has no
// event stream for it. 404 would tell clients otherwise.
func (a *attempt) streamless() bool {
	return a.verb == http.MethodGet && a.held.status == http.StatusNotFound && a.call.GetSession().GetReinitialize() && a.asking != nil
}

// notAllowed is what the protocol has for it.
func (a *attempt) notAllowed() error {
	return a.release([]*corev3.HeaderValueOption{
		setHeader(":status", strconv.Itoa(http.StatusMethodNotAllowed)), setHeader("allow", "POST, DELETE"),
	}, false)
}

// forgetSession notes it and moves the message on.
func (a *attempt) forgetSession() error {
	s := a.call.GetSession()
	if ring := a.service.opts.Keyring(); ring != nil {
		if owner, err := ring.Open(s.GetToken()); err == nil {
			a.changeSession(&owner, func(state *sessionv1.State) bool {
				if state.GetEndpoint() != "" && state.GetEndpoint() != a.endpoint.address {
					return false
				}
				if state.GetEndpoint() == "" {
					state.Endpoint, state.UpstreamId = s.GetEndpoint(), s.GetUpstreamId()
				}
				state.Lost = true
				return true
			})
		}
	}
	a.debug("session forgotten")
	return a.release([]*corev3.HeaderValueOption{
		setHeader(":status", strconv.Itoa(names.StatusSessionLost)), setHeader(names.HeaderSession, "lost"),
	}, false)
}

// rememberReplayed keeps what a good answer has changed of what a session is opened with.
func (a *attempt) rememberReplayed() {
	s := a.call.GetSession()
	if len(s.GetReplayed()) == 0 || a.service.opts.Reopener == nil {
		return
	}
	ring := a.service.opts.Keyring()
	if ring == nil {
		return
	}
	owner, err := ring.Open(s.GetToken())
	if err != nil {
		return
	}
	uri := string(s.GetReplayed())
	a.changeSession(&owner, func(state *sessionv1.State) bool {
		switch a.call.GetMethod() {
		case methodSetLevel:
			state.LogLevel = s.GetReplayed()
		case methodSubscribe:
			return session.Subscribe(state, uri)
		case methodUnsubscribe:
			return session.Unsubscribe(state, uri)
		}
		return true
	})
}

func (a *attempt) changeSession(owner *session.Session, edit func(*sessionv1.State) bool) {
	ctx := context.WithoutCancel(a.stream.Context())
	if _, err := session.Change(ctx, a.service.opts.Reopener.Store(), owner.Key(owner.Server), edit); err != nil {
		a.service.log.Warn("a change of a session is not kept", "server", owner.Server, "error", err)
	}
}
