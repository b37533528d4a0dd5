package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestServersWithoutStreams: 404 to GET, of a server that has no event streams, is not the end of
// a session, which goes on where it is. That of a server which has forgotten it is one.
func TestServersWithoutStreams(t *testing.T) {
	t.Parallel()
	s := startSessionsWith(t, func(s *stateful) { s.streamless = true }, "activePassive", "  sessions: reinitialize")
	id := s.open(t, nil)
	before := s.askAll(t, "before", []string{id})[0]
	listen := func(when string) {
		t.Helper()
		header := http.Header{"Accept": {"text/event-stream"}, "Mcp-Session-Id": {id}, "Mcp-Protocol-Version": {legacyRevision}}
		got, err := s.Do(http.MethodGet, "/mcp", header, "")
		if err != nil || got.Status != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "POST, DELETE" {
			t.Errorf("%s: %v, %d %v", when, err, got.Status, got.Header)
		}
	}
	listen("before")
	if after := s.askAll(t, "after", []string{id})[0]; after != before {
		t.Errorf("the session has moved from %q to %q", before, after)
	}
	server := s.servers[owner(before)]
	server.kill()
	server.start()
	s.Eventually(testbed.Patience, "the session is open again", func() error {
		listen("forgotten")
		if now := s.askAll(t, "forgotten", []string{id})[0]; now == before || !strings.Contains(now, "-") {
			return errElsewhere
		}
		return nil
	})
	now := s.askAll(t, "again", []string{id})[0]
	listen("again")
	if after := s.askAll(t, "again", []string{id})[0]; after != now {
		t.Errorf("the session has moved from %q to %q", now, after)
	}
	// A client of the SDK lives with it.
	client := s.connect(t, "agent")
	if at, err := client.where(t.Context()); err != nil || at == "" {
		t.Errorf("a client: %q, %v", at, err)
	}
}
