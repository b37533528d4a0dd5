package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestServersWithoutStreams: 404 to GET, of a server that has no event streams, is not the end of
// a session, which goes on where it is. That of a server which has forgotten it is one.
func TestServersWithoutStreams(t *testing.T) {
	t.Parallel()
	s := startSessionsWith(t, func(s *stateful) { s.streamless = true }, "activePassive", "  sessions: reinitialize")
	id := s.open(t, nil)
	before := s.askAll(t, "before", []string{id})[0]
	answered := func() (testbed.Answer, error) {
		header := http.Header{"Accept": {"text/event-stream"}, "Mcp-Session-Id": {id}, "Mcp-Protocol-Version": {legacyRevision}}
		return s.Do(http.MethodGet, "/mcp", header, "")
	}
	listen := func(when string) {
		t.Helper()
		got, err := answered()
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
		// While Envoy still takes the server for dead, the client is told to come again.
		got, err := answered()
		if err != nil {
			return err
		}
		if got.Status != http.StatusMethodNotAllowed {
			return fmt.Errorf("%d %s", got.Status, got.Body)
		}
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

// TestNobodyToAskForAStream: a client that comes back to its stream while no processor is there is
// told by Envoy to come again, with the id that it has, as often as it takes. Nothing else is let by.
func TestNobodyToAskForAStream(t *testing.T) {
	t.Parallel()
	s := startSessionsWith(t, func(*stateful) {}, "activePassive", "")
	id := s.open(t, nil)
	s.Kill(testbed.Extproc1)
	s.Kill(testbed.Extproc2)
	comes := func(last string) testbed.Answer {
		t.Helper()
		header := resumeHeaders(id, legacyRevision, last)
		if last == "" {
			header.Del("Last-Event-Id")
		}
		got, err := s.Do(http.MethodGet, "/mcp", header, "")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	const long = 9000
	for _, first := range []string{"", "heard_1", strings.Repeat("x", long)} {
		given := map[string]bool{}
		for last := first; len(given) < 3; {
			got := comes(last)
			_, after, _ := strings.Cut(string(got.Body), "\nid: "+names.WaitPrefix)
			rest, _, _ := strings.Cut(after, "\n")
			last = names.WaitPrefix + rest
			if got.Status != http.StatusOK || got.Header.Get("Content-Type") != "text/event-stream" || !strings.HasSuffix(string(got.Body), "\ndata:\n\n") || given[last] {
				t.Fatalf("%.20q: %d %v %.200q", first, got.Status, got.Header, got.Body)
			}
			if kept := first == "" || strings.HasSuffix(last, "."+first); kept != (len(first) < long) {
				t.Errorf("%.20q comes back as %.200q", first, last)
			}
			given[last] = true
		}
	}
	if got, err := s.Post("/mcp", legacyHeaders(id), whereBody); err != nil || got.Status != http.StatusServiceUnavailable {
		t.Errorf("a call: %v, %d %s", err, got.Status, got.Body)
	}
	s.Restart(testbed.Extproc1)
	s.Eventually(testbed.Patience, "the server is asked with the client's own id", func() error {
		got := comes(names.WaitPrefix + "2." + names.WaitPrefix + "1.heard_1")
		for _, server := range s.servers {
			server.mu.Lock()
			for _, r := range server.seen {
				if r.Verb == http.MethodGet && r.Header.Get("Last-Event-Id") == "heard_1" {
					server.mu.Unlock()
					return nil
				}
			}
			server.mu.Unlock()
		}
		return fmt.Errorf("%d %s", got.Status, got.Body)
	})
}
