package extproc

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// headerLastEvent says after which event a client takes up a stream again (Streamable
// HTTP, section "Resumability and Redelivery"), up to revision 2025-11-25.
const headerLastEvent = "last-event-id"

// streamGone says that the request resumes a stream of an endpoint which the session has
// left, and that the one which has it now, naturally, does not know the stream. No answer
// but a stream keeps every client alive: some take any other one for the end of
// their connection.
func (e *edge) streamGone(h headers, local degrade.Local, address string) bool {
	s := &e.session
	if !s.resumes || !s.call.GetReinitialize() || address == s.first && !s.moved || local.CodeDetails != viaUpstream || h.first(headerSession) != "" {
		return false
	}
	switch local.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return true
	}
	return false
}

// takeUp decides about a GET, for what follows the event last, in a session that is opened
// now as upstreamID. The answer is that of Over and Moved. A client that has listened to an endpoint
// which is gone is not given the new one's stream at once: its stream broke, and some clients
// count how often theirs did, until one has ended well or had an id.
func (s *Service) takeUp(owner *session.Session, upstreamID, last string) (session.Resumption, *degrade.Answer) {
	// The store answers within its own time limit, or from memory.
	what, request, err := s.opts.Reopener.TakeUp(context.Background(), owner.Key(owner.Server), upstreamID, []byte(last))
	if err != nil {
		s.log.Warn("a session's streams are not looked up", "error", err)
	}
	switch what {
	case session.Resume, session.Anew:
		return what, nil
	case session.Moved:
		return what, waitingStream(last, movedMs)
	case session.Over:
	}
	answer := endedStream()
	call := &policyv1.CallContext{Id: request, Server: owner.Server}
	answer.Body = degrade.ErrorEvent(call, degrade.New(degrade.ServiceUnavailable, degrade.Unknown, call, ""), policyv1.ErrorStyle_ERROR_STYLE_HTTP)
	return what, answer
}

const (
	// maxWaitBytes bounds the latter; one that is longer is not kept.
	maxWaitBytes = 1 << 10
	// waitMs is when a client is to come back, movedMs when there is nothing to wait for, and
	// neverMs when there will not be.
	waitMs, movedMs, neverMs = 2_000, 100, 3_600_000
)

// lastEvent is the id with which a client comes back to a stream: what it was told to wait
// with stands for the one before; Envoy, which gives such ids where no processor is, leaves
// those of several waits in front of each other. changed: it is not what the request says.
func lastEvent(h decide.Header) (id string, changed bool) {
	ids := h.Values(headerLastEvent)
	if len(ids) == 0 {
		return "", false
	}
	id = ids[0]
	for {
		waiting, found := strings.CutPrefix(id, names.WaitPrefix)
		if !found {
			return id, changed
		}
		_, id, _ = strings.Cut(waiting, ".")
		changed = true
	}
}

// comesBack reads who comes back to a stream of its session.
func (e *edge) comesBack() {
	s := &e.session
	if e.request.Verb != http.MethodGet {
		return
	}
	var changed bool
	s.last, changed = lastEvent(e.request.Header)
	s.resumes, s.waited = s.last != "", changed
	switch {
	case changed && s.resumes:
		e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{Name: headerLastEvent, Value: s.last})
	case changed:
		e.decision.RemoveHeaders = append(e.decision.RemoveHeaders, headerLastEvent)
	}
}

// waits says that the request is for a stream of a session whose server cannot be reached
// now. Some clients end their connection at any answer that is no stream, and others give
// up listening for good.
func (e *edge) waits(local degrade.Local) bool {
	return e.request.Verb == http.MethodGet && e.session.call != nil && local.CodeDetails != viaUpstream && local.Status >= http.StatusInternalServerError
}

// waitsInVain says that the server has no streams, which a client that was told to wait for
// one would take amiss.
func (e *edge) waitsInVain(local degrade.Local) bool {
	return e.session.waited && local.CodeDetails == viaUpstream && local.Status == http.StatusMethodNotAllowed
}

// waitingStream has a client come back, with the id that it has.
func waitingStream(last string, retryMs int) *degrade.Answer {
	answer := endedStream()
	if retryMs != waitMs {
		// Nothing is wrong.
		answer.Source = ""
	}
	if len(last) > maxWaitBytes {
		last = ""
	}
	answer.Body = fmt.Appendf(nil, ": come again\nretry: %d\nid: %s%s.%s\ndata:\n\n", retryMs, names.WaitPrefix, rand.Text(), last)
	return answer
}

// leaveStream keeps, of a stream that is over without the answer that it is for, what its
// client will come back with.
func (a *attempt) leaveStream() {
	e, s := a.held.events, a.call.GetSession()
	if e == nil || e.final != nil || len(e.lastID) == 0 || len(a.call.GetId()) == 0 || a.service.opts.Reopener == nil {
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
	err = a.service.opts.Reopener.NoteCall(context.WithoutCancel(a.stream.Context()), owner.Key(owner.Server), s.GetUpstreamId(), e.lastID, a.call.GetId())
	if err != nil {
		a.service.log.Warn("a broken stream is not kept", "server", owner.Server, "error", err)
	}
}

// endedStream is a stream that has said all that it will. A client that waits on it for
// an answer learns that none comes; one that listens to its session opens a new one.
func endedStream() *degrade.Answer {
	return &degrade.Answer{
		Status:  http.StatusOK,
		Headers: []degrade.HeaderValue{{Name: "content-type", Value: "text/event-stream"}, {Name: "cache-control", Value: "no-cache, no-transform"}},
		Body:    []byte(": this stream ended with its server\n\n"),
		Source:  degrade.SourceError,
		Code:    degrade.ServiceUnavailable,
	}
}
