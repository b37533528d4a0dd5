package extproc

import (
	"net/http"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// A server that refuses a request by its HTTP status alone, or with an error that has not
// the request's id, ends the connection of some clients: they find no answer to what they
// asked. Its status stays then, and gets words that every client can match to its request.

// refuses says that the answer is such a status, unless there are words to be found in it.
// What clients open with is left alone, since they tell old servers by what those say to it;
// so are a session that is lost, credentials that are missing (no words help there), and
// requests of which the id is not known.
func (a *attempt) refuses() bool {
	status := a.held.status
	switch {
	case status < 400 || status > 499, status == http.StatusUnauthorized, status == http.StatusTooManyRequests:
		return false
	case status == http.StatusNotFound && a.call.GetSession() != nil, unread(a.call), len(a.call.GetBatchIds()) > 0:
		return false
	}
	name := a.call.GetMethod()
	return name != method.Initialize && name != method.ServerDiscover
}

// refusal lets an answer go that is judged by its status alone, or holds it for its words.
func (a *attempt) refusal(h headers) error {
	readable := h.mediaType() == "application/json" && (h.first("content-encoding") == "" || h.first("content-encoding") == "identity")
	switch {
	case !a.refuses(), readable && a.held.length > maxHeldBytes:
		return a.pass()
	case !readable, a.over:
		return a.refused(false, false)
	}
	a.held.refusal, a.phase = true, holding
	return a.startDeadline()
}

// refused lets a refusal go, with word for the edge point where nobody could match it.
func (a *attempt) refused(usable, last bool) error {
	if usable {
		return a.release(nil, last)
	}
	report := outcome.Report{Verdict: outcome.CallerFault, Status: a.held.status}
	return a.release([]*corev3.HeaderValueOption{setHeader(names.HeaderVerdict, report.String())}, last)
}

// inWords is the server's refusal as an answer to the request; nil where it is one, or none.
func (e *edge) inWords(h headers, report outcome.Report, judged bool) *degrade.Answer {
	call := e.decision.Call
	if report.Status == http.StatusNotFound && e.decision.InSession {
		// It may be the end of the session, which must not look like an answer.
		return nil
	}
	if !judged || report.Verdict != outcome.CallerFault || report.Usable || report.Status >= http.StatusInternalServerError || len(call.GetId()) == 0 {
		return nil
	}
	code := degrade.InvalidInput
	if report.Status == http.StatusForbidden {
		code = degrade.Unauthorized
	}
	refusal := degrade.Refusal{
		Status: report.Status, Number: code.Number(), Code: code, ID: call.GetId(), RequestID: e.request.RequestID,
		Message: "The server refused the request: " + strconv.Itoa(report.Status) + " " + http.StatusText(report.Status),
	}
	for _, name := range []string{"www-authenticate", "allow", "retry-after"} {
		for _, value := range h.Values(name) {
			refusal.Headers = append(refusal.Headers, degrade.HeaderValue{Name: name, Value: value})
		}
	}
	answer := degrade.Refuse(refusal)
	return &answer
}
