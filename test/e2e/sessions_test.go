package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestSessionsStayOnTheirEndpoint: 50 sessions of the official SDK's stateful server
// over two regions with two endpoints each. Every request of a session, its event
// stream included, reaches the process that has it, whichever processor decides.
func TestSessionsStayOnTheirEndpoint(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "activeActive", "")
	clients := make([]*legacyClient, 50)
	each(len(clients), func(i int) { clients[i] = s.connect(t, "sdk") })
	used := map[string]int{}
	first := make([]string, len(clients))
	calls := func() {
		each(len(clients), func(i int) {
			for range 4 {
				at, err := clients[i].where(t.Context())
				switch {
				case err != nil:
					t.Errorf("client %d: %v", i, err)
				case first[i] == "":
					first[i] = at
				case at != first[i]:
					t.Errorf("client %d: the call arrived in session %s, the ones before in %s", i, at, first[i])
				}
			}
		})
	}
	calls()
	// A processor that starts again has never seen any of the sessions.
	s.Kill(testbed.Extproc1)
	s.Restart(testbed.Extproc1)
	calls()
	for i, c := range clients {
		used[owner(first[i])]++
		if c.ID() == first[i] || strings.Contains(c.ID(), owner(first[i])) {
			t.Errorf("the client's id %q shows the server's, %q", c.ID(), first[i])
		}
	}
	if len(used) != 4 {
		t.Errorf("sessions by endpoint: %v, want some on each", used)
	}
	for name, server := range s.servers {
		own, foreign := server.requests()
		if own == 0 || foreign != 0 {
			t.Errorf("%s saw %d requests of its sessions, %d of others'", name, own, foreign)
		}
		streams := 0
		for _, r := range server.seen {
			if r.Verb == http.MethodGet {
				streams++
			}
		}
		if streams < used[name] {
			t.Errorf("%s has %d sessions and saw %d event streams", name, used[name], streams)
		}
	}
}

// TestUnknownSessions: whatever is not the id of a living session of this caller is a
// bare 404, and no server hears of it.
func TestUnknownSessions(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "activePassive", "")
	alice := http.Header{"Authorization": {"Bearer alice"}}
	id := s.open(t, alice)
	call := func(id string, h http.Header) testbed.Answer {
		t.Helper()
		header := legacyHeaders(id)
		for name, values := range h {
			header[name] = values
		}
		answer, err := s.Post("/mcp", header, whereBody)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	good := call(id, alice)
	if good.Status != http.StatusOK || !strings.Contains(string(good.Body), "mumbai") {
		t.Fatalf("the session's own call: %d %s", good.Status, good.Body)
	}
	if echoed := good.Header.Get("Mcp-Session-Id"); echoed != "" && echoed != id {
		t.Errorf("the answer names session %q, the client's is %q", echoed, id)
	}
	before := map[string]int{}
	for name, server := range s.servers {
		own, foreign := server.requests()
		before[name] = own + foreign
	}
	for name, c := range map[string]struct {
		id     string
		header http.Header
	}{
		"another principal":  {id, http.Header{"Authorization": {"Bearer mallory"}}},
		"no principal":       {id, nil},
		"garbage":            {"not-a-session", alice},
		"only a prefix":      {"hf1.", alice},
		"a changed letter":   {flip(id), alice},
		"cut short":          {id[:len(id)-7], alice},
		"the server's own":   {"mumbai-a-X", alice},
		"something enormous": {"hf1." + strings.Repeat("A", 20_000), alice},
	} {
		for verb, body := range map[string]string{http.MethodPost: whereBody, http.MethodGet: "", http.MethodDelete: ""} {
			header := legacyHeaders(c.id)
			for name, values := range c.header {
				header[name] = values
			}
			answer, err := s.Do(verb, "/mcp", header, body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Status != http.StatusNotFound || len(answer.Body) != 0 {
				t.Errorf("%s, %s: %d %q, want a bare 404", name, verb, answer.Status, answer.Body)
			}
		}
	}
	for name, server := range s.servers {
		if own, foreign := server.requests(); own+foreign != before[name] {
			t.Errorf("%s saw %d requests with a session, %d before", name, own+foreign, before[name])
		}
	}
	if again := call(id, alice); again.Status != http.StatusOK {
		t.Errorf("the session's own call after that: %d %s", again.Status, again.Body)
	}
	answer, err := s.Do(http.MethodDelete, "/mcp", func() http.Header { h := legacyHeaders(id); h["Authorization"] = alice["Authorization"]; return h }(), "")
	if err != nil || answer.Status >= 300 {
		t.Fatalf("DELETE: %v, %d %s", err, answer.Status, answer.Body)
	}
	if gone := call(id, alice); gone.Status != http.StatusNotFound || len(gone.Body) != 0 {
		t.Errorf("after DELETE: %d %q, want a bare 404", gone.Status, gone.Body)
	}
}

// flip changes a character in the middle of an id.
func flip(id string) string {
	b := []byte(id)
	at := len(b) / 2
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

// TestLostSessionsAreNotFound: 200 sessions are open when their region dies. Each gets a
// clean 404, none a 5xx, and opening anew works at once in the other region.
func TestLostSessionsAreNotFound(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "activePassive", "")
	ids := make([]string, 200)
	each(len(ids), func(i int) { ids[i] = s.open(t, nil) })
	s.servers["mumbai-a"].kill()
	s.servers["mumbai-b"].kill()
	lose := func(when string) {
		t.Helper()
		statuses := make([]testbed.Answer, len(ids))
		each(len(ids), func(i int) {
			var err error
			if statuses[i], err = s.Post("/mcp", legacyHeaders(ids[i]), whereBody); err != nil {
				t.Error(err)
			}
		})
		for i, a := range statuses {
			if a.Status != http.StatusNotFound || len(a.Body) != 0 {
				t.Errorf("%s: session %d: %d %.200q, want a bare 404", when, i, a.Status, a.Body)
			}
		}
	}
	lose("at once")
	s.Eventually(testbed.Patience, "a new session opens", func() error { return legacyPing(s.Bed) })
	lose("with the endpoints known to be down")
	fresh := s.open(t, nil)
	answer, err := s.Post("/mcp", legacyHeaders(fresh), whereBody)
	if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), "delhi") {
		t.Errorf("a new session: %v, %d %s", err, answer.Status, answer.Body)
	}
}
