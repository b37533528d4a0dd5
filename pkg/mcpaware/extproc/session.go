package extproc

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// headerSession is the protocol's session header (Streamable HTTP, section "Session
// Management"), up to revision 2025-11-25.
const headerSession = "mcp-session-id"

// edgeSession is what the edge point knows of the session of a request. Without a
// keyring all of it is left alone.
type edgeSession struct {
	keyring *session.Keyring
	// token is the id as the client sent it; empty where there is none that counts.
	token string
	// call is what the attempt point is told; nil for a request without a session.
	call *policyv1.CallSession
	// alone: the server has one endpoint, so there is no other choice and no better
	// knowledge of whether the session is lost than the server's.
	alone bool
	// first is the endpoint that opened the session; resumes is set for a request that
	// takes up one of its streams again, after the event last.
	first   string
	resumes bool
	last    string
	// waited: it was told to wait, by an id that stands for last.
	waited bool
	// moved: it has been opened again since.
	moved bool
	// opening is set for initialize, by whose answer a server may open a session.
	opening *session.Session
}

// noSession is the answer for a session that is not there (any more): 404 without a
// body. Some clients take a session for alive where they find their id in the answer.
func noSession() *degrade.Answer {
	return &degrade.Answer{Status: http.StatusNotFound, Code: degrade.SessionLost}
}

// joinSession finds the session of a request that was decided and sends it to the
// endpoint that has it. false: there is no such session, and the decision's answer says so.
func (e *edge) joinSession() bool {
	s := &e.session
	if s.keyring == nil || e.decision.Revision == degrade.ModernRevision {
		return true
	}
	server, ok := e.decision.Route.Server(e.decision.Action.GetServer())
	if !ok {
		return true
	}
	s.alone = len(server.GetEndpoints()) == 1
	ids := e.request.Header.Values(headerSession)
	if e.decision.Call.GetMethod() == method.Initialize {
		// A session is opened without the id of another one.
		if len(ids) > 0 {
			e.decision.RemoveHeaders = append(e.decision.RemoveHeaders, headerSession)
		}
		s.opening = e.newSession(server)
		return true
	}
	if len(ids) == 0 {
		return true
	}
	owner, found := e.openSession(strings.Trim(ids[0], " \t"))
	if !found {
		e.decision.Answer = noSession()
		return false
	}
	if owner.Server != server.GetName() {
		// The rule sends the call to a server that the session is not with.
		e.decision.RemoveHeaders = append(e.decision.RemoveHeaders, headerSession)
		return true
	}
	s.token, s.first = ids[0], owner.Endpoint
	e.comesBack()
	s.call = &policyv1.CallSession{Token: s.token, Endpoint: owner.Endpoint, UpstreamId: owner.UpstreamID}
	header := names.HeaderEndpointOnly
	if server.GetReinitializeSessions() && e.service.opts.Reopener != nil {
		header = names.HeaderEndpointFirst
		if answer := e.followSession(&owner); answer != nil {
			e.decision.Answer = answer
			return false
		}
	}
	e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{Name: names.HeaderSessionToken, Value: s.token})
	if s.call.GetUpstreamId() == "" {
		e.decision.RemoveHeaders = append(e.decision.RemoveHeaders, headerSession)
	} else {
		e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{Name: headerSession, Value: s.call.GetUpstreamId()})
	}
	if !s.alone {
		e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{
			Name: header, Value: base64.StdEncoding.EncodeToString([]byte(s.call.GetEndpoint())),
		})
	}
	return true
}

var _ decide.SessionOwners = (*edge)(nil)

// SessionOwner implements decide.SessionOwners. Whether the session is the caller's is found out when it is joined.
func (e *edge) SessionOwner(token string) string {
	owner, err := e.session.keyring.Open(strings.Trim(token, " \t"))
	if err != nil {
		return ""
	}
	return owner.Server
}

// openSession reads an id by the rules of the server that it is a session of.
func (e *edge) openSession(token string) (session.Session, bool) {
	owner, err := e.session.keyring.Open(token)
	if err != nil {
		return session.Session{}, false
	}
	server, ok := e.decision.Route.Server(owner.Server)
	if !ok || !owner.OpenTo(e.principal(server), server.GetSessionMaxAge().AsDuration(), time.Now()) {
		return session.Session{}, false
	}
	return owner, true
}

func (e *edge) principal(server *policyv1.Server) session.Principal {
	header := server.GetSessionPrincipalHeader()
	if header == "" {
		return session.Principal{}
	}
	if subject := e.decision.Route.Subject(e.request.Header); subject != "" {
		// It stays the same when the token is renewed. No header has a zero byte, so none is like it.
		return session.PrincipalOf([]string{"\x00subject", subject})
	}
	return session.PrincipalOf(e.request.Header.Values(header))
}

// newSession prepares the session that the answer to initialize may open.
func (e *edge) newSession(server *policyv1.Server) *session.Session {
	s := session.New()
	s.Server, s.Revision, s.Principal = server.GetName(), e.decision.Revision, e.principal(server)
	if server.GetReinitializeSessions() {
		if s.Initialize = bytes.Clone(e.decision.Message.Params); len(s.Initialize) > session.MaxInitializeBytes {
			e.service.log.Warn("initialize is too long to be repeated, so the session ends with its endpoint", "server", s.Server, "bytes", len(s.Initialize))
			s.Initialize = nil
		}
	}
	return &s
}

// giveSession puts the id that the client knows, or a new one, in the place of the
// server's. No server's own id goes out.
func (e *edge) giveSession(h headers, attrs attributes, mutation *extprocv3.HeaderMutation) {
	s := &e.session
	for _, name := range []string{names.HeaderEndpointOnly, names.HeaderEndpointFirst} {
		if h.first(name) != "" {
			mutation.RemoveHeaders = append(mutation.RemoveHeaders, name)
		}
	}
	given := h.first(headerSession)
	if s.keyring == nil || given == "" {
		return
	}
	id := s.token
	if s.opening != nil {
		id = e.sealSession(given, attrs)
	}
	if id == "" {
		mutation.RemoveHeaders = append(mutation.RemoveHeaders, headerSession)
		return
	}
	mutation.SetHeaders = append(mutation.SetHeaders, setHeader(headerSession, id))
}

// sealSession makes the client's id of a server's; "" where that cannot be one.
func (e *edge) sealSession(given string, attrs attributes) string {
	now := time.Now()
	opening := e.session.opening
	opening.UpstreamID, opening.Endpoint, opening.IssuedAt = given, attrs.text("upstream.address"), now
	token, err := e.session.keyring.Seal(*opening, now)
	if err != nil {
		e.service.log.Warn("a server's session id cannot be used", "server", opening.Server, "error", err)
		return ""
	}
	return token
}

// sessionLost says whether the answer means that the session of the request is gone: its
// server says so, or the endpoint that has it is down, so that nobody knows it.
func (e *edge) sessionLost(h headers, local degrade.Local) bool {
	s := &e.session
	switch {
	case s.call == nil:
		return false
	case h.first(names.HeaderSession) != "":
		return true
	case s.call.GetReinitialize() && local.CodeDetails != viaUpstream:
		// It is not lost with its endpoint.
		return false
	case local.CodeDetails == viaUpstream:
		return local.Status == http.StatusNotFound
	case s.alone:
		return false
	}
	return local.Unreachable()
}
