package decide

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// codeNotFound is the JSON-RPC error code for paths that no policy has. It is our own:
// -32601 would say that the method is unknown.
const codeNotFound = 1404

// Headers decides what can be decided before the body has come: refusals, GET and
// DELETE. For POST it says NeedBody.
func (t *Table) Headers(r *Request) HeadersDecision {
	route, refused := t.open(r)
	if refused == nil {
		refused = repeatedHeader(r.Header)
	}
	if refused != nil {
		return HeadersDecision{Decision: refuse(r, route, refused)}
	}
	switch r.Verb {
	case http.MethodPost:
		if refused = checkPost(route, r.Header); refused != nil {
			return HeadersDecision{Decision: refuse(r, route, refused)}
		}
		if decision, ok := t.unread(r, route); ok {
			return HeadersDecision{Decision: decision}
		}
		return HeadersDecision{NeedBody: true, Decision: Decision{Route: route}}
	case http.MethodGet, http.MethodDelete:
		return HeadersDecision{Decision: bodiless(r, route)}
	}
	return HeadersDecision{Decision: refuse(r, route, notAllowed("DELETE, GET, POST"))}
}

func (t *Table) open(r *Request) (*Route, *degrade.Refusal) {
	path, _, _ := strings.Cut(r.Path, "?")
	if route, ok := t.Route(path); ok {
		return route, nil
	}
	return nil, &degrade.Refusal{
		Status:  http.StatusNotFound,
		Number:  codeNotFound,
		Code:    degrade.InvalidInput,
		Message: "no MCP endpoint is served under this path",
	}
}

func refuse(r *Request, route *Route, why *degrade.Refusal) Decision {
	why.RequestID = r.RequestID
	answer := degrade.Refuse(*why)
	return Decision{Answer: &answer, Route: route}
}

func notAllowed(allow string) *degrade.Refusal {
	return &degrade.Refusal{
		Status:  http.StatusMethodNotAllowed,
		Number:  wire.CodeInvalidRequest,
		Code:    degrade.InvalidInput,
		Message: "this HTTP method is not served here",
		Headers: []HeaderValue{{Name: "allow", Value: allow}},
	}
}

// bodiless decides GET (the event stream of a legacy session) and DELETE (its end). The
// modern revision has neither.
func bodiless(r *Request, route *Route) Decision {
	revision, refused := sole(r.Header, headerVersion)
	if revision == "" {
		revision = revision20250326
	}
	switch {
	case refused != nil:
	case revision == revision20260728:
		refused = notAllowed("POST")
	case !isLegacy(revision):
		refused = unsupportedVersion(revision, supportedAll)
	case r.Continues, hasBody(r.Header):
		// It would go to the server without having been looked at.
		refused = invalid(r.Verb + " has no body here")
	}
	if refused != nil {
		return refuse(r, route, refused)
	}
	decision := Decision{
		Route: route, Revision: revision, Rule: RuleStream, Action: route.policy.GetStream(),
		RemoveHeaders: present(r.Header, headerMethod, headerName),
	}
	if r.Verb == http.MethodDelete {
		decision.Rule, decision.Action = RuleDelete, route.policy.GetDelete()
	}
	decision.RemoveHeaders = append(decision.RemoveHeaders, r.Header.WithPrefix(headerParamPrefix)...)
	decision.Action = route.sideOf(r, true, decision.Action)
	decision.SetHeaders = []HeaderValue{{Name: names.HeaderRoute, Value: decision.Action.GetRoute()}}
	return decision
}

func hasBody(h Header) bool {
	for _, length := range h.Values("content-length") {
		if strings.TrimSpace(length) != "0" {
			return true
		}
	}
	return len(h.Values("transfer-encoding")) > 0
}

// checkPost refuses bodies that need not be waited for.
func checkPost(route *Route, h Header) *degrade.Refusal {
	if !isJSON(h.Values("content-type")) {
		return &degrade.Refusal{
			Status: http.StatusUnsupportedMediaType, Number: wire.CodeInvalidRequest, Code: degrade.InvalidInput,
			Message: "the content type must be application/json",
		}
	}
	for _, coding := range h.Values("content-encoding") {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return &degrade.Refusal{
				Status: http.StatusUnsupportedMediaType, Number: wire.CodeInvalidRequest, Code: degrade.InvalidInput,
				Message: "bodies must not be compressed",
			}
		}
	}
	for _, length := range h.Values("content-length") {
		n, err := strconv.ParseUint(strings.TrimSpace(length), 10, 64)
		if err != nil {
			return &degrade.Refusal{
				Status: http.StatusBadRequest, Number: wire.CodeInvalidRequest, Code: degrade.InvalidInput,
				Message: "the content length is not a number",
			}
		}
		if n > uint64(route.policy.GetMaxBodyBytes()) {
			return tooLarge(route)
		}
	}
	return nil
}

func tooLarge(route *Route) *degrade.Refusal {
	return &degrade.Refusal{
		Status: http.StatusRequestEntityTooLarge, Number: wire.CodeInvalidRequest, Code: degrade.InvalidInput,
		Message: fmt.Sprintf("the body is larger than %d bytes", route.policy.GetMaxBodyBytes()),
	}
}

// isJSON reports whether a content type is application/json, in UTF-8 if it says.
func isJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	if values[0] == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != "application/json" {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// present returns those of the names that the request has.
func present(h Header, candidates ...string) []string {
	var found []string
	for _, name := range candidates {
		if len(h.Values(name)) > 0 {
			found = append(found, name)
		}
	}
	return found
}
