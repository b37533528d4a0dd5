package extproc

import (
	"net/http"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
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
	if !s.resumes || !s.call.GetReinitialize() || address == s.first || local.CodeDetails != viaUpstream || h.first(headerSession) != "" {
		return false
	}
	switch local.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return true
	}
	return false
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
