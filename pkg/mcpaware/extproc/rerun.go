package extproc

import (
	"net/http"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// comesAgain recognises a call that Envoy begins again because its answer was lost
// with a processor or its route was not there (names.PathRerun), and takes it for the
// POST that it was, in the session that the client named. The headers that say so are
// Envoy's and the edge point's own: those of clients never get here.
func (e *edge) comesAgain(h headers) {
	length := h.first(names.HeaderRerun)
	path, ok := strings.CutPrefix(e.request.Path, names.PathRerun)
	bytes, err := strconv.ParseInt(length, 10, 64)
	if !ok || err != nil || e.request.Verb != http.MethodGet {
		return
	}
	e.length = bytes
	e.request.Verb, e.request.Path = http.MethodPost, path
	if token := h.first(names.HeaderSessionToken); token != "" {
		e.request.Header = h.with(headerSession, token)
	}
	e.again = []*corev3.HeaderValueOption{
		setHeader(":method", http.MethodPost), setHeader(":path", path), setHeader("content-length", length),
	}
}
