package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

var errMoving = errors.New("sessions are still moving")

// settle waits until every call of every session arrives where the one before did, and
// tells where.
func (s *sessions) settle(t *testing.T, when string, ids []string) []string {
	t.Helper()
	at := s.askAll(t, when, ids)
	s.Eventually(testbed.Patience, when+": sessions stay", func() error {
		before := at
		if at = s.askAll(t, when, ids); !slices.Equal(at, before) {
			return errMoving
		}
		return nil
	})
	return at
}

// open sessions that the servers hold.
func (s *sessions) held(names ...string) int {
	n := 0
	for _, name := range names {
		server := s.servers[name]
		server.mu.Lock()
		now := server.mcp
		server.mu.Unlock()
		for range now.Sessions() {
			n++
		}
	}
	return n
}

// TestSessionsGoOnWithoutAStore: two processors and no Redis. 200 sessions lose their
// region. Both processors find them where one of them has opened them again, also after
// each was killed and after the control plane was, and what was opened twice meanwhile is ended.
func TestSessionsGoOnWithoutAStore(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "activePassive", "  sessions: reinitialize")
	ids := make([]string, 200)
	each(len(ids), func(i int) { ids[i] = s.open(t, nil) })
	s.askAll(t, "before", ids)
	s.servers["mumbai-a"].kill()
	s.servers["mumbai-b"].kill()
	moved := s.settle(t, "region lost", ids)
	for i, at := range moved {
		if !strings.HasPrefix(at, "delhi-") {
			t.Errorf("session %d is at %q", i, at)
		}
	}
	for _, killed := range [][]string{{testbed.Extproc1}, {testbed.Extproc2}, {testbed.XDS, testbed.Extproc1}} {
		for _, name := range killed {
			s.Kill(name)
			s.Restart(name)
		}
		when := fmt.Sprint(killed, " started again")
		for range 3 {
			if at := s.askAll(t, when, ids); !slices.Equal(at, moved) {
				t.Errorf("%s: sessions have moved", when)
			}
		}
	}
	s.Eventually(testbed.Patience, "what was opened twice is ended", func() error {
		if at := s.askAll(t, "later", ids); !slices.Equal(at, moved) {
			return errMoving
		}
		if n := s.held("delhi-a", "delhi-b"); n != len(ids) {
			return fmt.Errorf("%d sessions are open", n)
		}
		return nil
	})
}
