package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestServersThatOpenSlowlyOrNotAtAll: sessions lose their region. The other one takes
// longer to open a session than Envoy waits for a processor otherwise, cannot now, says
// nothing, or refuses. Callers wait for the first, are told to call again by the others, and get
// a bare 404 for the last, never a 5xx. The session goes on by itself once its server opens
// sessions again.
func TestServersThatOpenSlowlyOrNotAtAll(t *testing.T) {
	t.Parallel()
	refuse := func(status int, body string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	const later = 0
	for name, c := range map[string]struct {
		opening func(http.ResponseWriter, *http.Request, http.Handler)
		status  int
	}{
		"slowly": {func(w http.ResponseWriter, r *http.Request, open http.Handler) {
			timer := time.NewTimer(1500 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			open.ServeHTTP(w, r)
		}, http.StatusOK},
		"not now":       {refuse(http.StatusServiceUnavailable, `{}`), later},
		"with an error": {refuse(http.StatusOK, `{"jsonrpc":"2.0","id":"holdfast-initialize","error":{"code":-32603,"message":"no"}}`), later},
		"not at all":    {func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }, later},
		"refused":       {refuse(http.StatusForbidden, `{}`), http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSessions(t, "activePassive", "  sessions: reinitialize")
			ids := make([]string, 8)
			each(len(ids), func(i int) { ids[i] = s.open(t, nil) })
			set := func(opening func(http.ResponseWriter, *http.Request, http.Handler)) {
				for _, name := range []string{"delhi-a", "delhi-b"} {
					s.servers[name].mu.Lock()
					s.servers[name].opening = opening
					s.servers[name].mu.Unlock()
				}
			}
			set(c.opening)
			s.servers["mumbai-a"].kill()
			s.servers["mumbai-b"].kill()
			each(len(ids), func(i int) {
				began := time.Now()
				a, err := s.Post("/mcp", legacyHeaders(ids[i]), whereBody)
				told := strings.Contains(string(a.Body), `"outcome":"not_executed"`)
				if err != nil || c.status == later && (a.Status != http.StatusOK || !told) || c.status != later && (a.Status != c.status || told) {
					t.Errorf("session %d: %v, %d %.200s, want %d", i, err, a.Status, a.Body, c.status)
				}
				if c.status == http.StatusNotFound && len(a.Body) != 0 {
					t.Errorf("session %d: %q, want a bare 404", i, a.Body)
				}
				t.Logf("session %d: %d after %s", i, a.Status, time.Since(began))
			})
			set(nil)
			s.Eventually(testbed.Patience, "sessions go on", func() error {
				for _, id := range ids {
					a, err := s.Post("/mcp", legacyHeaders(id), whereBody)
					if err != nil || a.Status != http.StatusOK || !strings.Contains(string(a.Body), "delhi-") {
						return errElsewhere
					}
				}
				return nil
			})
		})
	}
}
