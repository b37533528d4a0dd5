package decide_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func header(values []decide.HeaderValue, name string) string {
	for _, value := range values {
		if value.Name == name {
			return value.Value
		}
	}
	return ""
}

func TestHeadersRefuse(t *testing.T) {
	const jsonType = "content-type: application/json"
	tests := map[string]struct {
		verb, path string
		header     headers
		status     int
		number     string
		allow      string
	}{
		"unknown path":           {"POST", "/other", headers{jsonType}, 404, "1404", ""},
		"path in another case":   {"POST", "/MCP", headers{jsonType}, 404, "1404", ""},
		"path with a slash":      {"GET", "/mcp/", nil, 404, "1404", ""},
		"unknown path, OPTIONS":  {"OPTIONS", "/other", nil, 404, "1404", ""},
		"HEAD":                   {"HEAD", "/mcp", nil, 405, "-32600", "DELETE, GET, POST"},
		"OPTIONS":                {"OPTIONS", "/mcp", nil, 405, "-32600", "DELETE, GET, POST"},
		"PUT":                    {"PUT", "/mcp", headers{jsonType}, 405, "-32600", "DELETE, GET, POST"},
		"lower-case verb":        {"post", "/mcp", headers{jsonType}, 405, "-32600", "DELETE, GET, POST"},
		"modern GET":             {"GET", "/mcp", headers{"mcp-protocol-version: 2026-07-28"}, 405, "-32600", "POST"},
		"modern DELETE":          {"DELETE", "/mcp", headers{"mcp-protocol-version:  2026-07-28 "}, 405, "-32600", "POST"},
		"GET of no revision":     {"GET", "/mcp", headers{"mcp-protocol-version: 2024-11-05"}, 400, "-32022", ""},
		"GET, versions joined":   {"GET", "/mcp", headers{"mcp-protocol-version: 2025-11-25,2025-11-25"}, 400, "-32022", ""},
		"no content type":        {"POST", "/mcp", nil, 415, "-32600", ""},
		"form":                   {"POST", "/mcp", headers{"content-type: application/x-www-form-urlencoded"}, 415, "-32600", ""},
		"JSON sequence":          {"POST", "/mcp", headers{"content-type: application/json-seq"}, 415, "-32600", ""},
		"two content types":      {"POST", "/mcp", headers{jsonType, "content-type: text/plain"}, 415, "-32600", ""},
		"joined content types":   {"POST", "/mcp", headers{"content-type: application/json, text/plain"}, 415, "-32600", ""},
		"UTF-16":                 {"POST", "/mcp", headers{"content-type: application/json; charset=utf-16"}, 415, "-32600", ""},
		"compressed":             {"POST", "/mcp", headers{jsonType, "content-encoding: gzip"}, 415, "-32600", ""},
		"too long":               {"POST", "/mcp", headers{jsonType, "content-length: 4097"}, 413, "-32600", ""},
		"far too long":           {"POST", "/mcp", headers{jsonType, "content-length: 18446744073709551615"}, 413, "-32600", ""},
		"length no number":       {"POST", "/mcp", headers{jsonType, "content-length: -1"}, 400, "-32600", ""},
		"version twice":          {"POST", "/mcp", headers{jsonType, "mcp-protocol-version: 2026-07-28", "mcp-protocol-version: 2026-07-28"}, 400, "-32020", ""},
		"method twice":           {"POST", "/mcp", headers{jsonType, "mcp-method: a", "mcp-method: a"}, 400, "-32020", ""},
		"name twice":             {"POST", "/mcp", headers{jsonType, "mcp-name: a", "mcp-name: b"}, 400, "-32020", ""},
		"param twice":            {"POST", "/mcp", headers{jsonType, "mcp-param-x: a", "mcp-param-x: a"}, 400, "-32020", ""},
		"session twice":          {"POST", "/mcp", headers{jsonType, "mcp-session-id: a", "mcp-session-id: b"}, 400, "-32020", ""},
		"GET with a body":        {"GET", "/mcp", headers{"content-length: 3"}, 400, "-32600", ""},
		"DELETE in chunks":       {"DELETE", "/mcp", headers{"mcp-protocol-version: 2025-11-25", "transfer-encoding: chunked"}, 400, "-32600", ""},
		"GET with version twice": {"GET", "/mcp", headers{"mcp-protocol-version: 2025-11-25", "mcp-protocol-version: 2025-11-25"}, 400, "-32020", ""},
	}
	rules := table(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := rules.Headers(&decide.Request{Verb: test.verb, Path: test.path, Header: test.header, RequestID: "req-1"})
			if got.Answer == nil || got.NeedBody || got.Action != nil {
				t.Fatalf("not refused: %+v", got)
			}
			if got.Answer.Status != test.status || header(got.Answer.Headers, "allow") != test.allow {
				t.Errorf("status %d, headers %v; want %d, allow %q", got.Answer.Status, got.Answer.Headers, test.status, test.allow)
			}
			checkRefusal(t, got.Answer, "null", test.number)
		})
	}
}

// checkRefusal checks the JSON-RPC error of a refusal.
func checkRefusal(t *testing.T, answer *degrade.Answer, id, number string) {
	t.Helper()
	start := `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":` + number + `,`
	if !strings.HasPrefix(string(answer.Body), start) || !strings.Contains(string(answer.Body), `"requestId":"req-1"`) {
		t.Errorf("body %s does not begin with %s", answer.Body, start)
	}
	if header(answer.Headers, "content-type") != "application/json" || answer.Source != "" || header(answer.Headers, names.HeaderDegraded) != "" {
		t.Errorf("headers %v, source %q", answer.Headers, answer.Source)
	}
}

func TestHeadersPass(t *testing.T) {
	rules := table(t)
	for _, contentType := range []string{
		"application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/json ; charset=utf8", "application/json; x=y",
	} {
		got := rules.Headers(&decide.Request{Verb: "POST", Path: "/mcp?a=/b", Header: headers{
			"content-type: " + contentType, "content-length: 4096", "content-encoding: identity", "mcp-name: x",
		}})
		if !got.NeedBody || got.Answer != nil || got.Route == nil || got.Action != nil {
			t.Errorf("%s: %+v", contentType, got)
		}
	}
	tests := map[string]struct {
		verb     string
		header   headers
		rule     string
		route    string
		revision string
		removed  []string
	}{
		"stream":             {"GET", headers{"mcp-protocol-version: 2025-06-18", "last-event-id: 5"}, decide.RuleStream, "r-stream", "2025-06-18", nil},
		"stream, no version": {"GET", nil, decide.RuleStream, "r-stream", "2025-03-26", nil},
		"end of session": {
			"DELETE",
			headers{"mcp-session-id: s", "mcp-method: tools/call", "mcp-name: x", "mcp-param-a: 1"},
			decide.RuleDelete, "r-delete", "2025-03-26",
			[]string{"mcp-method", "mcp-name", "mcp-param-a"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := rules.Headers(&decide.Request{Verb: test.verb, Path: "/mcp", Header: test.header})
			if got.NeedBody || got.Answer != nil || got.Call != nil || got.CatalogKey != "" {
				t.Fatalf("decision %+v", got)
			}
			if got.Rule != test.rule || got.Revision != test.revision || !slices.Equal(got.RemoveHeaders, test.removed) ||
				!slices.Equal(got.SetHeaders, []decide.HeaderValue{{Name: names.HeaderRoute, Value: test.route}}) {
				t.Errorf("rule %q, revision %q, set %v, removed %q", got.Rule, got.Revision, got.SetHeaders, got.RemoveHeaders)
			}
		})
	}
}
