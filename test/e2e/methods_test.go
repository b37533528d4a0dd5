package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// message is one that a client sends, and how often a region that fails may have seen it
// before another one answers: twice means that it is sent to both.
type message struct {
	method, params string
	// name goes into Mcp-Name.
	name  string
	tries int
}

// modernMessages are the requests of 2026-07-28 with its extension for tasks, what older
// revisions had and this one has no more, and one that nobody knows.
func modernMessages() []message {
	return []message{
		{method: "server/discover", tries: 2},
		{method: "tools/list", params: `"cursor":"a"`, tries: 2},
		{method: "prompts/list", tries: 2},
		{method: "resources/list", tries: 2},
		{method: "resources/templates/list", tries: 2},
		{method: "tools/call", params: `"name":"get_order","arguments":{}`, name: "get_order", tries: 2},
		{method: "tools/call", params: `"name":"create_order","arguments":{}`, name: "create_order", tries: 1},
		{method: "tools/call", params: `"name":"get_order","arguments":{},"requestState":"once"`, name: "get_order", tries: 1},
		{method: "tools/call", params: `"name":"get_order","arguments":{},"inputResponses":{"a":{}}`, name: "get_order", tries: 1},
		{method: "prompts/get", params: `"name":"greet"`, name: "greet", tries: 2},
		{method: "prompts/get", params: `"name":"greet","inputResponses":{"a":{}}`, name: "greet", tries: 1},
		{method: "resources/read", params: `"uri":"memo://1"`, name: "memo://1", tries: 2},
		{method: "resources/read", params: `"uri":"memo://1","requestState":"once"`, name: "memo://1", tries: 1},
		{method: "completion/complete", params: `"ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"who","value":"a"}`, tries: 2},
		{method: "tasks/get", params: `"taskId":"t"`, name: "t", tries: 2},
		{method: "tasks/update", params: `"taskId":"t","inputResponses":{}`, name: "t", tries: 1},
		{method: "tasks/cancel", params: `"taskId":"t"`, name: "t", tries: 1},
		{method: "ping", tries: 1},
		{method: "logging/setLevel", params: `"level":"info"`, tries: 1},
		{method: "resources/subscribe", params: `"uri":"memo://1"`, tries: 1},
		{method: "resources/unsubscribe", params: `"uri":"memo://1"`, tries: 1},
		{method: "tasks/list", tries: 1},
		{method: "tasks/result", params: `"taskId":"t"`, tries: 1},
		{method: "x/unheard-of", tries: 1},
	}
}

// legacyMessages are the requests of the revisions with initialize.
func legacyMessages() []message {
	return []message{
		{method: "initialize", params: `"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}`, tries: 1},
		{method: "server/discover", tries: 2},
		{method: "ping", tries: 2},
		{method: "tools/list", tries: 2},
		{method: "prompts/list", tries: 2},
		{method: "resources/list", tries: 2},
		{method: "resources/templates/list", tries: 2},
		{method: "tools/call", params: `"name":"get_order","arguments":{}`, tries: 2},
		{method: "tools/call", params: `"name":"create_order","arguments":{}`, tries: 1},
		{method: "prompts/get", params: `"name":"greet"`, tries: 2},
		{method: "resources/read", params: `"uri":"memo://1"`, tries: 2},
		{method: "completion/complete", params: `"ref":{"type":"ref/resource","uri":"memo://{n}"},"argument":{"name":"n","value":"1"}`, tries: 2},
		{method: "resources/subscribe", params: `"uri":"memo://1"`, tries: 1},
		{method: "resources/unsubscribe", params: `"uri":"memo://1"`, tries: 1},
		{method: "logging/setLevel", params: `"level":"info"`, tries: 1},
		{method: "tasks/get", params: `"taskId":"t"`, tries: 2},
		{method: "tasks/result", params: `"taskId":"t"`, tries: 2},
		{method: "tasks/list", tries: 2},
		{method: "tasks/cancel", params: `"taskId":"t"`, tries: 1},
		{method: "subscriptions/listen", tries: 1},
		{method: "x/unheard-of", tries: 1},
	}
}

// posts sends the message in a revision, as a request with id 1 or as a notification.
func (m message) posts(p *pair, revision, id string) (testbed.Answer, string, error) {
	params, header := m.params, http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {revision},
	}
	if revision == testbed.Modern {
		header = testbed.ModernHeaders(m.method, m.name)
		if params != "" {
			params += ","
		}
		params += trickMeta
	}
	body := fmt.Sprintf(`{"jsonrpc": "2.0",%s"params":{%s} ,"method":%q}`, id, params, m.method)
	if m.method == "initialize" {
		header.Del("Mcp-Protocol-Version")
	}
	answer, err := p.Post("/mcp", header, body)
	return answer, body, err
}

// startLenient keeps failing endpoints in use, so that each message meets the first region first.
func startLenient(t *testing.T) *pair {
	t.Helper()
	return startPairWith(t, strings.Replace(pairConfig, "  healthCheck:", "  outlier: {maxEjected: 0%}\n  breaker: {disabled: true}\n  healthCheck:", 1))
}

// TestEveryMethod: each request of each revision reaches a server as the bytes that it
// was, and a region that fails is followed by another one where the protocol lets the
// request be sent twice, and only there.
func TestEveryMethod(t *testing.T) {
	t.Parallel()
	p := startLenient(t)
	for _, revision := range []string{testbed.Modern, "2025-11-25", "2025-06-18", "2025-03-26"} {
		messages := legacyMessages()
		if revision == testbed.Modern {
			messages = modernMessages()
		}
		for i, m := range messages {
			t.Run(fmt.Sprintf("%s/%d %s", revision, i, m.method), func(t *testing.T) {
				p.set(statusAnswer(500, "text/html", "oops"), good)
				got, body, err := m.posts(p, revision, `"id":1,`)
				if err != nil {
					t.Fatal(err)
				}
				mumbai, delhi := p.mumbai.requests(), p.delhi.requests()
				if len(mumbai) != 1 || mumbai[0].Body != body || len(mumbai)+len(delhi) != m.tries {
					t.Fatalf("Mumbai saw %v, Delhi %v, want %d tries of %s", mumbai, delhi, m.tries, body)
				}
				if degraded := got.Header.Get("x-holdfast-degraded") != ""; got.Status != http.StatusOK || degraded != (m.tries == 1) || !strings.Contains(string(got.Body), `"id":1`) {
					t.Errorf("status %d, degraded %v: %s", got.Status, degraded, got.Body)
				}
				if m.tries == 2 && delhi[0].Body != body {
					t.Errorf("Delhi saw %s", delhi[0].Body)
				}
			})
		}
	}
}

// TestOneWayMessages: notifications and posted responses reach one server, once, and
// their 202 has no body; whatever a server says to them, nothing is tried again.
func TestOneWayMessages(t *testing.T) {
	t.Parallel()
	p := startLenient(t)
	for _, c := range []struct {
		revision, method, params string
		status                   int
	}{
		{testbed.Modern, "notifications/cancelled", `"requestId":1`, 202},
		{testbed.Modern, "notifications/progress", `"progressToken":1,"progress":1`, 202},
		{"2025-11-25", "notifications/initialized", ``, 202},
		{"2025-11-25", "notifications/cancelled", `"requestId":1`, 202},
		{"2025-06-18", "notifications/progress", `"progressToken":1,"progress":1`, 202},
		{"2025-03-26", "notifications/roots/list_changed", ``, 202},
		{"2025-11-25", "notifications/initialized", ``, 500},
		{"2025-11-25", "notifications/initialized", ``, 503},
	} {
		p.set(statusAnswer(c.status, "", ""), good)
		got, body, err := message{method: c.method, params: c.params}.posts(p, c.revision, "")
		if err != nil {
			t.Fatal(err)
		}
		if seen := p.mumbai.requests(); len(seen) != 1 || seen[0].Body != body || len(p.delhi.requests()) != 0 {
			t.Errorf("%s in %s: Mumbai saw %v, Delhi %v", c.method, c.revision, seen, p.delhi.requests())
		}
		if c.status == 202 && (got.Status != 202 || len(got.Body) != 0) {
			t.Errorf("%s in %s: %d %q", c.method, c.revision, got.Status, got.Body)
		}
		if c.status != 202 && got.Status < 400 {
			t.Errorf("%s, %d by the server: %d %q", c.method, c.status, got.Status, got.Body)
		}
	}
	for _, revision := range []string{"2025-11-25", "2025-06-18", "2025-03-26"} {
		p.set(statusAnswer(202, "", ""), good)
		const response = `{"jsonrpc":"2.0","id":"server-1","result":{"roots":[]}}`
		got, err := p.Post("/mcp", http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {revision},
		}, response)
		if seen := p.mumbai.requests(); err != nil || got.Status != 202 || len(got.Body) != 0 || len(seen) != 1 || seen[0].Body != response {
			t.Errorf("a response in %s: %v, %d %q, Mumbai saw %v", revision, err, got.Status, got.Body, seen)
		}
	}
}

// TestStreamsAsTheyAre: GET and subscriptions/listen are answered at once and by the bytes
// that the server sends, comments, ids, priming events and retry included; in 2026-07-28
// there is neither GET nor DELETE.
func TestStreamsAsTheyAre(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	const (
		ack   = `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"sub"},"notifications":{}}}`
		prime = "id: 1_0\r\nretry: 1500\r\ndata: \r\n\r\n: ping\n\n"
		ends  = `data: {"jsonrpc":"2.0","id":"sub","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"sub"}}}`
	)
	said := prime + ack + "\n\nevent: other\ndata: x\n\n: bye\n\n" + ends + "\n\n"
	p.set(sseAnswer(said), good)
	header := http.Header{"Accept": {"text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"}}
	if got, err := p.Do(http.MethodGet, "/mcp", header, ""); err != nil || got.Status != http.StatusOK || string(got.Body) != said {
		t.Errorf("GET: %v, %d %q", err, got.Status, got.Body)
	}
	listen := message{method: "subscriptions/listen", params: `"notifications":{"toolsListChanged":true}`}
	if got, _, err := listen.posts(p, testbed.Modern, `"id":"sub",`); err != nil || got.Status != http.StatusOK || string(got.Body) != said {
		t.Errorf("subscriptions/listen: %v, %d\n%q, want\n%q", err, got.Status, got.Body, said)
	}
	p.set(good, good)
	for _, verb := range []string{http.MethodGet, http.MethodDelete} {
		header := http.Header{"Accept": {"text/event-stream"}, "Mcp-Protocol-Version": {testbed.Modern}, "Last-Event-Id": {"1_0"}}
		got, err := p.Do(verb, "/mcp", header, "")
		if err != nil || got.Status != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "POST" || len(p.mumbai.requests()) != 0 {
			t.Errorf("%s in 2026-07-28: %v, %d, allow %q", verb, err, got.Status, got.Header.Get("Allow"))
		}
	}
}

// TestOtherRevisions: a client that opens with a revision that is not spoken here is given
// one that is; a message that names one is refused, with those that are spoken.
func TestOtherRevisions(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "activePassive", "")
	for _, offered := range []string{"2024-11-05", "2099-01-01", "zzz"} {
		opened, err := s.Post("/mcp", legacyHeaders(""), strings.Replace(initializeBody, legacyRevision, offered, 1))
		if err != nil {
			t.Fatal(err)
		}
		id := opened.Header.Get("Mcp-Session-Id")
		if opened.Status != http.StatusOK || id == "" || !strings.Contains(string(opened.Body), `"protocolVersion":"2025-11-25"`) {
			t.Errorf("initialize with %s: %d %s", offered, opened.Status, opened.Body)
		}
		header := legacyHeaders(id)
		header.Set("Mcp-Protocol-Version", offered)
		for verb, body := range map[string]string{http.MethodPost: whereBody, http.MethodGet: ""} {
			got, err := s.Do(verb, "/mcp", header, body)
			if text := string(got.Body); err != nil || got.Status != http.StatusBadRequest || !strings.Contains(text, `"code":-32022`) ||
				!strings.Contains(text, `"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]`) || !strings.Contains(text, `"requested":"`+offered+`"`) {
				t.Errorf("%s with %s: %v, %d %s", verb, offered, err, got.Status, text)
			}
		}
		header.Set("Mcp-Protocol-Version", legacyRevision)
		if got, err := s.Post("/mcp", header, whereBody); err != nil || got.Status != http.StatusOK {
			t.Errorf("a call after that: %v, %d %s", err, got.Status, got.Body)
		}
	}
}
