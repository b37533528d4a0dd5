package e2e

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

var errElsewhere = errors.New("elsewhere")

// askAll calls in every session at the same time and tells where each call arrived.
func (s *sessions) askAll(t *testing.T, when string, ids []string) []string {
	t.Helper()
	arrived := make([]string, len(ids))
	each(len(ids), func(i int) {
		answer, err := s.Post("/mcp", legacyHeaders(ids[i]), whereBody)
		if err != nil {
			t.Errorf("%s: session %d: %v", when, i, err)
			return
		}
		if given := answer.Header.Get("Mcp-Session-Id"); answer.Status != http.StatusOK || (given != "" && given != ids[i]) {
			t.Errorf("%s: session %d: %d, id changed %v, %.200s", when, i, answer.Status, given != ids[i], answer.Body)
			return
		}
		_, after, _ := strings.Cut(string(answer.Body), `"text":"`)
		arrived[i], _, _ = strings.Cut(after, `"`)
	})
	return arrived
}

// TestSessionsGoOnElsewhere: 200 sessions are open when their region dies. All go on in
// the other region under the ids that they have, stay there when a processor starts
// again and when the first region returns, and end where their clients end them.
func TestSessionsGoOnElsewhere(t *testing.T) {
	t.Parallel()
	redis, _ := stacktest.StartRedis(t)
	s := startSessions(t, "activePassive", "  sessions: reinitialize", "--redis", redis)
	ids := make([]string, 200)
	each(len(ids), func(i int) { ids[i] = s.open(t, nil) })
	for i, at := range s.askAll(t, "before", ids) {
		if !strings.HasPrefix(at, "mumbai-") {
			t.Fatalf("session %d is at %q", i, at)
		}
	}
	s.servers["mumbai-a"].kill()
	s.servers["mumbai-b"].kill()
	moved := s.askAll(t, "region lost", ids)
	for i, at := range moved {
		if !strings.HasPrefix(at, "delhi-") {
			t.Errorf("session %d is at %q", i, at)
		}
	}
	same := func(when string) {
		t.Helper()
		if at := s.askAll(t, when, ids); !slices.Equal(at, moved) {
			t.Errorf("%s: sessions have moved", when)
		}
	}
	same("again")
	s.Kill(testbed.Extproc1)
	s.Restart(testbed.Extproc1)
	s.Kill(testbed.Extproc2)
	s.Restart(testbed.Extproc2)
	same("processors started again")
	s.servers["mumbai-a"].start()
	s.servers["mumbai-b"].start()
	s.Eventually(testbed.Patience, "new sessions open in Mumbai again", func() error {
		at := s.askAll(t, "new", []string{s.open(t, nil)})
		if strings.HasPrefix(at[0], "mumbai-") {
			return nil
		}
		return errElsewhere
	})
	same("the first region is back")
	for _, server := range s.servers {
		if _, foreign := server.requests(); foreign != 0 {
			t.Errorf("%s saw %d requests of others' sessions", server.name, foreign)
		}
	}
	if answer, err := s.Do(http.MethodDelete, "/mcp", legacyHeaders(ids[0]), ""); err != nil || answer.Status >= 300 {
		t.Fatalf("DELETE: %v, %d %s", err, answer.Status, answer.Body)
	}
	answer, err := s.Post("/mcp", legacyHeaders(ids[0]), whereBody)
	if err != nil || answer.Status != http.StatusNotFound || len(answer.Body) != 0 {
		t.Errorf("after DELETE: %v, %d %q, want a bare 404", err, answer.Status, answer.Body)
	}
}

// TestAgentsNoticeNothing: clients of the official SDK, with their event streams, log
// level and subscriptions, live through the loss of a region and through a server that
// has forgotten them.
func TestAgentsNoticeNothing(t *testing.T) {
	t.Parallel()
	redis, _ := stacktest.StartRedis(t)
	s := startSessions(t, "activePassive", "  sessions: reinitialize", "--redis", redis)
	clients := make([]*legacyClient, 20)
	each(len(clients), func(i int) {
		clients[i] = s.connect(t, "agent")
		if err := clients[i].SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "info"}); err != nil { //nolint:staticcheck // legacy revisions have it
			t.Error(err)
		}
		if err := clients[i].Subscribe(t.Context(), &mcp.SubscribeParams{URI: "memo://1"}); err != nil {
			t.Error(err)
		}
	})
	call := func(when, region string) {
		t.Helper()
		each(len(clients), func(i int) {
			at, err := clients[i].where(t.Context())
			if err != nil || !strings.HasPrefix(at, region) {
				t.Errorf("%s: client %d: %q, %v", when, i, at, err)
				return
			}
			select {
			case from := <-clients[i].logged:
				if !strings.HasPrefix(from, region) {
					t.Errorf("%s: client %d was sent a message by %s", when, i, from)
				}
			case <-time.After(time.Minute):
				t.Errorf("%s: client %d: the log level is lost", when, i)
			}
		})
	}
	call("before", "mumbai-")
	s.servers["mumbai-a"].kill()
	s.servers["mumbai-b"].kill()
	call("region lost", "delhi-")
	count := func(names ...string) (subs, clients int) {
		for _, name := range names {
			server := s.servers[name]
			server.mu.Lock()
			subs, clients = subs+server.subs["memo://1"], clients+len(server.clients)
			if slices.ContainsFunc(server.clients, func(c string) bool { return c != "agent" && c != "raw" }) {
				t.Errorf("%s was told of clients %v", name, server.clients)
			}
			server.mu.Unlock()
		}
		return subs, clients
	}
	if subs, opened := count("delhi-a", "delhi-b"); subs != len(clients) || opened != len(clients) {
		t.Errorf("Delhi has %d subscriptions and was opened by %d clients, want %d of each", subs, opened, len(clients))
	}
	s.Until(testbed.Patience, "Envoy knows that Mumbai is down", func() bool { return s.Stat("cluster.memo.membership_healthy") == 2 })
	// Servers that start again have forgotten everything, at the address that all know.
	for _, name := range []string{"delhi-a", "delhi-b"} {
		s.servers[name].kill()
		s.servers[name].start()
	}
	// While they were away clients asked for their event streams, which tells Envoy so.
	s.Until(testbed.Patience, "Envoy uses Delhi again", func() bool {
		return s.Stat("cluster.memo.membership_healthy") == 2 && s.Stat("cluster.memo.outlier_detection.ejections_active") == 0
	})
	call("servers started again", "delhi-")
}
